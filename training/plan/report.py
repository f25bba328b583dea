"""A plan as it is printed: what there is, what a device holds of it, what a step takes, and what that comes to."""

from collections.abc import Iterator, Sequence

from training.plan.advice import Advice
from training.plan.devices import GIB
from training.plan.placing import AUTO
from training.plan.plan import SPARE, Plan
from training.plan.samples import SLICES

MEMORY = (  # fields of `Memory`, and what is said of each
    ("weights", "weights", "and buffers, in the precision they are kept in"),
    ("gradients", "gradients", "of what learns"),
    ("optimizer", "optimizer", "moments: two of AdamW's, one of Muon's"),
    ("buckets", "DDP's buckets", "gradients once more, as they are sent"),
    ("gathered", "gathered by FSDP2", "two layers and the rows whole, and their gradients"),
    ("copies", "copies of weights", "in the precision of products"),
    ("activations", "activations", "the rest of a step's peak, rows full of images"),
    ("update", "optimizer's step", "one copy of what learns, when what is in brackets is gone"),
)
DURING = ("gathered", "copies", "activations")  # in brackets where they are gone before the peak


def page(plan: Plan, advice: Advice | None) -> str:
    """All lines of a plan."""
    blocks = [_head(plan), _parts(plan), _memory(plan), _step(plan), _verdict(plan, advice), _notes(plan)]
    return "\n\n".join("\n".join(block) for block in map(list, blocks) if block)


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows with the first and the last column on the left and numbers on the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *numbers, last in rows:
        middle = "  ".join(f"{text:>{width}}" for text, width in zip(numbers, widths[1:-1], strict=True))
        yield f"{first:<{widths[0]}}  {middle}  {last}".rstrip()


def _head(plan: Plan) -> Iterator[str]:
    placing = plan.placing
    spread = {
        "single": "",
        "ddp": ", a whole model on each",
        "fsdp2": ", the language model spread over them",
    }
    yield f"{plan.name}: a plan, nothing is built and nothing was run"
    nodes = f"{placing.nodes} x " if placing.nodes > 1 else ""
    yield f"{nodes}{placing.devices} x {plan.device.title}{spread[placing.strategy]}, {placing.precision}"


def _parts(plan: Plan) -> Iterator[str]:
    rows = [("part", "parameters", "learning", "")]
    rows += [(p.name, f"{p.count:,}", f"{p.learning:,}", _share(p.learning, p.count)) for p in plan.parts]
    count, learning = (sum(getattr(p, name) for p in plan.parts) for name in ("count", "learning"))
    yield from table([*rows, ("all", f"{count:,}", f"{learning:,}", _share(learning, count))])


def _share(part: float, whole: float) -> str:
    return f"{part / whole:7.2%}"


def _memory(plan: Plan) -> Iterator[str]:
    memory = plan.memory
    rows = [("on each device", "GiB", "")]
    updating = memory.update > memory.gathered + memory.copies + memory.activations
    for field, name, told in MEMORY:
        size = getattr(memory, field)
        if not size or (field == "update" and not updating):
            continue
        aside = updating and field in DURING
        rows.append((name, f"({_gib(size)})" if aside else f"{_gib(size)} ", told))
    room = f"of {plan.room / GIB:.1f} GiB" + (", while the optimizer steps" if updating else "")
    yield from table([*rows, ("at most", f"{_gib(memory.total)} ", room)])


def _gib(size: float) -> str:
    return f"{size / GIB:.2f}"


def _step(plan: Plan) -> Iterator[str]:
    placing, load = plan.placing, plan.load
    times = placing.world * placing.accumulate
    rows = [("each step", "", "")]
    parts = f"{placing.world} x {placing.accumulate} x {load.rows}"
    if load.length:
        rows.append(("tokens", f"{plan.tokens * times:,}", f"{parts} rows of {load.length:,}"))
        rows.append(("samples", f"{load.samples * times:,.0f}", "about: the words in them are assumed"))
        if load.seen:
            rows.append(("images seen", f"{load.seen * times:,}", "each slice is one"))
        if load.drawn:
            rows.append(("images drawn", f"{load.drawn * times:,}", ""))
    else:
        rows.append(("images", f"{load.rows * times:,}", parts))
    if plan.work is not None:
        work = plan.work
        unit, size = ("TFLOP", 1e12) if work.total > 1e12 else ("GFLOP", 1e9)
        rows.append((f"{unit} a device", f"{work.total / size:,.1f}", ""))
        rows.append(("  forward", f"{work.forward / size:,.1f}", ""))
        rows.append(("  backward", f"{work.backward / size:,.1f}", ""))
        if work.again > 0:
            rows.append(("  made again", f"{work.again / size:,.1f}", "by checkpointing"))
        if 0 < work.single < work.total and "mixed" in placing.precision:
            rows.append(("  in float32", f"{work.single / size:,.1f}", "of these: codes and frozen features"))
    yield from table(rows)


def _verdict(plan: Plan, advice: Advice | None) -> Iterator[str]:
    limit, total = (1 - SPARE) * plan.room, plan.memory.total
    if plan.fits:
        yield f"Fits: {_gib(limit - total)} GiB are left, beside the {SPARE:.0%} that is kept free."
    else:
        yield f"Does not fit: {_gib(total - limit)} GiB too much, {SPARE:.0%} of the device kept free."
    if advice is not None:
        yield from advice.lines()
    if plan.hours is not None:
        rate = f"{plan.utilisation:.0%} of {plan.peak / 1e12:,.4g} TFLOPS (--plan_utilisation)"
        if plan.work.single and plan.peak != plan.single:
            rate += f", {plan.single / 1e12:,.4g} in float32"
        yield f"{plan.hours:,.1f} hours for {plan.placing.steps:,} steps at {rate}."


def _notes(plan: Plan) -> Iterator[str]:
    if plan.placing.automatic and plan.placing.devices == AUTO:
        yield f"trainer.devices is auto: {AUTO} a machine are assumed."
    if plan.load.seen and plan.load.length:
        yield f"Assumed: words of each template, and {SLICES} slices an image where images are sliced."
    yield from (f"{note}." for note in plan.notes)
