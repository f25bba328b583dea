"""Answering against `transformers` generate: `python -m benchmarks.answering [--json]`.

Sixteen questions of different lengths about four images, answered at once and greedily until each answer ends, by us and,
with the same weights and prompts, by `generate` on a causal LM, which is given the embedded prompts padded on the left.
Before anything is timed the answers are compared, token by token.
"""

import statistics
from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import LogitsProcessorList

from benchmarks.harness import alternate, run
from benchmarks.language_models import (
    CODES,
    LARGE,
    SMALL,
    TEXT,
    AllowedTokens,
    Size,
    causal_lm,
    llama,
    random_model,
)
from benchmarks.roofline import Work, decode_work, prefill_work
from models.language.text_generation import generate_text
from models.language.unified_lm import UnifiedLM
from models.sequence import SEE, Segment

FEATURES, IMAGE = 64, 256
IMAGES, QUESTIONS, LENGTHS = 4, 4, (6, 24)  # questions about each image, tokens in one
LIMIT = 64  # tokens in an answer
# Factors of the weights of the trunk and of the closing token, so that answers vary, and end at different lengths.
TRUNK_SCALE, END_SCALE = 5.0, 2.5

Answer = Callable[[], list[list[int]]]


def our_model(size: Size) -> UnifiedLM:
    """A language model with random weights, some of whose answers end early."""
    model = random_model(llama(*size), TEXT, CODES, FEATURES, IMAGE, attend="causal")
    model.eval().requires_grad_(False)
    for weight in model.param_groups()["trunk"]:
        weight.mul_(TRUNK_SCALE if weight.ndim == 2 else 1)
    model.vision_head[model.vocabulary.special("end") - TEXT].mul_(END_SCALE)
    return model


def questions(model: UnifiedLM) -> list[Segment]:
    """Prompts, image first, with the features (N, F) of the image that each of them shows."""
    generator = torch.Generator().manual_seed(0)
    special, prompts = model.vocabulary.special, []
    for _ in range(IMAGES):
        features = torch.randn(IMAGE, FEATURES, generator=generator)
        for _ in range(QUESTIONS):
            count = int(torch.randint(*LENGTHS, (), generator=generator))
            segment = Segment(features=[features])
            segment.add([special("begin"), special("user"), special("begin_image")])
            segment.add([special("pad")] * IMAGE, kind=SEE, block=0)
            segment.add([special("end_image")])
            segment.add(torch.randint(3, TEXT, (count,), generator=generator).tolist())
            segment.add([special("end"), special("assistant")])
            prompts.append(segment)
    return prompts


def generate_answer(model: UnifiedLM, prompts: list[Segment]) -> Answer:
    """`transformers` generate on a causal LM of the same weights, which reads the same embeddings."""
    peer, special = causal_lm(model), model.vocabulary.special
    closing = [special("end"), special("begin_image")]
    only = LogitsProcessorList([AllowedTokens([*range(TEXT), *closing], model.vocabulary.size)])
    length = max(map(len, prompts))

    def pad(lists: list[list[int]], fill: int) -> Tensor:
        return torch.tensor([[fill] * (length - len(own)) + own for own in lists])

    features = torch.stack([prompt.features[0] for prompt in prompts])
    ids, kinds = pad([p.ids for p in prompts], 0), pad([p.kinds for p in prompts], -1)

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
        return [_truncate(row, closing) for row in written.tolist()]

    return answer


def _truncate(row: list[int], closing: list[int]) -> list[int]:
    """A row up to what ends it."""
    end = next((i for i, token in enumerate(row) if token in closing), len(row))
    return row[: end + 1]


def work(model: UnifiedLM, prompts: list[Segment], longest: int) -> Work:
    """What reading each image and question once, and then as many steps as the longest answer, takes at least."""
    rows, length = len(prompts), round(statistics.mean(map(len, prompts)))
    image = prompts[0].kinds.index(SEE) + IMAGE
    read = IMAGES * image + sum(len(prompt) - image for prompt in prompts)
    return prefill_work(model, read) + decode_work(model, rows, rows, TEXT + 2, length, longest)


def compare(size: Size, rounds: int) -> dict[str, Any]:
    """Compares both sides, an answer of each first."""
    model = our_model(size)
    prompts = questions(model)
    theirs = generate_answer(model, prompts)

    def ours() -> list[list[int]]:
        return generate_text(model, prompts, LIMIT)

    own, other = ours(), theirs()
    pairs = alternate(theirs, ours, rounds)
    tokens, lengths = sum(map(len, own)), sorted(map(len, own))
    return {
        **pairs.speedup(),
        "our_tokens_per_second": round(tokens / pairs.our_median),
        "their_tokens_per_second": round(tokens / pairs.their_median),
        "equal_answers": sum(a == b for a, b in zip(own, other, strict=True)) / len(own),
        "tokens": [lengths[0], lengths[-1]],
        "roofline": work(model, prompts, lengths[-1]).roofline(pairs.our_median),
    }


def measure(rounds: int = 5) -> dict[str, Any]:
    """Compares both sides at two sizes.

    Args:
        rounds: of both sides.
    """
    transformers.utils.logging.set_verbosity_error()
    return {"answering": compare(SMALL, rounds), "answering_large": compare(LARGE, rounds)}


if __name__ == "__main__":
    run(measure, "transformers")
