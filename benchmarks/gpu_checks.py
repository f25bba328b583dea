"""The checks of `benchmarks/gpu_check.py`: each takes a setting and returns its findings, `ok` among them."""

import copy
import importlib.util
import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.gpu_models import IMAGES, RandomStage, Setting, batch_of, language_of, vision_of, workload_of
from benchmarks.harness import seconds as seconds_of
from models import sharding
from models.device import check_device
from models.document import draw_document
from models.generation import SamplingConfig
from models.language.cache_memory import bytes_per_row
from models.language.drawing import draw_codes
from models.precision import frozen_features
from models.unified import Illume
from training.device_stats import measured_flops_per_second, peak_memory, reset_peak_memory
from training.plan.batches import planned_batch
from training.plan.measure import Measurement
from training.plan.memory import memory_of_step, optimizers_of
from training.plan.parallelism import Parallelism
from training.plan.published import blank_text_tokenizer

LORA = {"r": 64, "lora_alpha": 16, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}
ONE_DEVICE = Parallelism(1, 1, "single", "bf16-mixed", 1, 10, False)
STEPS = 5  # timed, after one to warm up
NEAR = (0.8, 1.1)  # measured memory over the plan's


def machine(setting: Setting) -> dict[str, Any]:
    """The device, and how fast it multiplies."""
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
    encoder, tokenizer = vision_of(setting.sizes)
    side = setting.sizes.side
    images = torch.randint(0, 256, (setting.images, 3, side, side)).to(setting.device, torch.uint8)
    model = Illume(encoder=encoder, tokenizer=tokenizer.train()).to(setting.device)
    tokenizer(model.features(images))  # lays the codebook out among features
    exact, differ = model.eval().encode(images), {}

    def share(found: Tensor) -> float:
        return float(f"{(found != exact).float().mean().item():.4g}")

    for name, (cast, precision) in _precisions(setting.kind).items():
        other = cast(copy.deepcopy(model))
        with precision:
            differ[name] = share(other.encode(images))
    with torch.no_grad(), torch.autocast(setting.kind, torch.bfloat16):
        unguarded = share(tokenizer.encode(encoder(images).float()))
    alone = torch.cat([model.encode(image[None]) for image in images[:4]])
    found = {
        "ok": not any(differ.values()),
        "codes": exact.numel(),
        "differ": differ,
        "bfloat16_encoder_would_differ": unguarded,
        "image_by_image_differ": float((alone != exact[:4]).float().mean()),
    }
    if setting.kind != "cpu":
        on_cpu = copy.deepcopy(model).cpu().encode(images[:2].cpu())
        found["cpu_differ"] = float((on_cpu != exact[:2].cpu()).float().mean())
    for dtype in ("float32", "bfloat16"):
        encoder.compute_dtype = dtype
        each = _median_seconds(lambda: frozen_features(encoder, images), setting) / len(images)
        found[f"ms_an_image_{dtype}"] = float(f"{1000 * each:.4g}")
    return found


def step(setting: Setting) -> dict[str, Any]:
    """A training step of a whole language model beside its plan: memory, and a share of the peak."""
    return _train(setting, None)


def lora(setting: Setting) -> dict[str, Any]:
    """The same with a frozen trunk in bfloat16 and low-rank additions, as `configs/lora.yaml` has it."""
    if importlib.util.find_spec("peft") is None:
        return {"ok": None, "skipped": "peft is not installed: pip install -e '.[lora]'"}
    return _train(setting, LORA)


def fsdp2(setting: Setting) -> dict[str, Any]:
    """Whether a model sharded over one device has the loss and gradients of one that is not."""
    device, size = torch.device(setting.device), setting.sizes
    backend = "nccl" if setting.kind == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, store=torch.distributed.HashStore(), rank=0, world_size=1)
    features = torch.zeros(0, size.tokens, size.vit[0], device=device)
    drawn = torch.arange(IMAGES * size.tokens, device=device).view(IMAGES, -1) % size.codes
    results = []
    for sharded in (False, True):
        language = language_of(size, setting.device)
        if sharded:
            mesh = torch.distributed.init_device_mesh(setting.kind, (1,))
            sharding.shard(language, mesh, torch.bfloat16)
        with torch.autocast(setting.kind, torch.bfloat16):
            loss = language.loss(batch_of(size).to(device), features, drawn).mean
        loss.backward()
        grads = [sharding.local_shard(p.grad).float() for p in language.parameters() if p.grad is not None]
        results.append((loss.item(), torch.nn.utils.get_total_norm(grads).item()))
        del language, loss, grads
    torch.distributed.destroy_process_group()
    apart = [abs(one - other) / abs(one) for one, other in zip(*results, strict=True)]
    return {"ok": max(apart) < 0.02, "loss_apart": apart[0], "gradient_norm_apart": apart[1]}


def graph(setting: Setting) -> dict[str, Any]:
    """Whether a CUDA graph draws the codes that single steps do; its speed, and its memory beside the estimate."""
    size, device = setting.sizes, torch.device(setting.device)
    language = language_of(size, setting.device).to(torch.bfloat16).eval()
    model = Illume(*vision_of(size), language=language, text_tokenizer=blank_text_tokenizer(size.text))
    rows = 2 if setting.kind == "cpu" else 16
    prompts, nulls = ([model.sequencer.segment(draw_document(t))] * rows for t in ("a red circle", None))
    drawn, spent = [], []
    reset_peak_memory(device)
    before = peak_memory(device)
    for cuda_graph in (False, True):

        def draw(cuda_graph: bool = cuda_graph) -> Tensor:
            sampling = SamplingConfig(2.0)
            return draw_codes(language, prompts, nulls, list(range(rows)), sampling, cuda_graph=cuda_graph)

        drawn.append(draw())
        spent.append(_median_seconds(draw, setting, 1))
    measured = (peak_memory(device) - before) * 2**30
    estimate = 2 * rows * bytes_per_row(language, max(map(len, (*prompts, *nulls))), language.draw_tokens)
    differ = float((drawn[0] != drawn[1]).float().mean())
    found = {
        "ok": differ < 0.02 and (setting.kind == "cpu" or measured < estimate),
        "differ": differ,
        "graph": setting.kind == "cuda",
        "images": rows,
        "seconds_by_steps": spent[0],
        "seconds_by_graph": spent[1],
        "estimated_gib": float(f"{estimate / 2**30:.4g}"),
    }
    return found | ({} if setting.kind == "cpu" else {"measured_gib": float(f"{measured / 2**30:.4g}")})


CHECKS = {"machine": machine, "codes": codes, "graph": graph, "lora": lora, "step": step, "fsdp2": fsdp2}
OF_SIZE = ("graph", "lora", "step", "fsdp2")  # the encoder's size is the same for all but the smallest


def _precisions(kind: str) -> dict[str, tuple[Callable[[Illume], nn.Module], AbstractContextManager[Any]]]:
    return {
        "bf16-mixed": (nn.Module.eval, torch.autocast(kind, torch.bfloat16)),
        "16-mixed": (nn.Module.eval, torch.autocast(kind, torch.float16)),
        "bf16-true": (lambda model: model.to(torch.bfloat16), nullcontext()),
        "16-true": (lambda model: model.half(), nullcontext()),
        "tf32": (nn.Module.eval, _tf32()),
    }


@contextmanager
def _tf32() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision(before)


def _train(setting: Setting, added: dict[str, Any] | None) -> dict[str, Any]:
    """Training steps beside their plan; what checkpointing recomputes takes time and is not counted."""
    size, load, device = setting.sizes, workload_of(setting.sizes), torch.device(setting.device)
    planned = RandomStage(size, "meta", added)
    measurement = Measurement(planned, size.side, "bf16-mixed", set())
    usage = measurement.usage(load, checkpointing=False)
    memory = memory_of_step(planned, ONE_DEVICE, set(), measurement.usage(load)).total
    if setting.kind == "cuda" and memory > 0.95 * torch.cuda.get_device_properties(device).total_memory:
        gib = f"{memory / 2**30:.1f} GiB"
        return {"ok": None, "skipped": f"the plan wants {gib}, which the device has not"}
    stage = RandomStage(size, setting.device, added)
    (optimizer,) = optimizers_of(stage)
    reset_peak_memory(device)

    def one_step() -> None:
        with torch.device(device), torch.autocast(setting.kind, torch.bfloat16):
            loss, _ = stage.loss(planned_batch(stage, load, size.side))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    one_step()
    seconds = _median_seconds(one_step, setting)
    half, single = (measured_flops_per_second(device, dtype) for dtype in (torch.bfloat16, torch.float32))
    total = usage.forward + usage.backward
    fastest = (total - usage.float32) / half + usage.float32 / single
    learning = [p for p in stage.parameters() if p.requires_grad]
    found = {
        "ok": {p.dtype for p in learning} == {torch.float32},
        "learning": sum(p.numel() for p in learning),
        "seconds_a_step": float(f"{seconds:.4g}"),
        "share_of_the_plans_rate": round(fastest / seconds, 4),
        "mfu": round(total / seconds / half, 4),
        "planned_gib": float(f"{memory / 2**30:.4g}"),
    }
    if setting.kind != "cpu":
        measured = peak_memory(device)
        near = measured / (memory / 2**30)
        found |= {"measured_gib": round(measured, 2), "measured_by_planned": round(near, 3)}
        found["ok"] = found["ok"] and found["mfu"] < 1 and NEAR[0] < near < NEAR[1]
    return found


def _median_seconds(work: Callable[[], Any], setting: Setting, times: int = STEPS) -> float:
    def run() -> None:
        work()
        if setting.kind != "cpu":
            torch.accelerator.synchronize()

    run()
    return statistics.median(seconds_of(run) for _ in range(times if setting.kind != "cpu" else 1))
