"""GenEval as a benchmark: its prompts, its folder, and the scores of a detector and CLIP."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from common.hashes import hash_json
from evals.benchmark import Benchmark
from evals.drawing_record import read_record
from evals.geneval import exact_judge
from evals.geneval.detection import ColourReader, Detection, Detector, select
from evals.geneval.folder import GenEvalFolder, image_stem, read_folder
from evals.geneval.metadata import Prompt, read_prompts
from evals.geneval.results import Results
from evals.geneval.rules import Rules, judge
from evals.geneval.scores import summary
from evals.geneval.vocabulary import GENEVAL
from evals.settings import PLAYGROUND, THRESHOLDS, GenEvalSettings
from evals.subsets import round_robin

VERSION = "2"  # of the rules and of how detections are made; a change that moves a figure moves it
SAMPLES, PER_CATEGORY = 4, 50


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


class GenEvalBenchmark(Benchmark):
    """GenEval on the images of a folder; without --prompts, on those that the folder's own metadata names."""

    name = "geneval"
    settings: GenEvalSettings

    def _read(self) -> None:
        settings, on_playground = self.settings, self.settings.detector == PLAYGROUND
        self.rules = exact_judge.RULES if on_playground else Rules(**settings.thresholds)
        vocabulary = exact_judge.VOCABULARY if on_playground else GENEVAL
        if settings.prompts is None:
            prompts = read_folder(self.images, vocabulary)
        elif settings.prompts == PLAYGROUND:
            prompts = exact_judge.playground_prompts(settings.per_category or PER_CATEGORY, settings.seed)
        else:
            prompts = read_prompts(Path(settings.prompts), vocabulary)
        self.prompts = [prompts[i] for i in round_robin([one.tag for one in prompts], settings.limit)]
        asked = next((p for p in self.prompts if any(wanted.colour for wanted in p.include)), None)
        if asked is not None and settings.clip is None and not on_playground:
            raise ValueError(f"--clip is missing: {asked.text!r} asks for a colour, which CLIP reads")
        self.samples = settings.seeds or read_record(self.images).get("samples", SAMPLES)
        self.requests = self.wanted = self._make_requests(
            (f"{image_stem(i, j)}.png", prompt.text)
            for i, prompt in enumerate(self.prompts)
            for j in range(self.samples)
        )
        self.identity = {"samples": self.samples, "prompts": len(self.prompts)}

    def folder(self, record: Mapping[str, Any]) -> GenEvalFolder:
        """The folder, in the official scorer's layout."""
        return GenEvalFolder(self.images, self.requests, self.wanted, record, self.prompts, self.samples)

    def load_scorer(self, device: str) -> Scorer:
        """The detector and CLIP. Raises ValueError if one does not load, or does not fit the prompts."""
        settings = self.settings
        if settings.detector == PLAYGROUND:
            judge = exact_judge.ExactJudge()
            return Scorer(judge, judge, self.rules)
        from evals.geneval.detectors import OFFICIAL, detector_kind, load_detector

        kind = detector_kind(settings.detector)
        if kind != OFFICIAL and len(settings.thresholds) < len(THRESHOLDS):
            names = ", ".join(f"--{name.replace('_', '-')}" for name in THRESHOLDS)
            raise ValueError(
                f"the official thresholds are made for Mask2Former, not for {kind}: give {names}"
            )
        needed = {name for prompt in self.prompts for name in prompt.classes}
        detector = load_detector(settings.detector, GENEVAL.classes, needed, device)
        colours = None
        if settings.clip is not None:
            from evals.geneval.colours import ClipColours

            colours = ClipColours(settings.clip, device)
        return Scorer(detector, colours, self.rules)

    def score(self, scorer: Scorer) -> dict[str, Any]:
        """The report of the verdicts."""
        files = self.folder({}).files()
        by_prompt = {file.name: self.prompts[i // self.samples] for i, file in enumerate(files.values())}
        by_name = {file.name: file for file in files.values()}
        hashes = {name: hashlib.sha256(file.read()).hexdigest()[:16] for name, file in by_name.items()}
        fingerprints = {name: (hashes[name], prompt.line) for name, prompt in by_prompt.items()}
        results = Results(self.images / f"results-{hash_json(scorer.about)}.jsonl", fingerprints)
        results.complete(
            lambda name: scorer.score(by_name[name].open(), by_prompt[name]) | {"image": hashes[name]}
        )
        correct = [results.rows[name]["correct"] for name in by_name]
        verdicts: dict[str, list[list[bool]]] = {}
        for i, prompt in enumerate(self.prompts):
            verdicts.setdefault(prompt.tag, []).append(correct[i * self.samples : (i + 1) * self.samples])
        about = {"samples": len(by_name), "prompts": len(self.prompts), "results": results.path.name}
        return summary(verdicts) | about | scorer.about
