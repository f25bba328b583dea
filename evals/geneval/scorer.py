"""The verdict on one image: what a detector and CLIP find in it, held against GenEval's rules."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image

from evals.geneval.detection import ColourReader, Detection, Detector, select
from evals.geneval.metadata import Prompt
from evals.geneval.rules import Rules, judge

VERSION = "2"  # of the rules and of how detections are made; a change that moves a figure moves it


@dataclass(frozen=True)
class Scorer:
    """A detector, a reader of colours (None: no prompt asks for one), and the rules."""

    detector: Detector
    colours: ColourReader | None
    rules: Rules

    @property
    def about(self) -> dict[str, Any]:
        """What a report says of it, and what tells its results from another's."""
        clip = None if self.colours is None else self.colours.name
        return {"detector": self.detector.name, "clip": clip, "version": VERSION, **asdict(self.rules)}

    def score(self, image: Image.Image, prompt: Prompt) -> dict[str, Any]:
        """The verdict on an RGB image in the official scorer's columns, with the boxes that it is based on."""
        rules, threshold = self.rules, self.rules.threshold_for(prompt.tag)
        found = select(self.detector.detect(image, threshold), threshold, rules.most, rules.overlap)

        def read_colours(objects: Sequence[Detection], name: str) -> list[str]:
            assert self.colours is not None  # GenEvalBenchmark has checked it
            return self.colours.read_colours(image, objects, name)

        verdict = judge(prompt, found, read_colours, rules)
        details = {name: [[*one.box, one.score] for one in objects] for name, objects in found.items()}
        return {
            "tag": prompt.tag,
            "prompt": prompt.text,
            "correct": verdict.correct,
            "reason": "\n".join(verdict.reasons),
            "metadata": prompt.line,
            "details": json.dumps(details),
        }
