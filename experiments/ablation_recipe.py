"""An ablation's YAML: arms, seeds, and what is evaluated of each."""

from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from common.checks import check_run_name
from common.json_files import read_object
from common.paths import expand_all
from common.safe_yaml import read_yaml
from experiments.paired_statistics import MAX_SEEDS

KINDS = ("codebook", "reconstruction", "stem_alone", "vqa", "geneval", "editing", "assessment", "best_of")
RESERVED = ("model", "out", "help", "images")  # options of an evaluation that an ablation gives itself
PUBLISHED = Path(__file__).resolve().parent.parent / "evals" / "reports" / "published.json"


@dataclass(frozen=True)
class Ablation:
    """An ablation's YAML.

    Attributes:
        arms: name and config of each.
        gain_of: the arm whose gain is the result, each measure's over the first other arm that has it.
        seeds: fixed beforehand; every arm runs with each.
        evals: options of `python -m evals`, as {per-category: 50}; true stands for an option without a value.
        measured: of an arm that cannot do everything, the kinds of measures that are kept, as [geneval, editing].
        paper: the section of evals/reports/published.json that holds the paper's own table.
    """

    arms: dict[str, str]
    gain_of: str
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    evals: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, list[str]] = field(default_factory=dict)
    paper: str = ""

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(arm, other) that are compared: each with every one before it."""
        return [(later, earlier) for earlier, later in combinations(self.arms, 2)]

    @property
    def options(self) -> list[str]:
        """Options of `python -m evals`."""
        given = [(f"--{key}", value) for key, value in self.evals.items() if value is not False]
        return [text for key, value in given for text in ([key] if value is True else [key, str(value)])]

    def keep(self, arm: str, report: dict[str, float]) -> dict[str, float]:
        """The measures of a report that are kept of an arm."""
        kinds = self.measured.get(arm)
        return {name: v for name, v in report.items() if kinds is None or name.split("/")[0] in kinds}


def read_ablation(path: Path) -> Ablation:
    """Reads the YAML.

    Raises:
        ValueError: it is no ablation; the message says what is wrong.
    """
    content = expand_all(read_yaml(path))
    arms = content.get("arms") if isinstance(content, dict) else None
    texts = [text for arm in arms.items() for text in arm] if isinstance(arms, dict) else []
    if len(texts) < 4 or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{path} is no ablation: it needs `arms:`, two or more, each a name and its config")
    known = Ablation.__dataclass_fields__
    if unknown := set(content) - set(known):
        raise ValueError(
            f"{path} has the key {str(min(unknown, key=str))!r}, and there are {', '.join(known)}"
        )
    found = Ablation(**{"gain_of": list(arms)[1], **content})
    _check(found, str(path))
    return found


def _check(found: Ablation, where: str) -> None:
    """Raises ValueError for what would only be noticed once work is spent."""
    for arm in found.arms:
        check_run_name(arm, f"{where}: an arm of `arms:`")
    if not isinstance(found.gain_of, str) or found.gain_of not in found.arms:
        raise ValueError(
            f"{where}: gain_of is {found.gain_of!r}, which is none of its arms {', '.join(found.arms)}"
        )
    check_seeds(found.seeds, f"{where}: seeds")
    for name in ("evals", "measured"):
        if not isinstance(getattr(found, name), dict):
            raise ValueError(f"{where}: {name} must hold 'key: value' lines")
    for arm, kinds in found.measured.items():
        if arm not in found.arms:
            raise ValueError(f"{where}: measured names {str(arm)!r}, which is no arm")
        if not isinstance(kinds, list) or not set(map(str, kinds)) <= set(KINDS):
            raise ValueError(f"{where}: measured, {arm}: a list of {', '.join(KINDS)}")
    sections = [name for name, rows in read_object(PUBLISHED).items() if isinstance(rows, list)]
    if found.paper and found.paper not in sections:
        raise ValueError(f"{where}: paper is {found.paper!r}, which is no section of {', '.join(sections)}")
    if wrong := [key for key in found.evals if not isinstance(key, str) or key in RESERVED]:
        raise ValueError(f"{where}: evals has {str(wrong[0])!r}, which an ablation gives itself")


def check_seeds(seeds: Any, where: str) -> None:
    """Raises ValueError where these cannot be the seeds of an ablation."""
    valid = isinstance(seeds, list) and all(isinstance(s, int) and s >= 0 for s in seeds)
    if not valid or not 1 <= len(seeds) <= MAX_SEEDS or len(set(seeds)) < len(seeds):
        raise ValueError(f"{where}: 1 to {MAX_SEEDS} whole numbers from 0, each once")
