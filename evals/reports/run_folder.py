"""A run as its folder tells it: settings, curves, scores, and whether its model can draw."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.json_files import read_object
from common.safe_yaml import read_yaml
from common.settings import flatten
from evals.reports.curves import Curve, read_metrics
from models.sampling_options import NAMES

FILES = ("metrics.csv", "machine.csv")
ABOUT = (
    "seed",
    "samples",
    "prompts",
    "seconds",
    "cpus",
    *NAMES,
    *(f"edit_{name}" for name in NAMES),
)  # of a report: numbers that are no score


@dataclass(frozen=True)
class RunFolder:
    """One run.

    Attributes:
        name: by which a page calls it.
        settings: of its config.yaml, by flat dotted keys.
        curves: points by metric.
        report: of its report.json, if there is one.
    """

    folder: Path
    name: str
    settings: dict[str, Any]
    curves: dict[str, Curve]
    report: dict[str, Any]

    @property
    def stage(self) -> str:
        """What it trains: the module's class, and for a language model the parts that learn (ILLUME's table 5)."""
        kind = str(self.settings.get("model.class_path", "unknown")).rpartition(".")[2]
        rates = {key.rpartition(".")[2]: rate for key, rate in self.settings.items() if ".rates." in key}
        parts = sorted(part for part, rate in rates.items() if rate)
        return f"{kind} with {', '.join(parts)}" if parts else kind

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
            if isinstance(value, (int, float)) and name not in ABOUT
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
    settings = flatten(_settings(folder / "config.yaml"))
    curves = {name: curve for file in FILES for name, curve in read_metrics(folder / file).items()}
    if not curves:
        raise ValueError(f"{folder} has logged nothing yet: there is no row in its metrics.csv")
    path = folder / "report.json"
    try:
        report = read_object(path, allow_nan=True) if path.is_file() else {}
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    return RunFolder(folder, str(settings.get("name") or folder.name), settings, curves, report)


def _settings(path: Path) -> dict[str, Any]:
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} cannot be read: it holds no 'key: value' pairs")
    return content
