"""GenAI-Bench as a suite of `python -m evals`: checked, drawn where there is a model, scored and summed up.

IMAGES/00000.jpeg            the image of prompt 00000; the layout that the authors' own scorer reads
IMAGES/drawn.json            model, seed and settings of the drawings
IMAGES/scores-HASH.jsonl     a score a line; the hash is that of who scored and how
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.hashes import hash_bytes, hash_json
from common.images import open_image
from evals.drawing import Order, draws, seed_of, who_drew
from evals.drawing_options import BATCH, check_sampling, load_model, record_of, sampling_of
from evals.drawn_folder import DrawnFolder
from evals.genai_bench.clip_t5 import ClipT5Scorer, is_clip_t5
from evals.genai_bench.playground import ExactScorer, playground_prompts
from evals.genai_bench.prompts import Prompt, read_prompts
from evals.genai_bench.scores import check_skills, summary
from evals.genai_bench.vqa_score import Scorer, VlmScorer
from evals.playground.suite import DRAWS
from evals.ranks import Ranks
from evals.score_cache import KeptScores, Numbers, scores_file

PLAYGROUND = "playground"  # as --prompts: its evaluation prompts; as --vlm: its exact judge
PER_CATEGORY = 50
VERSION = (
    "2"  # of how images are asked about; a change that moves a figure moves it (2: all through one opener)
)


def run(options: argparse.Namespace, ranks: Ranks) -> dict[str, Any]:
    """Draws what is missing, if there is a model, then scores; returns the report.

    Of several processes all draw and the first scores; the others return nothing.

    Raises:
        FileNotFoundError: a file, a folder or an image is not there.
        ValueError: options, prompts, images, VLM or model that do not fit each other.
    """
    prompts = prompts_of(options)
    check_skills(prompts[: options.limit])
    record = record_of(options, **sampling_of(options), **asked(prompts))
    images = folder_of(options.images, prompts, record, options.seed, options.limit)
    images.check()
    scorer = scorer_of(options) if ranks.first else None
    if record:
        model = load_model(options, DRAWS, "draw")
        images.fill(draws(model, record), options.batch or BATCH, ranks)
        del model
    if scorer is None:
        return {}
    scores = score(images, prompts, scorer)
    return scores | who_drew(options.images)


def check(options: argparse.Namespace) -> None:
    """What can be told from the options alone."""
    if lost := [f"--{name}" for name in ("images", "prompts", "vlm") if getattr(options, name) is None]:
        raise ValueError(f"--suite genai_bench needs {' and '.join(lost)}")
    check_sampling(options)
    if (options.prompts == PLAYGROUND) != (options.vlm == PLAYGROUND):
        raise ValueError("--prompts playground and --vlm playground go together: give both, or neither")
    if options.per_category is not None and options.prompts != PLAYGROUND:
        raise ValueError("--per-category is of the playground's prompts: leave it out, or give --limit")
    if options.vlm_tokenizer is not None and (options.vlm == PLAYGROUND or not is_clip_t5(options.vlm)):
        raise ValueError(f"--vlm-tokenizer is CLIP-FlanT5's, which {options.vlm} is not: leave it out")


def prompts_of(options: argparse.Namespace) -> list[Prompt]:
    """The prompts that the options choose, without regard to --limit.

    Raises:
        FileNotFoundError: they are not there.
        ValueError: some are none.
    """
    if options.prompts == PLAYGROUND:
        return playground_prompts(options.per_category or PER_CATEGORY, options.seed)
    return read_prompts(Path(options.prompts))


def asked(prompts: Sequence[Prompt]) -> dict[str, str]:
    """What tells drawings of these prompts from others."""
    return {"suite": "genai_bench", "prompts_hash": hash_json([[one.number, one.text] for one in prompts])}


def scorer_of(options: argparse.Namespace) -> Scorer:
    """Who scores, as the options choose.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: it does not load, or cannot be asked.
    """
    if options.vlm == PLAYGROUND:
        return ExactScorer(options.per_category or PER_CATEGORY, options.seed)
    if is_clip_t5(options.vlm):
        return ClipT5Scorer(options.vlm, options.device, options.vlm_tokenizer)
    return VlmScorer(options.vlm, options.device)


def folder_of(
    path: Path, prompts: Sequence[Prompt], record: Mapping[str, Any], seed: int, limit: int | None = None
) -> DrawnFolder:
    """The folder of the prompts' images.

    Args:
        path: where it is.
        prompts: of the whole set; their places in it fix the images' seeds.
        record: who draws them; empty where nothing is drawn.
        seed: of the whole.
        limit: how many of them are wanted, or None for all.
    """
    orders = [Order(f"{one.number}.jpeg", seed_of(seed, i), one.text) for i, one in enumerate(prompts)]
    return DrawnFolder(path, orders, orders[:limit], record)


def score(images: DrawnFolder, prompts: Sequence[Prompt], scorer: Scorer) -> dict[str, Any]:
    """Scores the wanted images, each once however often this is begun, and sums up.

    Args:
        images: of the prompts.
        prompts: of the whole set.
        scorer: who scores.

    Raises:
        FileNotFoundError: an image is missing.
        ValueError: there is one that nobody asked for, or that cannot be read.
    """
    pictures = images.pictures()
    texts = {order.path: order.source for order in images.wanted}
    about = {"vlm": scorer.name, "protocol": scorer.protocol, "version": VERSION}
    stamps = {name: hash_bytes(pictures[name].read(), text.encode()) for name, text in texts.items()}
    kept = KeptScores(scores_file(images.path, about), stamps)

    def measure(name: str) -> Numbers:
        image = open_image(pictures[name].read(), pictures[name].where)
        return {"vqa_score": scorer.score(image, texts[name])}

    kept.complete(measure)
    wanted = prompts[: len(texts)]
    scores = {one.number: kept.known[name]["vqa_score"] for one, name in zip(wanted, texts, strict=True)}
    untagged = sum(not prompt.tags for prompt in wanted)
    counts = {"samples": len(wanted), "of_prompts": len(prompts), "without_skill": untagged}
    return summary(wanted, scores) | counts | {"results": kept.path.name} | about
