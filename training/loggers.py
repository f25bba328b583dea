"""A run in W&B or MLflow beside TensorBoard and metrics.csv: its logger, from a recipe, checked before work is spent.

The ids under which the two know a run lie in its folder, in tracking.json, so that a resume goes on in the same one.
"""

import importlib.util
import json
import logging
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from lightning.pytorch.loggers import Logger, MLFlowLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from common.files import write_text
from common.json_files import read_object

log = logging.getLogger(__name__)

RECORD = "tracking.json"
PROJECT = "open-illume"
PATIENCE = 5.0  # seconds that a server has to answer


@dataclass
class Wandb:
    """A run in Weights & Biases.

    Args:
        project: that it belongs to.
        entity: user or team; None: the account's own.
        mode: "online" sends, "offline" keeps what `wandb sync` sends later; "auto" sends where there is an API key and
            the server answers, and says so where it does not.

    Raises:
        ValueError: wandb is not installed; mode "online" without an API key, or without the server.
    """

    project: str = PROJECT
    entity: str | None = None
    mode: Literal["auto", "online", "offline"] = "auto"

    def logger(self, runs: Path, name: str) -> WandbLogger:
        """The logger of a run, whose files lie in its folder."""
        _require("wandb")
        import wandb

        folder, offline = runs / name, self.mode == "offline" or not self._answers()
        folder.mkdir(parents=True, exist_ok=True)  # or wandb would write elsewhere
        return WandbLogger(
            project=self.project,
            entity=self.entity,
            name=name,
            id=known_id(folder, "wandb") or secrets.token_hex(4),
            save_dir=folder,
            mode="offline" if offline else "online",
            settings=wandb.Settings(silent=True, console="off"),
        )

    def _answers(self) -> bool:
        """Whether the server can be used; a line where it cannot and was not demanded."""
        import wandb

        url = wandb.setup().settings.base_url  # of the environment, or of `wandb login --host`
        problem = None
        if not _wandb_key(url):
            problem = f"there is no API key for {url} (`wandb login` asks for it)"
        elif not reachable(url):
            problem = f"{url} does not answer"
        if problem is None:
            return True
        if self.mode == "online":
            raise ValueError(f"W&B: {problem}; --track.wandb.mode offline keeps the run here instead")
        _say(f"W&B: {problem}: the run is kept offline, and `wandb sync` sends it later")
        return False


@dataclass
class MLflow:
    """A run in MLflow.

    Args:
        experiment: that it belongs to.
        uri: of a server, or of a store as sqlite:///FILE; None: MLFLOW_TRACKING_URI, or else mlflow.db in the folder of
            runs.

    Raises:
        ValueError: mlflow is not installed, the server does not answer, or the store cannot be used.
    """

    experiment: str = PROJECT
    uri: str | None = None

    def logger(self, runs: Path, name: str) -> MLFlowLogger:
        """The logger of a run, whose artifacts lie in the runs' folder where the store does."""
        _require("mlflow")
        runs.mkdir(parents=True, exist_ok=True)
        here = runs.resolve() / "mlflow.db"
        uri = self.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{here}"
        if uri.startswith(("http://", "https://")) and not reachable(uri):
            raise ValueError(
                f"MLflow: {_plain(uri)} does not answer: start that server, or leave out mlflow.yaml"
            )
        for noisy in ("alembic", "mlflow"):  # they tell of each table that a new store gets
            logging.getLogger(noisy).setLevel(logging.ERROR)
        known = known_id(runs / name, "mlflow")
        artifacts = (here.parent / "mlflow").as_uri() if uri == f"sqlite:///{here}" else None
        try:
            return _mlflow_logger(uri, self.experiment, name, known, artifacts)
        except Exception as error:  # MLflow's own, SQLAlchemy's or the database's
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"MLflow: the store {_plain(uri)} cannot be used: {reason}") from error


def _mlflow_logger(
    uri: str, experiment: str, name: str, known: str | None, artifacts: str | None
) -> MLFlowLogger:
    """A logger that goes on in the run `known` if the store still has it."""
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    if rank_zero_only.rank == 0 and client.get_experiment_by_name(experiment) is None:
        client.create_experiment(experiment, artifact_location=artifacts)
    try:
        known = None if known is None else client.get_run(known).info.run_id
    except MlflowException:
        _say(f"MLflow: {_plain(uri)} has no run {known} any more: this run goes on in a new one")
        known = None
    return MLFlowLogger(experiment, name, uri, run_id=known)


def known_id(folder: Path, tracker: str) -> str | None:
    """The id of the run in `folder`, where it has begun to train."""
    path = folder / RECORD
    return read_object(path).get(tracker) if path.is_file() else None


def remember_ids(folder: Path, loggers: list[Logger]) -> None:
    """Writes down under which ids a run that begins to train is known; one that goes on runs again."""
    ids = {}
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            ids["wandb"] = logger.version
        elif isinstance(logger, MLFlowLogger):
            ids["mlflow"] = logger.run_id
            logger.experiment.update_run(logger.run_id, status="RUNNING")
    if ids:
        path = folder / RECORD
        before = read_object(path) if path.is_file() else {}
        write_text(path, json.dumps(before | ids) + "\n")


def close(loggers: list[Logger], failed: bool) -> None:
    """Ends W&B's run, as Lightning does not: the next one of this process would be logged into it."""
    if any(isinstance(logger, WandbLogger) for logger in loggers):
        import wandb

        if wandb.run is not None:
            wandb.finish(exit_code=int(failed))


def reachable(url: str) -> bool:
    """Whether something listens at a URL's host and port."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), PATIENCE):
            return True
    except OSError:
        return False


def _plain(uri: str) -> str:
    """A URI without the password that may be in it."""
    parts = urlsplit(uri)
    return uri.replace(f"{parts.username}:{parts.password}@", "") if parts.password else uri


def _require(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ValueError(
            f"{package}.yaml needs {package}, which is not installed: pip install -e '.[track]', or leave it out"
        )


def _wandb_key(url: str) -> bool:
    """Whether the environment or a netrc file, where `wandb login` writes it, holds a key for that server."""
    from requests.utils import get_netrc_auth

    given = (os.environ.get(name) for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"))
    return any(given) or get_netrc_auth(url) is not None


@rank_zero_only
def _say(line: str) -> None:
    log.warning(line)
