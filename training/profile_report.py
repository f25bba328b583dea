"""A recording of training as text: the time of each part of a step, where the host waits, the busiest operators."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

FORWARD = "forward: "
LABELS = (  # in the order of a step
    "waiting for data", "moving the batch", FORWARD, "backward", "clipping", "optimizer", "logging", "callbacks: ",
    "the module's own hooks", "checkpoints",
)  # fmt: skip
REST = "the loop itself"
WAITS = (  # operators that make the host wait for a device
    "aten::_local_scalar_dense", "aten::nonzero",
    "cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize",
)  # fmt: skip
BUSIEST = 12


class Span(NamedTuple):
    """An event: its name, when it began and ended, and its own seconds on the host and a device."""

    name: str
    start: float
    end: float
    own: float
    device: float


class Recording(NamedTuple):
    """Events of `steps` steps that took `seconds` together; one took `unrecorded_seconds` before recording began."""

    steps: int
    seconds: float
    unrecorded_seconds: float
    spans: Sequence[Span]


class TimeByLabel(NamedTuple):
    """Seconds of each label, without those of labels within it, and the waits by (label, operator)."""

    seconds: dict[str, float]
    device: dict[str, float]
    waits: Counter[tuple[str, str]]


def format_report(recording: Recording) -> str:
    """The text, per step."""
    steps, times = recording.steps, time_by_label(recording)
    width, has_device = max(map(len, times.seconds)) + 2, any(times.device.values())
    lines = [
        f"{steps} steps of training, {1e3 * recording.seconds / steps:.1f} ms each while they were recorded, "
        f"{1e3 * recording.unrecorded_seconds:.1f} ms before that.",
        "",
        f"{'where the time goes':{width}}{'ms a step':>10}{'share':>8}" + "   device ms" * has_device,
    ]
    for label, seconds in times.seconds.items():
        device = f"{1e3 * times.device[label] / steps:12.2f}" if has_device else ""
        lines.append(
            f"{label:{width}}{1e3 * seconds / steps:10.2f}{seconds / recording.seconds:8.1%}{device}"
        )
    lines += [
        "",
        "Where the host asks a tensor for numbers, times a step (it waits there, if the device is not the host):",
    ]
    waits = times.waits.most_common()
    lines += [f"{count / steps:10.2f}  {label}: {name}" for (label, name), count in waits] or ["      none"]
    return "\n".join([*lines, "", *_busiest_operators(recording)]) + "\n"


def time_by_label(recording: Recording) -> TimeByLabel:
    """Attributes every moment, operator and wait to the innermost label around it."""
    seconds, device, waits = defaultdict(float), defaultdict(float), Counter[tuple[str, str]]()
    around: list[Span] = []  # labels that are open, the innermost last
    for span in sorted(recording.spans, key=lambda span: (span.start, -span.end)):
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
    seconds[REST] += recording.seconds
    order = sorted(seconds, key=lambda name: (_position(name), -seconds[name]))
    return TimeByLabel({name: seconds[name] for name in order}, device, +waits)


def _position(name: str) -> int:
    return next((i for i, label in enumerate(LABELS) if name.startswith(label)), len(LABELS))


def _busiest_operators(recording: Recording) -> list[str]:
    own, calls = defaultdict(float), Counter[str]()
    for span in recording.spans:
        if not span.name.startswith(LABELS):
            own[span.name] += span.own + span.device
            calls[span.name] += 1
    return [f"{'busiest operators':42}{'ms a step':>10}{'calls':>8}"] + [
        f"{name[:40]:42}{1e3 * own[name] / recording.steps:10.2f}{calls[name] / recording.steps:8.0f}"
        for name in sorted(own, key=own.__getitem__, reverse=True)[:BUSIEST]
    ]
