"""The printed plan: components, memory of a device, operations of a step, and hours."""

from collections.abc import Iterator, Sequence

from training.devices import GIB
from training.experiment import ModulesOnly
from training.plan.advice import Advice, Arguments, advise
from training.plan.options import Options
from training.plan.parallelism import AUTO
from training.plan.plan import SPARE, Plan, plan_run
from training.plan.predecessors import Read
from training.plan.workload import SLICES

MEMORY = (  # fields of `Memory`, their names, and notes
    ("weights", "weights", "and buffers, in their stored precision"),
    ("gradients", "gradients", "of trained weights"),
    ("optimizer", "optimizer", "moments: two of AdamW's, one of Muon's"),
    ("buckets", "DDP's buckets", "a second copy of gradients, for communication"),
    ("gathered", "gathered by FSDP2", "two whole layers, embedding and head, and their gradients"),
    ("copies", "copies of weights", "in the precision of products"),
    ("activations", "activations", "the rest of the peak, with rows full of images"),
    ("update", "optimizer's step", "one copy of trained weights, after those in brackets are freed"),
)
DURING = ("gathered", "copies", "activations")  # in brackets where they are gone before the peak
SPREAD = {"ddp": ", a whole model on each", "fsdp2": ", the language model sharded over them"}


def plan_report(modules: ModulesOnly, read: Read, argv: Sequence[str], options: Options) -> str:
    """The report of a run's plan, with advice where it does not fit; `read` builds modules of other command lines."""
    plan = plan_run(modules, read, options)

    def replan(more: Arguments) -> Plan:
        return plan_run(read([*argv, *more]), read, options, only_memory=True)

    return report(plan, None if plan.fits else advise(modules, plan, replan))


def report(plan: Plan, advice: Advice | None) -> str:
    """All lines of a plan."""
    blocks = [block(plan) for block in (_head, _components, _memory, _step)]
    blocks += [_verdict(plan, advice), _notes(plan)]
    return "\n\n".join("\n".join(block) for block in map(list, blocks) if block)


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows with the first and the last column on the left and numbers on the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *numbers, last in rows:
        middle = "  ".join(f"{text:>{width}}" for text, width in zip(numbers, widths[1:-1], strict=True))
        yield f"{first:<{widths[0]}}  {middle}  {last}".rstrip()


def _head(plan: Plan) -> Iterator[str]:
    how = plan.parallelism
    yield f"{plan.name}: a plan; nothing was built or run"
    nodes = f"{how.nodes} x " if how.nodes > 1 else ""
    yield f"{nodes}{how.devices} x {plan.device.title}{SPREAD.get(how.strategy, '')}, {how.precision}"


def _components(plan: Plan) -> Iterator[str]:
    _, counts, trained = zip(*plan.components, strict=True)
    sizes = [*plan.components, ("all", sum(counts), sum(trained))]
    rows = [(name, f"{all_:,}", f"{some:,}", f"{some / all_:7.2%}") for name, all_, some in sizes]
    yield from _table([("component", "parameters", "trained", ""), *rows])


def _memory(plan: Plan) -> Iterator[str]:
    memory = plan.memory
    rows = [("on each device", "GiB", "")]
    updating = memory.update > memory.gathered + memory.copies + memory.activations
    for field, name, note in MEMORY:
        if (size := getattr(memory, field)) and (field != "update" or updating):
            aside = updating and field in DURING
            rows.append((name, f"({_gib(size)})" if aside else f"{_gib(size)} ", note))
    room = f"of {plan.room / GIB:.1f} GiB" + (", while the optimizer steps" if updating else "")
    yield from _table([*rows, ("at most", f"{_gib(memory.total)} ", room)])


def _gib(size: float) -> str:
    return f"{size / GIB:.2f}"


def _step(plan: Plan) -> Iterator[str]:
    how, load = plan.parallelism, plan.load
    times, factors = how.world * how.accumulate, f"{how.world} x {how.accumulate} x {load.rows}"
    counts: list[tuple[str, float, str]] = [("images", load.rows, factors)]
    if load.length:
        counts = [
            ("tokens", load.rows * load.length, f"{factors} rows of {load.length:,}"),
            ("samples", load.samples, "about; text lengths are assumed"),
            ("images seen", load.seen, "each slice counts"),
            ("images drawn", load.drawn, ""),
        ]
    rows = [(name, f"{count * times:,.0f}", note) for name, count, note in counts if count]
    if (work := plan.work) is not None:
        unit, size = ("TFLOP", 1e12) if work.total > 1e12 else ("GFLOP", 1e9)
        mixed = work.float32 < work.total and "mixed" in how.precision
        lines = [
            (f"{unit} per device", work.total, ""),
            ("  forward", work.forward, ""),
            ("  backward", work.backward, ""),
            ("  recomputed", work.recomputed, "by checkpointing"),
            ("  in float32", work.float32 * mixed, "of these: codes and frozen features"),
        ]
        rows += [(name, f"{count / size:,.1f}", note) for name, count, note in lines if count > 0]
    yield from _table([("each step", "", ""), *rows])


def _verdict(plan: Plan, advice: Advice | None) -> Iterator[str]:
    limit, total = (1 - SPARE) * plan.room, plan.memory.total
    if plan.fits:
        yield f"Fits: {_gib(limit - total)} GiB are left, besides the {SPARE:.0%} kept free."
    else:
        yield f"Does not fit: {_gib(total - limit)} GiB too much, {SPARE:.0%} of the device kept free."
    yield from () if advice is None else advice.lines()
    if plan.work is not None:
        rate, single = plan.rates
        text = f"{plan.utilisation:.0%} of {rate / 1e12:,.4g} TFLOPS (--plan_utilisation)"
        text += f", {single / 1e12:,.4g} in float32" if plan.work.float32 and rate != single else ""
        yield f"{plan.hours:,.1f} hours for {plan.parallelism.steps:,} steps at {text}."


def _notes(plan: Plan) -> Iterator[str]:
    if plan.parallelism.automatic and plan.parallelism.devices == AUTO:
        yield f"trainer.devices is auto: {AUTO} per machine are assumed."
    if plan.load.seen and plan.load.length:
        yield f"Assumed: text lengths of each template, and {SLICES} slices per image where images are sliced."
    yield from (f"{note}." for note in plan.notes)
