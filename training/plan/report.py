"""A plan as it is printed: what there is, what a device holds of it, what a step takes, and what that comes to."""

from collections.abc import Iterator, Sequence

from training.plan.advice import Advice, Arguments, advise
from training.plan.devices import GIB
from training.plan.options import Options
from training.plan.parallelism import AUTO
from training.plan.plan import SPARE, Plan, plan_run
from training.plan.predecessors import ModulesOnly, Read
from training.plan.workload import SLICES

MEMORY = (  # fields of `Memory`, their names, and notes
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
SPREAD = {
    "single": "",
    "ddp": ", a whole model on each",
    "fsdp2": ", the language model spread over them",
}


def plan_report(modules: ModulesOnly, read: Read, argv: Sequence[str], options: Options) -> str:
    """The report of a run's plan, with advice where it does not fit.

    Args:
        modules: of its command line.
        read: builds those of other command lines.
        argv: the run's own.
        options: device and utilisation.
    """
    plan = plan_run(modules, read, options)

    def replan(more: Arguments) -> Plan:
        return plan_run(read([*argv, *more]), read, options, only_memory=True)

    return report(plan, None if plan.fits else advise(modules, plan, replan))


def report(plan: Plan, advice: Advice | None) -> str:
    """All lines of a plan."""
    blocks = [
        _head(plan),
        _components(plan),
        _memory(plan),
        _step(plan),
        _verdict(plan, advice),
        _notes(plan),
    ]
    return "\n\n".join("\n".join(block) for block in map(list, blocks) if block)


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows with the first and the last column on the left and numbers on the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *numbers, last in rows:
        middle = "  ".join(f"{text:>{width}}" for text, width in zip(numbers, widths[1:-1], strict=True))
        yield f"{first:<{widths[0]}}  {middle}  {last}".rstrip()


def _head(plan: Plan) -> Iterator[str]:
    how = plan.parallelism
    yield f"{plan.name}: a plan, nothing is built and nothing was run"
    nodes = f"{how.nodes} x " if how.nodes > 1 else ""
    yield f"{nodes}{how.devices} x {plan.device.title}{SPREAD[how.strategy]}, {how.precision}"


def _components(plan: Plan) -> Iterator[str]:
    sizes = [(size.name, size.count, size.learning) for size in plan.components]
    sizes.append(
        ("all", sum(size.count for size in plan.components), sum(s.learning for s in plan.components))
    )
    rows = [
        (name, f"{count:,}", f"{learning:,}", f"{learning / count:7.2%}") for name, count, learning in sizes
    ]
    yield from _table([("component", "parameters", "learning", ""), *rows])


def _memory(plan: Plan) -> Iterator[str]:
    memory = plan.memory
    rows = [("on each device", "GiB", "")]
    updating = memory.update > memory.gathered + memory.copies + memory.activations
    for field, name, note in MEMORY:
        size = getattr(memory, field)
        if not size or (field == "update" and not updating):
            continue
        aside = updating and field in DURING
        rows.append((name, f"({_gib(size)})" if aside else f"{_gib(size)} ", note))
    room = f"of {plan.room / GIB:.1f} GiB" + (", while the optimizer steps" if updating else "")
    yield from _table([*rows, ("at most", f"{_gib(memory.total)} ", room)])


def _gib(size: float) -> str:
    return f"{size / GIB:.2f}"


def _step(plan: Plan) -> Iterator[str]:
    how, load = plan.parallelism, plan.load
    times = how.world * how.accumulate
    factors = f"{how.world} x {how.accumulate} x {load.rows}"
    if load.length:
        counts = [
            ("tokens", load.rows * load.length, f"{factors} rows of {load.length:,}"),
            ("samples", load.samples, "about: the words in them are assumed"),
            ("images seen", load.seen, "each slice is one"),
            ("images drawn", load.drawn, ""),
        ]
    else:
        counts = [("images", load.rows, factors)]
    rows = [("each step", "", "")]
    rows += [(name, f"{count * times:,.0f}", note) for name, count, note in counts if count]
    if plan.speed is not None:
        work = plan.speed.work
        unit, size = ("TFLOP", 1e12) if work.total > 1e12 else ("GFLOP", 1e9)
        mixed = 0 < work.float32 < work.total and "mixed" in how.precision
        lines = [
            (f"{unit} a device", work.total, ""),
            ("  forward", work.forward, ""),
            ("  backward", work.backward, ""),
            ("  recomputed", max(0.0, work.recomputed), "by checkpointing"),
            ("  in float32", work.float32 * mixed, "of these: codes and frozen features"),
        ]
        rows += [(name, f"{count / size:,.1f}", note) for name, count, note in lines if count]
    yield from _table(rows)


def _verdict(plan: Plan, advice: Advice | None) -> Iterator[str]:
    limit, total = (1 - SPARE) * plan.room, plan.memory.total
    if plan.fits:
        yield f"Fits: {_gib(limit - total)} GiB are left, beside the {SPARE:.0%} that is kept free."
    else:
        yield f"Does not fit: {_gib(total - limit)} GiB too much, {SPARE:.0%} of the device kept free."
    if advice is not None:
        yield from advice.lines()
    if (speed := plan.speed) is not None:
        rate = f"{speed.utilisation:.0%} of {speed.peak / 1e12:,.4g} TFLOPS (--plan_utilisation)"
        if speed.work.float32 and speed.peak != speed.peak_float32:
            rate += f", {speed.peak_float32 / 1e12:,.4g} in float32"
        yield f"{speed.hours:,.1f} hours for {speed.steps:,} steps at {rate}."


def _notes(plan: Plan) -> Iterator[str]:
    if plan.parallelism.automatic and plan.parallelism.devices == AUTO:
        yield f"trainer.devices is auto: {AUTO} a machine are assumed."
    if plan.load.seen and plan.load.length:
        yield f"Assumed: words of each template, and {SLICES} slices an image where images are sliced."
    yield from (f"{note}." for note in plan.notes)
