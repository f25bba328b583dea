"""A recording of training as text: what each part of a step takes, where the host waits, which operators are busiest."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

FORWARD = "forward: "
LABELS = (  # in the order in which a step goes through them
    "waiting for data", "moving the batch", FORWARD, "backward", "clipping", "optimizer", "logging", "callbacks: ",
    "the module's own hooks", "checkpoints",
)  # fmt: skip
REST = "the loop itself"
WAITS = (  # what makes the host wait for a device
    "aten::_local_scalar_dense", "aten::nonzero",
    "cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize",
)  # fmt: skip
BUSIEST = 12


class Span(NamedTuple):
    """Something that was recorded: its name, when it began and ended, and its own seconds on the host and a device."""

    name: str
    start: float
    end: float
    own: float
    device: float


class Recording(NamedTuple):
    """What was recorded.

    Attributes:
        steps: how many.
        seconds: that they took together.
        plain: seconds that a step took before anything was recorded.
        spans: all that was recorded.
    """

    steps: int
    seconds: float
    plain: float
    spans: Sequence[Span]


class Shares(NamedTuple):
    """Seconds of each label, without what other labels within it took, and the waits by (label, what waits)."""

    seconds: dict[str, float]
    device: dict[str, float]
    waits: Counter[tuple[str, str]]


def report(found: Recording) -> str:
    """The text."""
    told = shares(found)
    wide = max(map(len, told.seconds)) + 2
    lines = [
        f"{found.steps} steps of training, {1e3 * found.seconds / found.steps:.1f} ms each while they were recorded, "
        f"{1e3 * found.plain:.1f} ms before that.",
        "",
        f"{'where the time goes':{wide}}{'ms a step':>10}{'share':>8}"
        + "   device ms" * any(told.device.values()),
    ]
    for label, seconds in told.seconds.items():
        line = f"{label:{wide}}{1e3 * seconds / found.steps:10.2f}{seconds / found.seconds:8.1%}"
        if any(told.device.values()):
            line += f"{1e3 * told.device[label] / found.steps:12.2f}"
        lines.append(line)
    lines += [
        "",
        "Where the host asks a tensor for numbers, times a step (it waits there, if the device is not the host):",
    ]
    lines += [
        f"{count / found.steps:10.2f}  {label}: {name}" for (label, name), count in told.waits.most_common()
    ] or ["      none"]
    return "\n".join([*lines, "", *_busiest(found)]) + "\n"


def shares(found: Recording) -> Shares:
    """Takes the recording apart: every moment, operator and wait belongs to the innermost label around it."""
    seconds, device, waits = defaultdict(float), defaultdict(float), Counter[tuple[str, str]]()
    around: list[Span] = []  # labels that are open, the innermost last
    for span in sorted(found.spans, key=lambda span: (span.start, -span.end)):
        while around and around[-1].end <= span.start:
            around.pop()
        label = around[-1].name if around else REST
        if span.name.startswith(LABELS):
            seconds[span.name] += span.end - span.start
            seconds[label] -= span.end - span.start
            around.append(span)
            continue
        device[label] += span.device
        waits[label, span.name] += span.name in WAITS
    seconds[REST] += found.seconds
    order = sorted(seconds, key=lambda name: (_place(name), -seconds[name]))
    return Shares({name: seconds[name] for name in order}, device, +waits)


def _place(name: str) -> int:
    return next((i for i, label in enumerate(LABELS) if name.startswith(label)), len(LABELS))


def _busiest(found: Recording) -> list[str]:
    own, calls = defaultdict(float), Counter[str]()
    for span in found.spans:
        if not span.name.startswith(LABELS):
            own[span.name] += span.own + span.device
            calls[span.name] += 1
    best = sorted(own, key=own.__getitem__, reverse=True)[:BUSIEST]
    lines = [f"{'busiest operators':42}{'ms a step':>10}{'calls':>8}"]
    return lines + [
        f"{name[:40]:42}{1e3 * own[name] / found.steps:10.2f}{calls[name] / found.steps:8.0f}"
        for name in best
    ]
