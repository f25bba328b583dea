"""Drawing against `transformers`: `python -m benchmarks.drawing [--json]`.

Image codes a second, 8 images at once under guidance, by our loop and, with the same weights and prompts, by `generate`
with `guidance_scale` (256 codes, a vocabulary of 48,384) and by `JanusForConditionalGeneration` (576 codes). Before
anything is timed, both sides draw greedily, and the codes are compared.
"""

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from transformers import JanusConfig, JanusForConditionalGeneration, LogitsProcessorList

from benchmarks.harness import alternate, run
from benchmarks.language_models import (
    CODES,
    LARGE,
    SMALL,
    AllowedTokens,
    Size,
    causal_lm,
    copy_trunk,
    llama,
    random_model,
    text_segment,
    trunk_sizes,
)
from benchmarks.roofline import decode_work
from models.generation import SamplingConfig
from models.language.drawing import draw_codes
from models.language.unified_lm import UnifiedLM

VOCABULARY, SPECIAL = 48_384, 7
TEXT = VOCABULARY - CODES - SPECIAL
PROMPT, BATCH, CFG = 16, 8, 2.0
SHARP = 20.0  # logits far enough apart that greedy choices do not depend on rounding
PRODUCTS = (
    "aten::addmm",
    "aten::mm",
    "aten::bmm",
    "aten::baddbmm",
    "aten::_scaled_dot_product",
    "mkldnn::_linear",
)
BIAS = 20.0  # where GELU is the identity: Janus' head then computes what a linear one does

Draw = Callable[[bool], Tensor]  # greedy or not -> (B, N) codes


def our_model(size: Size, tokens: int) -> UnifiedLM:
    """A language model with random weights that draws images of so many tokens."""
    model = random_model(llama(*size), TEXT, CODES, 64, tokens).eval().requires_grad_(False)
    model.vision_head.mul_(SHARP)
    return model


def our_draw(model: UnifiedLM, prompts: Tensor, nulls: Tensor) -> Draw:
    """Our loop, as `Illume.draw` calls it."""
    segments, null_segments = ([text_segment(row) for row in rows.tolist()] for rows in (prompts, nulls))
    seeds = list(range(len(prompts)))
    return lambda greedy: draw_codes(
        model, segments, null_segments, seeds, SamplingConfig(CFG, 0.0 if greedy else 1.0)
    )


def generate_draw(model: UnifiedLM, prompts: Tensor, nulls: Tensor) -> Draw:
    """`transformers` generate with guidance_scale, on a causal LM of the same weights."""
    peer = causal_lm(model)
    only = LogitsProcessorList([AllowedTokens(range(TEXT + SPECIAL, VOCABULARY), VOCABULARY)])

    def draw(greedy: bool) -> Tensor:
        made = peer.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            negative_prompt_ids=nulls,
            negative_prompt_attention_mask=torch.ones_like(nulls),
            guidance_scale=CFG,
            **_sampling(greedy),
            max_new_tokens=model.draw_tokens,
            min_new_tokens=model.draw_tokens,
            logits_processor=only,
        )
        return made[:, prompts.shape[1] :] - TEXT - SPECIAL

    return draw


def janus_draw(model: UnifiedLM, prompts: Tensor) -> tuple[Draw, Tensor, Tensor]:
    """Janus of equal width and depth and the same weights; also the prompts and nulls that it reads."""
    width = model.trunk.config.hidden_size
    config = JanusConfig(
        text_config={**trunk_sizes(model), "vocab_size": TEXT},
        vision_config={
            "hidden_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "projection_dim": width,
            "num_image_tokens": model.draw_tokens,
        },
        vq_config={"base_channels": 32, "projection_dim": width, "image_token_embed_dim": width},
    )
    peer = JanusForConditionalGeneration(config).eval().requires_grad_(False)
    copy_trunk(model.trunk, peer.model.language_model)
    peer.model.language_model.embed_tokens.weight.copy_(model.text_embedding)
    codes = peer.model.generation_aligner(peer.model.generation_embeddings.weight)  # what its steps compute
    model.vision_embedding[SPECIAL:] = codes
    head = peer.model.generation_head
    head.proj_out.weight.copy_(torch.eye(width))
    head.proj_out.bias.fill_(BIAS)
    head.vision_head.weight.copy_(model.vision_head[SPECIAL:])
    head.vision_head.bias.copy_(-BIAS * model.vision_head[SPECIAL:].sum(1))
    settings = peer.generation_config
    settings.pad_token_id, settings.bos_token_id, settings.max_length = 0, 1, prompts.shape[1] + 1
    settings.generation_kwargs = {"boi_token_id": 2}
    asked = torch.cat(
        [torch.ones_like(prompts[:, :1]), prompts[:, 1:-1], torch.full_like(prompts[:, :1], 2)], 1
    )
    nulls = asked.masked_fill((asked != 1) & (asked != 2), 0)

    def draw(greedy: bool) -> Tensor:
        return peer.generate(
            asked,
            attention_mask=torch.ones_like(asked),
            generation_mode="image",
            guidance_scale=CFG,
            **_sampling(greedy),
        )

    return draw, asked, nulls


def _sampling(greedy: bool) -> dict[str, Any]:
    return {"do_sample": False} if greedy else {"do_sample": True, "top_k": 0}


def compare(ours: Draw, theirs: Draw, model: UnifiedLM, rounds: int) -> dict[str, Any]:
    """Compares both sides, a greedy drawing of each first."""
    same = (ours(True) == theirs(True)).float().mean().item()
    pairs = alternate(lambda: theirs(False), lambda: ours(False), rounds)
    codes = BATCH * model.draw_tokens
    work = decode_work(model, 2 * BATCH, BATCH, CODES, PROMPT, model.draw_tokens)
    return {
        **pairs.speedup(),
        "our_codes_per_second": round(codes / pairs.our_median),
        "their_codes_per_second": round(codes / pairs.their_median),
        "equal_codes": round(same, 4),
        "roofline": work.roofline(pairs.our_median),
    }


def matrix_share(ours: Draw) -> float:
    """The part of the loop's time that goes into matrix products."""
    with profile(activities=[ProfilerActivity.CPU]) as record:
        ours(False)
    events = record.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    products = sum(
        event.cpu_time_total if "_scaled_dot_product" in event.key else event.self_cpu_time_total
        for event in events
        if event.key.startswith(PRODUCTS)
    )
    return products / total


def measure(rounds: int = 5) -> dict[str, Any]:
    """Compares our loop to both peers.

    Args:
        rounds: of both sides.
    """
    transformers.utils.logging.set_verbosity_error()
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randint(3, TEXT, (BATCH, PROMPT), generator=generator)
    nulls = prompts[:1].expand(BATCH, -1).clone()
    found: dict[str, Any] = {}
    for name, size in (("", SMALL), ("_large", LARGE)):
        model = our_model(size, tokens=256)
        ours = our_draw(model, prompts, nulls)
        result = compare(ours, generate_draw(model, prompts, nulls), model, rounds)
        found[f"speedup_over_transformers_generate{name}"] = result["speedup"]
        found[f"generate{name}"] = result | {"matrix_share": round(matrix_share(ours), 3)}
    model = our_model(SMALL, tokens=576)
    theirs, asked, janus_nulls = janus_draw(model, prompts)
    result = compare(our_draw(model, asked, janus_nulls), theirs, model, rounds)
    return found | {"speedup_over_janus": result["speedup"], "janus": result}


if __name__ == "__main__":
    run(measure, "transformers")
