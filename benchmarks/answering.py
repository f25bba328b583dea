"""Answering against `transformers` generate: `python -m benchmarks.answering [--json]`.

Sixteen questions of different lengths about four images, answered at once and greedily until each answer ends, by us
and in turn, with the same weights and prompts, by `generate` on a causal LM, which is given the embedded prompts padded
on the left. Before anything is timed the answers are compared, word by word.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import LogitsProcessorList

from benchmarks.language_models import Only, causal_lm
from benchmarks.harness import command, in_turn, made_with, over, show
from benchmarks.model_work import reading, writing
from benchmarks.roofline import Work
from benchmarks.sizes import LARGE, SMALL, llama
from models.language.prefill import write_text
from models.language.unified_lm import UnifiedLM
from models.sequence import SEE, Segment

TEXT, CODES, FEATURES, IMAGE = 32_000, 16_384, 64, 256
IMAGES, QUESTIONS, WORDS = 4, 4, (6, 24)  # questions about each image, words in one
LIMIT = 64  # words in an answer
SIZES = {"": SMALL, "_large": LARGE}
LOUD, ENDS = (
    5.0,
    2.5,
)  # by which weights of trunk and closing token grow, so that answers wander, and end here or there

Answer = Callable[[], list[list[int]]]


def our_model(width: int, layers: int, between: int) -> UnifiedLM:
    """A language model with random weights, some of whose answers end early."""
    torch.manual_seed(0)
    model = UnifiedLM(llama(width, layers, between), TEXT, CODES, FEATURES, IMAGE, IMAGE, "causal")
    model.eval().requires_grad_(False)
    for weight in model.parts()["trunk"]:
        weight.mul_(LOUD if weight.ndim == 2 else 1)
    model.vision_head[model.vocabulary.special("end") - TEXT].mul_(ENDS)
    return model


def questions(model: UnifiedLM) -> tuple[list[Segment], Tensor]:
    """Prompts, image first, and the features (Q, N, F) that each of them shows."""
    generator = torch.Generator().manual_seed(0)
    special, prompts, shown = model.vocabulary.special, [], []
    for _ in range(IMAGES):
        image = torch.zeros(3, 1, 1, dtype=torch.uint8)  # what tells which prompts share one
        features = torch.randn(IMAGE, FEATURES, generator=generator)
        for _ in range(QUESTIONS):
            count = int(torch.randint(*WORDS, (), generator=generator))
            segment = Segment(images=[image], image_uses=[SEE])
            segment.add([special("begin"), special("user"), special("begin_image")])
            segment.add([special("pad")] * IMAGE, kind=SEE, block=0)
            segment.add([special("end_image")])
            segment.add(torch.randint(3, TEXT, (count,), generator=generator).tolist())
            segment.add([special("end"), special("assistant")])
            prompts.append(segment)
            shown.append(features)
    return prompts, torch.stack(shown)


def generate_answer(model: UnifiedLM, prompts: list[Segment], features: Tensor) -> Answer:
    """`transformers` generate on a causal LM of the same weights, which reads the same embeddings."""
    peer, special = causal_lm(model), model.vocabulary.special
    closing = [special("end"), special("begin_image")]
    only = LogitsProcessorList([Only([*range(TEXT), *closing], model.vocabulary.size)])
    length = max(map(len, prompts))

    def padded(lists: list[list[int]], fill: int) -> Tensor:
        return torch.tensor([[fill] * (length - len(own)) + own for own in lists])

    ids, kinds = padded([p.ids for p in prompts], 0), padded([p.kinds for p in prompts], -1)

    def answer() -> list[list[int]]:
        with torch.no_grad():
            written = peer.generate(
                inputs_embeds=model.embed(ids, features, kinds == SEE),
                attention_mask=(kinds >= 0).long(),
                do_sample=False,
                max_new_tokens=LIMIT,
                eos_token_id=closing,
                pad_token_id=0,
                logits_processor=only,
            )
        return [_ended(row, closing) for row in written.tolist()]

    return answer


def _ended(row: list[int], closing: list[int]) -> list[int]:
    """A row up to what ends it."""
    end = next((i for i, word in enumerate(row) if word in closing), len(row))
    return row[: end + 1]


def seconds(answer: Answer) -> float:
    """Of one batch of answers."""
    start = time.perf_counter()
    answer()
    return time.perf_counter() - start


def work(model: UnifiedLM, prompts: list[Segment], longest: int) -> Work:
    """What reading each image and question once, and then as many steps as the longest answer, takes at least."""
    rows, before = len(prompts), round(statistics.mean(map(len, prompts)))
    image = prompts[0].kinds.index(SEE) + IMAGE
    read = IMAGES * image + sum(len(prompt) - image for prompt in prompts)
    return reading(model, read) + writing(model, rows, rows, TEXT + 2, before, longest)


def compare(size: tuple[int, int, int], rounds: int) -> dict[str, Any]:
    """Both sides in turn, after an answer of each that must agree."""
    model = our_model(*size)
    prompts, features = questions(model)
    theirs = generate_answer(model, prompts, features)

    def ours() -> list[list[int]]:
        return write_text(model, prompts, features, LIMIT)

    own, other = ours(), theirs()
    slow, fast = in_turn(lambda: seconds(theirs), lambda: seconds(ours), rounds)
    words = sum(map(len, own))
    return {
        **over([their / our for their, our in zip(slow, fast, strict=True)], "speedup", digits=2),
        "our_words_per_second": round(words / statistics.median(fast)),
        "their_words_per_second": round(words / statistics.median(slow)),
        "equal_answers": sum(a == b for a, b in zip(own, other, strict=True)) / len(own),
        "words": [min(map(len, own)), max(map(len, own))],
        "roofline": work(model, prompts, max(map(len, own))).beside(statistics.median(fast)),
    }


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = command("answering", __doc__)
    options = parser.parse_args(arguments)
    transformers.utils.logging.set_verbosity_error()
    found: dict[str, Any] = {}
    for name, size in SIZES.items():
        found[f"answering{name}"] = compare(size, options.rounds)
    show(found | made_with("transformers"), options.json)


if __name__ == "__main__":
    main()
