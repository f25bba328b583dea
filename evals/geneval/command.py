"""GenEval as a suite of `python -m evals`: what its options mean, checked before work is spent."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evals.drawing import read_record, who_drew
from evals.drawing_options import BATCH, check_sampling, load_model, record_of, sampling_of
from evals.geneval import exact_judge, images
from evals.geneval.detectors import OFFICIAL, kind_of, load_detector
from evals.geneval.metadata import Prompt, read_prompts
from evals.geneval.rules import Rules
from evals.geneval.suite import Scorer, check_colours, draw, score
from evals.geneval.vocabulary import GENEVAL
from evals.playground.suite import DRAWS
from evals.ranks import Ranks
from evals.round_robin import in_turn

PLAYGROUND = "playground"  # as --prompts: its evaluation prompts; as --detector: its exact judge
SAMPLES = 4
THRESHOLDS = ("threshold", "counting_threshold", "overlap")


def run(options: argparse.Namespace, ranks: Ranks) -> dict[str, Any]:
    """Draws what is missing, if there is a model, then scores; returns the report.

    Of several processes all draw and the first scores; the others return nothing.

    Raises:
        FileNotFoundError: a file, a folder or an image is not there.
        ValueError: options, prompts, images, detector or model that do not fit each other.
    """
    samples = options.seeds or read_record(options.images).get("samples", SAMPLES)
    prompts = prompts_of(options)
    record = record_of(options, samples=samples, **sampling_of(options), prompts=len(prompts))
    if record:
        images.check_record(options.images, record, prompts, samples)
    else:
        found = images.existing(options.images, prompts, samples)
        images.check_whole(options.images, found, prompts, samples)
    scorer = scorer_of(options, prompts)
    check_colours(prompts, scorer)
    if record:
        model = load_model(options, DRAWS, "draw")
        draw(model, options.images, prompts, record, options.batch or BATCH, ranks)
        del model
    if not ranks.first:
        return {}
    scores = score(options.images, prompts, samples, scorer)
    return scores | who_drew(options.images)


def check(options: argparse.Namespace) -> None:
    """What can be told from the options alone."""
    lost = [f"--{name}" for name in ("images", "detector") if getattr(options, name) is None]
    if options.model is not None and options.prompts is None:
        lost.append("--prompts")
    if lost:
        raise ValueError(f"--suite geneval needs {' and '.join(lost)}")
    if options.per_category is not None and options.prompts != PLAYGROUND:
        raise ValueError(
            "--per-category is of the playground's prompts: give --prompts playground, or leave it out"
        )
    if options.limit is not None and options.prompts is None:
        raise ValueError("--limit takes some of the prompts of a file: give --prompts, or leave it out")
    check_sampling(options)
    on_playground = options.detector == PLAYGROUND
    if on_playground and options.clip is not None:
        raise ValueError("--detector playground tells colours itself: leave out --clip")
    if options.prompts == PLAYGROUND and not on_playground:
        raise ValueError(f"--prompts playground asks for shapes, which {options.detector} does not know: "
                         "give --detector playground as well")  # fmt: skip


def prompts_of(options: argparse.Namespace) -> list[Prompt]:
    """The prompts that the options choose, in order.

    Raises:
        FileNotFoundError: they are not there.
        ValueError: some are none.
    """
    words = exact_judge.VOCABULARY if options.detector == PLAYGROUND else GENEVAL
    if options.prompts is None:
        return images.read_folder(options.images, words)
    if options.prompts == PLAYGROUND:
        prompts = exact_judge.playground_prompts(options.per_category or 50, options.seed)
    else:
        prompts = read_prompts(Path(options.prompts), words)
    return [prompts[place] for place in in_turn([prompt.tag for prompt in prompts], options.limit)]


def scorer_of(options: argparse.Namespace, prompts: Sequence[Prompt]) -> Scorer:
    """The detector, CLIP and rules that the options choose.

    Raises:
        ValueError: one does not load, or does not fit the prompts.
    """
    given = {name: getattr(options, name) for name in THRESHOLDS if getattr(options, name) is not None}
    if options.detector == PLAYGROUND:
        if given:
            raise ValueError(
                f"--{next(iter(given)).replace('_', '-')} is of detectors that doubt: the playground's does not"
            )
        judge = exact_judge.ExactJudge()
        return Scorer(judge, judge, exact_judge.RULES)
    kind = kind_of(options.detector)
    if kind != OFFICIAL and len(given) < len(THRESHOLDS):
        names = ", ".join(f"--{name.replace('_', '-')}" for name in THRESHOLDS)
        raise ValueError(f"the official thresholds are made for Mask2Former, not for {kind}: give {names}")
    rules = Rules(**given)
    needed = {name for prompt in prompts for name in prompt.classes}
    detector = load_detector(options.detector, GENEVAL.classes, needed, options.device)
    if options.clip is None:
        return Scorer(detector, None, rules)
    from evals.geneval.colours import ClipColours

    return Scorer(detector, ClipColours(options.clip, options.device), rules)
