"""A run as read from its folder: settings, curves, scores, and its model folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.json_files import read_object
from common.safe_yaml import read_yaml
from common.settings import flatten
from evals.reports.curves import Curve, read_metrics
from models.sampling_options import NAMES

FILES = ("metrics.csv", "machine.csv")
# Numbers of a report that are no score.
METADATA = ("seed", "samples", "prompts", "seconds", "cpus", *NAMES, *(f"edit_{name}" for name in NAMES))


@dataclass(frozen=True)
class RunFolder:
    """One run: its name on a page, its config.yaml by flat dotted keys, points by metric, and its report.json if any."""

    folder: Path
    name: str
    settings: dict[str, Any]
    curves: dict[str, Curve]
    report: dict[str, Any]

    @property
    def stage(self) -> str:
        """What it trains: the module's class, and for a language model the components that learn (ILLUME's table 5)."""
        kind = str(self.settings.get("model.class_path", "unknown")).rpartition(".")[2]
        rates = {
            key.rpartition(".")[2]: rate for key, rate in self.settings.items() if ".learning_rates." in key
        }
        components = sorted(name for name, rate in rates.items() if rate)
        return f"{kind} with {', '.join(components)}" if components else kind

    @property
    def model(self) -> Path | None:
        """Its model folder, where it has been exported."""
        folder = self.folder / "model"
        return folder if (folder / "illume.json").is_file() else None

    def scores(self) -> dict[str, float]:
        """The last value of every metric, and what the report measured."""
        last = {name: curve[-1][1] for name, curve in self.curves.items()}
        measured = {
            name: float(value)
            for name, value in self.report.items()
            if isinstance(value, (int, float)) and name not in METADATA
        }
        return last | {f"report: {name}": value for name, value in measured.items()}


def read_run(folder: Path) -> RunFolder:
    """Reads a run's folder.

    Raises:
        FileNotFoundError: it is not there, or is no run's.
        ValueError: a file in it cannot be read.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not there: give the folder of a run, as runs/playground/stage2")
    if not (folder / "config.yaml").is_file():
        inside = sorted(path.parent.name for path in folder.glob("*/config.yaml"))
        hint = f"; there are runs in it: {', '.join(inside[:8])}" if inside else ""
        raise FileNotFoundError(f"{folder} is no run: there is no config.yaml in it{hint}")
    config = read_yaml(folder / "config.yaml")
    if not isinstance(config, dict):
        raise ValueError(f"{folder / 'config.yaml'} cannot be read: it holds no 'key: value' pairs")
    settings = flatten(config)
    curves = {name: curve for file in FILES for name, curve in read_metrics(folder / file).items()}
    if not curves:
        raise ValueError(f"{folder} has logged nothing yet: there is no row in its metrics.csv")
    path = folder / "report.json"
    try:
        report = read_object(path, allow_nan=True) if path.is_file() else {}
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    return RunFolder(folder, str(settings.get("name") or folder.name), settings, curves, report)
