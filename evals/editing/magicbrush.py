"""MagicBrush's test set (arXiv 2306.10012) unpacked: sessions of one or more turns, each with a reference image.

    edit_sessions.json          {"139": [{"input": "139-input.png", "output": "139-output1.png", "instruction": ...}]}
    global_descriptions.json    {"139": {"139-input.png": "what it shows", "139-output1.png": ...}}
    images/139/139-input.png    and so on

Results have the names that the authors' own scorer reads. One turn: each edit starts from the reference of the turn
before (`139/139_1.png`, `139/139_inde_2.png`). Several: each starts from the result before (`139/139_1.png`,
`139/139_iter_2.png`), and the last of a session is measured.
"""

import re
from pathlib import Path
from typing import Any

from common.checks import check_text
from common.json_files import read_object
from evals.editing.edits import Comparison, Edit, EditingTestSet

SESSIONS, DESCRIPTIONS = "edit_sessions.json", "global_descriptions.json"
SESSION = re.compile(r"[\w-]+")
TURN = ("input", "output", "instruction")
PROTOCOL = (
    "MagicBrush's: DINO, CLIP-I and L1 against the right answer, CLIP-T against its description; CLIP-DIR, which it has "
    "not, between the images before and after and their descriptions"
)


def read_magicbrush(folder: Path, results: Path, multi_turn: bool, limit: int | None) -> EditingTestSet:
    """The edits of a folder, of which those of the first `limit` sessions are asked for.

    Edits of several turns, which `multi_turn` asks for as well, start from images in the folder `results`.

    Raises FileNotFoundError if a file or an image is not there; ValueError if a file is invalid; the message says where.
    """
    give = "give --data the folder of MagicBrush's test set, unpacked"
    sessions = read_object(folder / SESSIONS, required=give)
    captions = read_object(folder / DESCRIPTIONS, required=give)
    edits: list[Edit] = []
    single: list[Comparison] = []
    several: list[Comparison] = []
    wanted: set[str] = set()
    for index, (session, turns) in enumerate(sessions.items()):
        one = _Session(folder, results, session, turns, captions.get(session))
        edits += one.edits()
        if limit is None or index < limit:
            single += one.single()
            several.append(one.several())
            wanted |= {edit.name for edit in one.edits() if multi_turn or "_iter_" not in edit.name}
    comparisons = {"magicbrush": single} | ({"magicbrush/multi_turn": several} if multi_turn else {})
    return EditingTestSet(edits, frozenset(wanted), comparisons, PROTOCOL)


class _Session:
    """One session, whose images are there, each with a caption."""

    def __init__(self, folder: Path, results: Path, name: str, turns: Any, captions: Any) -> None:
        where = f"{folder / SESSIONS}: {name}"
        if not SESSION.fullmatch(name):
            raise ValueError(f"{where}: a session's name is letters and digits")
        if not isinstance(turns, list) or not turns:
            raise ValueError(f"{where} must be a list of turns")
        self.name, self.results, self.turns = name, results, turns
        self.images = folder / "images" / name
        self.captions = captions if isinstance(captions, dict) else {}
        for i, turn in enumerate(turns):
            self._check(turn, f"{where}: turn {i + 1}")

    def _check(self, turn: Any, where: str) -> None:
        if not isinstance(turn, dict):
            raise ValueError(f"{where} must be an object with {', '.join(TURN)}")
        for key in TURN:
            check_text(turn.get(key), f"{where}: {key}")
        for key in ("input", "output"):
            if Path(turn[key]).name != turn[key] or not (self.images / turn[key]).is_file():
                raise FileNotFoundError(f"{where}: there is no image {self.images / turn[key]}")
            caption = self.captions.get(turn[key])
            if not isinstance(caption, str) or not caption.strip():
                raise ValueError(f"{where}: {DESCRIPTIONS} has no description of {turn[key]}")

    def _result(self, turn: int, kind: str) -> str:
        return f"{self.name}/{self.name}_{'' if turn == 0 else f'{kind}_'}{turn + 1}.png"

    def edits(self) -> list[Edit]:
        """Every edit of the session: each turn by itself, then each that starts from a result."""
        turns = range(len(self.turns))
        alone = [self._edit(i, "inde", self.images / self.turns[i]["input"]) for i in turns]
        return alone + [self._edit(i, "iter", self.results / self._result(i - 1, "iter")) for i in turns[1:]]

    def _edit(self, turn: int, kind: str, before: Path) -> Edit:
        instruction = self.turns[turn]["instruction"]
        return Edit(self._result(turn, kind), instruction, before.read_bytes, self.name, turn)

    def single(self) -> list[Comparison]:
        """Each turn's result against its reference."""
        return [
            self._comparison(self._result(i, "inde"), turn["input"], turn["output"])
            for i, turn in enumerate(self.turns)
        ]

    def several(self) -> Comparison:
        """The last result against the last reference."""
        last = len(self.turns) - 1
        return self._comparison(
            self._result(last, "iter"), self.turns[0]["input"], self.turns[last]["output"]
        )

    def _comparison(self, name: str, before: str, after: str) -> Comparison:
        reads = ((self.images / before).read_bytes, (self.images / after).read_bytes)
        return Comparison(name, *reads, self.captions[before], self.captions[after], self.name)
