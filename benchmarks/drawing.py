"""Drawing against `transformers`: `python -m benchmarks.drawing [--json]`.

Image codes a second, 8 images at once under guidance, by our loop and in turn, with the same weights and prompts, by
`generate` with `guidance_scale` (256 codes, a vocabulary of 48,384) and by `JanusForConditionalGeneration` (576 codes).
Before anything is timed, both sides write greedily, and the codes are compared.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from transformers import JanusConfig, JanusForConditionalGeneration, LlamaConfig, LlamaForCausalLM
from transformers.generation.logits_process import LogitsProcessor, LogitsProcessorList

from benchmarks.figures import over, show
from models.language.drawing import draw_codes
from models.language.unified_lm import UnifiedLM
from models.sequence import Segment

VOCABULARY, CODES, SPECIAL = 48_384, 16_384, 7
TEXT = VOCABULARY - CODES - SPECIAL
PROMPT, BATCH, CFG = 16, 8, 2.0
SIZES = {"": (256, 6, 688), "_large": (512, 8, 1376)}  # width, layers, width between
SHARP = 20.0  # logits far enough apart that greedy choices do not hang on rounding
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


def our_model(width: int, layers: int, between: int, tokens: int) -> UnifiedLM:
    """A language model with random weights."""
    torch.manual_seed(0)
    trunk = {
        "model_type": "llama",
        "hidden_size": width,
        "intermediate_size": between,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 64,
        "num_key_value_heads": width // 64,
        "max_position_embeddings": 1024,
    }
    model = UnifiedLM(trunk, TEXT, CODES, 64, tokens, tokens).eval().requires_grad_(False)
    model.vision_head.mul_(SHARP)
    return model


def our_draw(model: UnifiedLM, prompts: Tensor, nulls: Tensor) -> Draw:
    """Our loop, as `Illume.draw` calls it."""

    def segments(rows: Tensor) -> list[Segment]:
        made = []
        for row in rows.tolist():
            segment = Segment()
            segment.add(row)
            made.append(segment)
        return made

    asked, without = segments(prompts), segments(nulls)
    nothing = torch.zeros(0, model.draw_tokens, 64)
    seeds = list(range(len(prompts)))
    return lambda greedy: draw_codes(
        model, asked, without, nothing, nothing, seeds, CFG, 0.0 if greedy else 1.0
    )


class OnlyCodes(LogitsProcessor):
    """Leaves the codes alone: one addition of a mask that is there."""

    def __init__(self, first: int, size: int) -> None:
        self.mask = torch.zeros(size)
        self.mask[:first] = -torch.inf

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, V) with nothing but codes to choose from."""
        return scores + self.mask


def generate_draw(model: UnifiedLM, prompts: Tensor, nulls: Tensor) -> Draw:
    """`transformers` generate with guidance_scale, on a causal LM of the same weights."""
    config = LlamaConfig(**{**_shared(model), "vocab_size": VOCABULARY, "tie_word_embeddings": False})
    peer = LlamaForCausalLM(config).eval().requires_grad_(False)
    _copy_trunk(model.trunk, peer.model)
    peer.model.embed_tokens.weight.copy_(torch.cat([model.text_embedding, model.vision_embedding]))
    peer.lm_head.weight.copy_(torch.cat([model.text_head, model.vision_head]))
    peer.generation_config.pad_token_id = 0
    only = LogitsProcessorList([OnlyCodes(TEXT + SPECIAL, VOCABULARY)])

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
        text_config={**_shared(model), "vocab_size": TEXT},
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
    _copy_trunk(model.trunk, peer.model.language_model)
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


def _shared(model: UnifiedLM) -> dict[str, Any]:
    known = model.trunk.config
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    names += ("num_key_value_heads", "max_position_embeddings")
    return {name: getattr(known, name) for name in names}


def _copy_trunk(ours: nn.Module, theirs: nn.Module) -> None:
    theirs.load_state_dict(
        {k: v for k, v in ours.state_dict().items() if "embed_tokens" not in k}, strict=False
    )


def seconds(draw: Draw) -> float:
    """Of one drawing that samples."""
    start = time.perf_counter()
    draw(False)
    return time.perf_counter() - start


def compare(ours: Draw, theirs: Draw, codes: int, rounds: int) -> dict[str, Any]:
    """Both sides in turn, after a greedy drawing of each that must agree."""
    same = (ours(True) == theirs(True)).float().mean().item()
    pairs = [(seconds(theirs), seconds(ours)) for _ in range(rounds)]
    ratios = [slow / fast for slow, fast in pairs]
    return {
        **over(ratios, "speedup", digits=2),
        "our_codes_per_second": round(codes / statistics.median(fast for _, fast in pairs)),
        "their_codes_per_second": round(codes / statistics.median(slow for slow, _ in pairs)),
        "equal_codes": round(same, 4),
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


def measure(rounds: int) -> dict[str, Any]:
    """All comparisons."""
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randint(3, TEXT, (BATCH, PROMPT), generator=generator)
    nulls = prompts[:1].expand(BATCH, -1).clone()
    found: dict[str, Any] = {}
    for name, size in SIZES.items():
        model = our_model(*size, tokens=256)
        ours = our_draw(model, prompts, nulls)
        result = compare(ours, generate_draw(model, prompts, nulls), BATCH * 256, rounds)
        found[f"speedup_over_transformers_generate{name}"] = result["speedup"]
        found[f"generate{name}"] = result | {"matrix_share": round(matrix_share(ours), 3)}
    model = our_model(*SIZES[""], tokens=576)
    theirs, asked, without = janus_draw(model, prompts)
    result = compare(our_draw(model, asked, without), theirs, BATCH * 576, rounds)
    found |= {"speedup_over_janus": result["speedup"], "janus": result}
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    return found | {"versions": versions, "threads": torch.get_num_threads(), "cpus": os.cpu_count()}


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.drawing", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="JSON alone")
    options = parser.parse_args(arguments)
    transformers.utils.logging.set_verbosity_error()
    found = measure(options.rounds)
    show(found, options.json)


if __name__ == "__main__":
    main()
