"""TensorBoard, W&B and MLflow: loggers of a run from its config, their run ids, settings and images.

The ids of a run in W&B and MLflow are kept in tracking.json of its folder, so that a resume goes on in the same one.
"""

import importlib.util
import json
import logging
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image
from torch.utils.tensorboard.summary import hparams

from common.files import write_text
from common.json_files import read_object
from common.settings import flatten

log = logging.getLogger(__name__)

RUN_IDS = "tracking.json"
PROJECT = "open-illume"
TIMEOUT = 5.0  # seconds that a server has to answer
OBJECTIVES = (  # columns of TensorBoard's HPARAMS tab
    *("train/loss", "val/loss_text", "val/loss_draw"),
    *("geneval/overall", "vqa/accuracy"),
)


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

    def logger(self, runs_dir: Path, name: str) -> WandbLogger:
        """The logger of a run, whose files are written to its folder."""
        _require("wandb")
        import wandb

        folder, offline = runs_dir / name, self.mode == "offline" or not self._is_online()
        folder.mkdir(parents=True, exist_ok=True)  # or wandb would write elsewhere
        return WandbLogger(
            project=self.project,
            entity=self.entity,
            name=name,
            id=read_run_ids(folder).get("wandb") or secrets.token_hex(4),
            save_dir=folder,
            mode="offline" if offline else "online",
            settings=wandb.Settings(silent=True, console="off"),
        )

    def _is_online(self) -> bool:
        """Whether the server can be used; warns where it cannot and was not demanded."""
        import wandb

        url = wandb.setup().settings.base_url  # of the environment, or of `wandb login --host`
        if not _has_wandb_key(url):
            problem = f"there is no API key for {url} (`wandb login` asks for it)"
        elif not is_reachable(url):
            problem = f"{url} does not answer"
        else:
            return True
        if self.mode == "online":
            raise ValueError(f"W&B: {problem}; --track.wandb.mode offline keeps the run here instead")
        _warn(f"W&B: {problem}: the run is kept offline, and `wandb sync` sends it later")
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

    def logger(self, runs_dir: Path, name: str) -> MLFlowLogger:
        """The logger of a run, whose artifacts are stored beside the store in the folder of runs."""
        _require("mlflow")
        runs_dir.mkdir(parents=True, exist_ok=True)
        store = runs_dir.resolve() / "mlflow.db"
        uri = self.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{store}"
        if uri.startswith(("http://", "https://")) and not is_reachable(uri):
            raise ValueError(
                f"MLflow: {_without_password(uri)} does not answer: start that server, or leave out mlflow.yaml"
            )
        for noisy in ("alembic", "mlflow"):  # they report each table that a new store gets
            logging.getLogger(noisy).setLevel(logging.ERROR)
        run_id = read_run_ids(runs_dir / name).get("mlflow")
        artifacts = (store.parent / "mlflow").as_uri() if uri == f"sqlite:///{store}" else None
        try:
            run_id = self._open_store(uri, run_id, artifacts)
            return MLFlowLogger(self.experiment, name, uri, run_id=run_id)
        except Exception as error:  # MLflow's own, SQLAlchemy's or the database's
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"MLflow: the store {_without_password(uri)} cannot be used: {reason}"
            ) from error

    def _open_store(self, uri: str, run_id: str | None, artifacts: str | None) -> str | None:
        """Creates the experiment if it is new; returns `run_id` if the store still has that run."""
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        client = MlflowClient(uri)
        if rank_zero_only.rank == 0 and client.get_experiment_by_name(self.experiment) is None:
            client.create_experiment(self.experiment, artifact_location=artifacts)
        try:
            return run_id and client.get_run(run_id).info.run_id
        except MlflowException:
            _warn(
                f"MLflow: {_without_password(uri)} has no run {run_id} any more: this run goes on in a new one"
            )
            return None


def read_run_ids(folder: Path) -> dict[str, str]:
    """Ids of the run in `folder` by tracker, once it has begun to train."""
    path = folder / RUN_IDS
    return read_object(path) if path.is_file() else {}


def write_run_ids(folder: Path, loggers: list[Logger]) -> None:
    """Keeps the ids of a run that begins to train; one that is resumed is marked as running again."""
    ids = {}
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            ids["wandb"] = logger.version
        elif isinstance(logger, MLFlowLogger):
            ids["mlflow"] = logger.run_id
            logger.experiment.update_run(logger.run_id, status="RUNNING")
    if ids:
        write_text(folder / RUN_IDS, json.dumps(read_run_ids(folder) | ids) + "\n")


def finish_wandb(loggers: list[Logger], failed: bool) -> None:
    """Ends W&B's run, as Lightning does not: the next one of this process would be logged into it."""
    if any(isinstance(logger, WandbLogger) for logger in loggers):
        import wandb

        if wandb.run is not None:
            wandb.finish(exit_code=int(failed))


def log_settings(logger: Logger, config: dict[str, Any], path: Path) -> None:
    """Logs a run's settings: TensorBoard a text and its HPARAMS tab, W&B the config, MLflow parameters and the file.

    Args:
        logger: of any kind; others than these three get nothing.
        config: nested.
        path: config.yaml.
    """
    if isinstance(logger, TensorBoardLogger):
        # Lightning's own writes settings only with a metric, which would add a point to that metric's curve
        board = logger.experiment
        board.add_text("config", f"```yaml\n{path.read_text(encoding='utf-8')}```")
        plain = {
            k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in flatten(config).items()
        }
        for summary in hparams(plain, dict.fromkeys(OBJECTIVES)):
            board.file_writer.add_summary(summary)
    elif isinstance(logger, WandbLogger):
        logger.log_hyperparams(config)
    elif isinstance(logger, MLFlowLogger):
        logger.log_hyperparams(flatten(config))
        logger.experiment.log_artifact(logger.run_id, str(path))


def log_image(logger: Logger, name: str, image: Image.Image, step: int) -> None:
    """Logs an image to TensorBoard, W&B or MLflow; other loggers get nothing."""
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(name, np.asarray(image), step, dataformats="HWC")
    elif isinstance(logger, WandbLogger):
        logger.log_image(name, [image], step)
    elif isinstance(logger, MLFlowLogger):
        logger.experiment.log_image(logger.run_id, image, key=name, step=step)


def is_reachable(url: str) -> bool:
    """Whether something listens at a URL's host and port."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), TIMEOUT):
            return True
    except OSError:
        return False


def _without_password(uri: str) -> str:
    parts = urlsplit(uri)
    return uri.replace(f"{parts.username}:{parts.password}@", "") if parts.password else uri


def _require(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ValueError(
            f"{package}.yaml needs {package}, which is not installed: pip install -e '.[track]', or leave it out"
        )


def _has_wandb_key(url: str) -> bool:
    """Whether the environment or a netrc file, where `wandb login` writes it, holds a key for that server."""
    from requests.utils import get_netrc_auth

    names = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")
    return any(map(os.environ.get, names)) or get_netrc_auth(url) is not None


@rank_zero_only
def _warn(line: str) -> None:
    log.warning(line)
