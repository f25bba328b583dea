"""An ablation as its YAML says it: arms, seeds, and what is measured of each."""

import json
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from common.checks import check_run_name
from common.paths import expand_all
from common.safe_yaml import read_yaml
from experiments.paired_statistics import MOST_SEEDS

KINDS = ("codebook", "reconstruction", "stem_alone", "vqa", "geneval", "editing", "assessment", "best_of")
OURS = ("model", "out", "help", "images")  # options of an evaluation that an ablation gives itself
PUBLISHED = Path(__file__).resolve().parent.parent / "evals" / "reports" / "published.json"


@dataclass(frozen=True)
class Ablation:
    """What an ablation's YAML says.

    Attributes:
        arms: name and config of each.
        of: the arm whose gain is the result, each measure's over the first other arm that has it.
        seeds: fixed beforehand; every arm runs with each.
        evals: options of `python -m evals`, as {per-category: 50}; true stands for an option without a value.
        measured: of an arm that cannot do everything, the kinds of measures that are kept, as [geneval, editing].
        paper: the section of evals/reports/published.json that holds the paper's own table.
    """

    arms: dict[str, str]
    of: str
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    evals: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, list[str]] = field(default_factory=dict)
    paper: str = ""

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(arm, other) that are compared: each with every one before it."""
        return [(later, earlier) for earlier, later in combinations(self.arms, 2)]

    @property
    def words(self) -> list[str]:
        """Options of `python -m evals`."""
        given = {key: value for key, value in self.evals.items() if value is not False}
        return [w for k, v in given.items() for w in ([f"--{k}"] if v is True else [f"--{k}", str(v)])]


def read_ablation(path: Path) -> Ablation:
    """Reads the YAML.

    Raises:
        ValueError: it is no ablation; says what is wrong.
    """
    content = expand_all(read_yaml(path))
    arms = content.get("arms") if isinstance(content, dict) else None
    if (
        not isinstance(arms, dict)
        or len(arms) < 2
        or not all(isinstance(w, str) for a in arms.items() for w in a)
    ):
        raise ValueError(f"{path} is no ablation: it needs `arms:`, two or more, each a name and its config")
    if unknown := set(content) - set(Ablation.__dataclass_fields__):
        known = ", ".join(Ablation.__dataclass_fields__)
        raise ValueError(f"{path} has the key {str(min(unknown, key=str))!r}, and there are {known}")
    found = Ablation(**{"of": list(arms)[1], **content})
    _check(found, path)
    return found


def _check(found: Ablation, path: Path) -> None:
    """Raises ValueError for what would only be noticed once work is spent."""
    for arm in found.arms:
        check_run_name(arm, f"{path}: an arm of `arms:`")
    if not isinstance(found.of, str) or found.of not in found.arms:
        raise ValueError(f"{path}: of is {found.of!r}, which is none of its arms {', '.join(found.arms)}")
    check_seeds(found.seeds, f"{path}: seeds")
    for name in ("evals", "measured"):
        if not isinstance(getattr(found, name), dict):
            raise ValueError(f"{path}: {name} must hold 'key: value' lines")
    for arm, kinds in found.measured.items():
        if arm not in found.arms:
            raise ValueError(f"{path}: measured names {str(arm)!r}, which is no arm")
        if not isinstance(kinds, list) or not set(map(str, kinds)) <= set(KINDS):
            raise ValueError(f"{path}: measured, {arm}: a list of {', '.join(KINDS)}")
    papers = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    if found.paper and not isinstance(papers.get(str(found.paper)), list):
        sections = [name for name, rows in papers.items() if isinstance(rows, list)]
        raise ValueError(f"{path}: paper is {found.paper!r}, which is no section of {', '.join(sections)}")
    if wrong := [key for key in found.evals if not isinstance(key, str) or key in OURS]:
        raise ValueError(f"{path}: evals has {str(wrong[0])!r}, which an ablation gives itself")


def check_seeds(seeds: Any, where: str) -> None:
    """Raises ValueError where these cannot be the seeds of an ablation."""
    right = isinstance(seeds, list) and all(isinstance(s, int) and s >= 0 for s in seeds)
    if not right or not 1 <= len(seeds) <= MOST_SEEDS or len(set(seeds)) < len(seeds):
        raise ValueError(f"{where}: 1 to {MOST_SEEDS} whole numbers from 0, each once")
