"""GenEval from beginning to end: what is missing is drawn, what is unscored is scored, and all of it summed up."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from common.hashes import hash_json
from common.images import open_image
from common.progress import progress
from evals.drawing import Draws, count
from evals.geneval import images
from evals.geneval.detection import ColourReader, Detector, selected
from evals.geneval.images import Place
from evals.geneval.metadata import Prompt
from evals.geneval.results import Result, Results
from evals.geneval.rules import Rules, judge
from evals.geneval.scores import summary
from evals.ranks import ALONE, Ranks

VERSION = "2"  # of the rules and of how detections are made; a change that moves a figure moves it


@dataclass(frozen=True)
class Scorer:
    """Who scores, and by which rules; `colours` may be None where no prompt asks for a colour."""

    detector: Detector
    colours: ColourReader | None
    rules: Rules

    @property
    def about(self) -> dict[str, Any]:
        """What a report says of it, and what tells its results from another's."""
        clip = None if self.colours is None else self.colours.name
        return {"detector": self.detector.name, "clip": clip, "version": VERSION, **asdict(self.rules)}

    @property
    def key(self) -> str:
        """Twelve hex digits of it."""
        return hash_json(self.about)

    def score(self, image: Image.Image, prompt: Prompt) -> dict[str, Any]:
        """The verdict on an RGB image in the official scorer's words, with the boxes that it rests on."""
        rules, least = self.rules, self.rules.least(prompt.tag)
        found = selected(self.detector.detect(image, least), least, rules.most, rules.overlap)

        def colours(objects: Sequence[Any], name: str) -> list[str]:
            assert self.colours is not None  # `check_colours` has been asked
            return self.colours.read(image, objects, name)

        verdict = judge(prompt, found, colours, rules)
        details = {name: [[*one.box, one.score] for one in objects] for name, objects in found.items()}
        said = {"tag": prompt.tag, "prompt": prompt.text, "correct": verdict.correct}
        said |= {
            "reason": "\n".join(verdict.reasons),
            "metadata": prompt.line,
            "details": json.dumps(details),
        }
        return said


def check_colours(prompts: Sequence[Prompt], scorer: Scorer) -> None:
    """Makes sure that somebody tells colours where they are asked for.

    Raises:
        ValueError: nobody does.
    """
    asked = next((p for p in prompts if any(wanted.colour for wanted in p.include)), None)
    if scorer.colours is None and asked is not None:
        raise ValueError(f"--clip is missing: {asked.text!r} asks for a colour, which CLIP tells")


def draw(
    model: Draws,
    folder: Path,
    prompts: Sequence[Prompt],
    record: Mapping[str, Any],
    batch: int,
    ranks: Ranks = ALONE,
) -> int:
    """Draws the images that are missing in a folder; returns how many of them this process drew.

    Raises:
        ValueError: the folder's images are not those that this would draw.
    """
    images.check_record(folder, record, prompts, record["samples"])
    return count(images.draw_missing(model, folder, prompts, record, batch, ranks))


def score(folder: Path, prompts: Sequence[Prompt], samples: int, scorer: Scorer) -> dict[str, Any]:
    """Scores a folder of images, each once however often this is begun, and sums up.

    Raises:
        FileNotFoundError: an image is missing.
        ValueError: there are others than there should be, or one that cannot be read.
    """
    found = images.existing(folder, prompts, samples)
    images.check_whole(folder, found, prompts, samples)
    check_colours(prompts, scorer)
    names = {place: found[place].relative_to(folder).as_posix() for place in images.wanted(prompts, samples)}
    hashes = {name: _hash(found[place].read_bytes()) for place, name in names.items()}
    lines = {name: prompts[place.prompt].line for place, name in names.items()}
    results = Results(folder / f"results-{scorer.key}.jsonl", hashes, lines)
    missing = [(place, name) for place, name in names.items() if name not in results.known]
    for place, name in progress(missing, "images scored"):
        image = open_image(found[place].read_bytes(), str(found[place]))
        said = scorer.score(image, prompts[place.prompt])
        results.add({"filename": name, **said, "image": hashes[name]})
    about = {"samples": len(names), "prompts": len(prompts), "results": results.path.name}
    return summary(_by_task(names, results.known, prompts)) | about | scorer.about


def _by_task(
    names: Mapping[Place, str], known: Mapping[str, Result], prompts: Sequence[Prompt]
) -> dict[str, list[list[bool]]]:
    """Of each task's prompts, which images are right."""
    verdicts: dict[int, list[bool]] = {}
    for place, name in names.items():
        verdicts.setdefault(place.prompt, []).append(known[name]["correct"])
    tasks: dict[str, list[list[bool]]] = {}
    for number, right in verdicts.items():
        tasks.setdefault(prompts[number].tag, []).append(right)
    return tasks


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
