"""The checks of `benchmarks/gpu_check.py`: each takes a setting and returns what it found, `ok` among it."""

import copy
import importlib.util
import statistics
import time
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from training.plan.placing import Placing
from training.plan.steps import Phase

from benchmarks.gpu_models import Setting, batch_of, eyes_of, language_of, load_of
from lightning_modules.language import LanguageModule
from lightning_modules.optimization import train_only
from models import sharding
from models.device import check_device
from models.document import draw_document
from models.generation import SamplingConfig
from models.language.cache_memory import bytes_per_drawing
from models.language.drawing import draw_codes
from models.language.lora import add_lora, plan_lora
from models.language.text_tokenizer import blank_text_tokenizer
from models.language.weight_dtypes import set_weight_dtypes
from models.precision import frozen_features
from models.unified import Illume
from training.device_stats import measured_flops_per_second, peak_memory, reset_peak_memory
from training.plan import steps
from training.plan.measure import compute_types, measure
from training.plan.memory import memory_of_step, optimizers_of
from training.plan.meter import Used

RATES = {"trunk": 1e-4, "text": 1e-4, "adapter": 1e-4, "vision": 1e-4}
LORA = {"r": 64, "lora_alpha": 16, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}
PLACING = Placing(1, 1, "single", "bf16-mixed", 1, 10, False)
STEPS = 5  # timed, after one to warm up
NEAR = (0.8, 1.1)  # measured memory beside the plan's


def machine(setting: Setting) -> dict[str, Any]:
    """What there is, and how fast it multiplies."""
    check_device(setting.device)
    device = torch.device(setting.device)
    found: dict[str, Any] = {"ok": True, "torch": torch.__version__}
    if setting.kind == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {"name": properties.name, "gib": round(properties.total_memory / 2**30, 1)}
        found["capability"] = ".".join(map(str, torch.cuda.get_device_capability(device)))
    for dtype in (torch.bfloat16, torch.float32):
        name = str(dtype).removeprefix("torch.")
        found[f"tflops_{name}"] = float(f"{measured_flops_per_second(device, dtype) / 1e12:.4g}")
    return found


def codes(setting: Setting) -> dict[str, Any]:
    """Whether codes are the same in every precision, and how many would not be; and what the exact encoder costs."""
    torch.manual_seed(0)
    encoder, tokenizer = eyes_of(setting.sizes)
    images = torch.randint(0, 256, (setting.images, 3, setting.sizes.side, setting.sizes.side)).to(
        torch.uint8
    )
    model = Illume(encoder=encoder, tokenizer=tokenizer.train()).to(setting.device)
    images = images.to(setting.device)
    tokenizer(model.features(images))  # lays the codebook out among features
    model.eval()
    exact, differ = model.encode(images), {}

    def share(found: Tensor) -> float:
        return float(f"{(found != exact).float().mean().item():.4g}")

    for name, (cast, around) in _surroundings(setting).items():
        own = cast(copy.deepcopy(model))
        with around:
            differ[name] = share(own.encode(images))
    with torch.no_grad(), torch.autocast(setting.kind, torch.bfloat16):
        unguarded = share(tokenizer.encode(encoder(images).float()))
    alone = torch.cat([model.encode(image[None]) for image in images[:4]])
    found = {"ok": not any(differ.values()), "codes": exact.numel(), "differ": differ}
    found |= {"bfloat16_encoder_would_differ": unguarded}
    found["image_by_image_differ"] = float((alone != exact[:4]).float().mean())
    if setting.kind != "cpu":
        on_cpu = copy.deepcopy(model).cpu().encode(images[:2].cpu())
        found["cpu_differ"] = float((on_cpu != exact[:2].cpu()).float().mean())
    for dtype in ("float32", "bfloat16"):
        encoder.compute_dtype = dtype
        each = _seconds(lambda: frozen_features(encoder, images), setting) / len(images)
        found[f"ms_an_image_{dtype}"] = float(f"{1000 * each:.4g}")
    return found


def step(setting: Setting) -> dict[str, Any]:
    """A training step of all of a language model beside what the plan says of it: memory, and a share of the peak."""
    return _trained(setting, RATES, None)


def lora(setting: Setting) -> dict[str, Any]:
    """The same with a frozen trunk in bfloat16 and low-rank additions, as `configs/lora.yaml` has it."""
    return _trained(setting, RATES | {"text": 0.0}, LORA)


def fsdp2(setting: Setting) -> dict[str, Any]:
    """Whether a model sharded over one device has the loss and gradients of one that is not."""
    device, size = torch.device(setting.device), setting.sizes
    backend = "nccl" if setting.kind == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, store=torch.distributed.HashStore(), rank=0, world_size=1)
    told = []
    for sharded in (False, True):
        language = language_of(size, setting.device)
        if sharded:
            mesh = torch.distributed.init_device_mesh(setting.kind, (1,))
            sharding.shard(language, mesh, torch.bfloat16)
        features = torch.zeros(0, size.tokens, size.vit[0], device=device)
        drawn = torch.arange(4 * size.tokens, device=device).view(4, -1) % size.codes
        batch = batch_of(size).to(device)
        with torch.autocast(setting.kind, torch.bfloat16):
            loss = language.loss(batch, features, drawn).mean
        loss.backward()
        grads = [sharding.local_shard(p.grad).float() for p in language.parameters() if p.grad is not None]
        told.append((loss.item(), torch.nn.utils.get_total_norm(grads).item()))
        del language, loss, grads
    torch.distributed.destroy_process_group()
    apart = [abs(one - other) / abs(one) for one, other in zip(*told, strict=True)]
    return {"ok": max(apart) < 0.02, "loss_apart": apart[0], "gradient_norm_apart": apart[1]}


def graph(setting: Setting) -> dict[str, Any]:
    """Whether drawing by a CUDA graph writes what drawing step by step does; speed, and memory beside the arithmetic."""
    size, device = setting.sizes, torch.device(setting.device)
    language = language_of(size, setting.device).to(torch.bfloat16).eval()
    model = Illume(*eyes_of(size), language=language, text_tokenizer=blank_text_tokenizer(size.text))
    rows = 2 if setting.kind == "cpu" else 16
    prompts, nulls = ([model.sequencer.segment(draw_document(t))] * rows for t in ("a red circle", None))
    wrote, spent = [], []
    reset_peak_memory(device)
    before = peak_memory(device)
    for fixed in (False, True):

        def draw(fixed: bool = fixed) -> Tensor:
            return draw_codes(
                language,
                prompts,
                nulls,
                list(range(rows)),
                SamplingConfig(2.0),
                cuda_graph=fixed,
            )

        wrote.append(draw())
        spent.append(_seconds(draw, setting, 1))
    took = (peak_memory(device) - before) * 2**30
    counted = rows * bytes_per_drawing(language, max(map(len, (*prompts, *nulls))))
    differ = float((wrote[0] != wrote[1]).float().mean())
    found = {"ok": differ < 0.02 and (setting.kind == "cpu" or took < counted), "differ": differ}
    found |= {"graph": setting.kind == "cuda", "images": rows, "seconds_by_steps": spent[0]}
    found |= {"seconds_fixed": spent[1], "counted_gib": float(f"{counted / 2**30:.4g}")}
    return found | ({} if setting.kind == "cpu" else {"measured_gib": float(f"{took / 2**30:.4g}")})


CHECKS = {"machine": machine, "codes": codes, "graph": graph, "lora": lora, "step": step, "fsdp2": fsdp2}
OF_SIZE = ("graph", "lora", "step", "fsdp2")  # the encoder's size is the same for all but the smallest


def _surroundings(setting: Setting) -> dict[str, tuple[Any, AbstractContextManager]]:
    kind, same = setting.kind, nn.Module.eval
    return {
        "bf16-mixed": (same, torch.autocast(kind, torch.bfloat16)),
        "16-mixed": (same, torch.autocast(kind, torch.float16)),
        "bf16-true": (lambda model: model.to(torch.bfloat16), nullcontext()),
        "16-true": (lambda model: model.half(), nullcontext()),
        "tf32": (same, _Tf32()),
    }


class _Tf32:
    def __enter__(self) -> None:
        self.before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")

    def __exit__(self, *_: object) -> None:
        torch.set_float32_matmul_precision(self.before)


def _module(setting: Setting, device: str, rates: dict[str, float], added: dict[str, Any] | None) -> Any:
    size = setting.sizes
    module = LanguageModule(rates, {}, warmup_steps=1, lora=added, checkpointing=added is not None,
                            frozen_dtype="float32" if added is None else "bfloat16")  # fmt: skip
    with torch.device(device):
        encoder, tokenizer = eyes_of(size)
    language = language_of(size, device)
    module.model = Illume(encoder, tokenizer.eval(), language=language)
    module._trainer = SimpleNamespace(max_steps=10, precision="bf16-mixed", estimated_stepping_batches=10)
    train_only(module._parts(), rates)
    if added is not None:
        (add_lora if importlib.util.find_spec("peft") and device != "meta" else plan_lora)(language, added)
        language.trunk.activation_checkpointing_enable({"use_reentrant": False})
        set_weight_dtypes(language, "bfloat16")
    return module.train()


def _trained(setting: Setting, rates: dict[str, float], added: dict[str, Any] | None) -> dict[str, Any]:
    planned, load = _module(setting, "meta", rates, added), load_of(setting.sizes)
    phase = Phase(1.0, lambda load: steps._language(planned, load, setting.sizes.side))
    types = compute_types(planned, "bf16-mixed", set())
    used, kept = (measure(planned, phase, load, "bf16-mixed", types, again) for again in (True, False))
    gib = memory_of_step(planned, PLACING, set(), used).total / 2**30
    device = torch.device(setting.device)
    if setting.kind == "cuda" and gib * 2**30 > 0.95 * torch.cuda.get_device_properties(device).total_memory:
        return {"ok": None, "skipped": f"the plan wants {gib:.1f} GiB, which the device has not"}
    module = _module(setting, setting.device, rates, added)
    (optimizer,) = optimizers_of(module)
    reset_peak_memory(device)

    def one() -> Tensor:
        with torch.device(device), torch.autocast(setting.kind, torch.bfloat16):
            loss = steps._language(module, load, setting.sizes.side)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    one()
    return _beside_the_plan(setting, kept, gib, _seconds(one, setting), module)


def _beside_the_plan(
    setting: Setting, used: Used, gib: float, seconds: float, module: LanguageModule
) -> dict[str, Any]:
    """A step beside its plan; what checkpointing makes again takes time and counts for nothing."""
    device = torch.device(setting.device)
    half, single = (measured_flops_per_second(device, dtype) for dtype in (torch.bfloat16, torch.float32))
    total = used.forward + used.backward
    fastest = (total - used.single) / half + used.single / single
    found = {
        "seconds_a_step": float(f"{seconds:.4g}"),
        "share_of_the_plans_rate": round(fastest / seconds, 4),
    }
    found |= {"mfu": round(total / seconds / half, 4), "planned_gib": float(f"{gib:.4g}")}
    learns = {p.dtype for p in module.parameters() if p.requires_grad}
    ok = learns == {torch.float32}
    if setting.kind != "cpu":
        measured = peak_memory(device)
        found |= {"measured_gib": round(measured, 2), "measured_by_planned": round(measured / gib, 3)}
        ok = ok and found["mfu"] < 1 and NEAR[0] < measured / gib < NEAR[1]
    return {"ok": ok, "learning": sum(p.numel() for p in module.parameters() if p.requires_grad)} | found


def _seconds(work: Any, setting: Setting, times: int = STEPS) -> float:
    spent = []
    for _ in range((times if setting.kind != "cpu" else 1) + 1):
        start = time.perf_counter()
        work()
        if setting.kind != "cpu":
            torch.accelerator.synchronize()
        spent.append(time.perf_counter() - start)
    return statistics.median(spent[1:])
