"""Where the time of training goes: Lightning's profiler slot, filled by torch.profiler and a report that people can read.

`python train.py --config stage2.yaml --config profile.yaml --name profiled` writes `profile.txt` into the run's folder.
A few steps are recorded, after a few that warm up, and training is not changed by it.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.profilers import Profiler
from torch import nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, record_function

from common.files import write_text
from training.profile_report import FORWARD, Recording, Span, format_report

FETCH = "[_TrainingEpochLoop].train_dataloader_next"  # Lightning's name of waiting for a batch; a step begins there
ACTIONS = {  # the ends of Lightning's names of actions, and their labels
    "train_dataloader_next": "waiting for data",
    ".batch_to_device": "moving the batch",
    ".training_step": f"{FORWARD}the rest",
    ".backward": "backward",
    ".optimizer_zero_grad": "optimizer",
    ".optimizer_step": "optimizer",
    ".lr_scheduler_step": "optimizer",
    ".configure_gradient_clipping": "clipping",
}
COMPONENTS = (  # whose forward passes get a label each; a tokenizer's submodules are called, and get its label
    "encoder", "understanding_encoder", "captioner", "tokenizer.project", "tokenizer.quantizer", "tokenizer.decoder",
    "adapter", "trunk", "detokenizer.stem", "detokenizer.unet",
)  # fmt: skip


class TrainingProfile(Profiler):
    """Records `steps` steps of training after `skip` others, and writes `profile.txt`.

    Args:
        skip: steps before the first that is recorded.
        steps: that are recorded, without validation.
        trace: whether to write `profile.json.gz` too, for a viewer of Chrome traces.

    Raises:
        ValueError: a number makes no sense.
    """

    def __init__(self, skip: int = 10, steps: int = 20, trace: bool = False) -> None:
        super().__init__()
        if skip < 1 or steps < 1:
            raise ValueError(f"a profile skips and records at least 1 step each, not {skip} and {steps}")
        self.skip, self.steps, self.trace = skip, steps, trace
        self.fetched, self.start_time, self.unrecorded_seconds = 0, 0.0, 0.0
        self.recorder: torch.profiler.profile | None = None
        self.open: list[tuple[str, AbstractContextManager]] = []
        self.hooks = ExitStack()
        self.folder = Path()

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """Gets the run's folder."""
        super().setup(stage, local_rank, log_dir)
        self.folder = Path(log_dir or ".")

    def start(self, action_name: str) -> None:
        """An action begins."""
        if action_name == FETCH:
            self._count_step()
        if self.recorder is not None and (label := action_label(action_name)):
            self._open(action_name, label)

    def stop(self, action_name: str) -> None:
        """An action ends; it may have begun before anything was recorded."""
        if self.open and self.open[-1][0] == action_name:
            self.open.pop()[1].__exit__(None, None, None)

    def teardown(self, stage: str | None) -> None:
        """Writes what was recorded, where training ends before the last step that was wanted."""
        self._finish()
        super().teardown(stage)

    def _count_step(self) -> None:
        number, now = self.fetched, time.perf_counter()
        self.fetched += 1
        if number == self.skip // 2:
            self.start_time = now
        if number == self.skip:
            self.unrecorded_seconds = (now - self.start_time) / (self.skip - self.skip // 2)
            self._begin()
        elif number == self.skip + self.steps:
            self._finish()

    def _begin(self) -> None:
        module = self._lightning_module
        for name, component in named_components(module):
            self._label_forward(component, FORWARD + name)
        for logger in module.trainer.loggers:
            self._label_logging(logger)
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (module.device.type == "cuda")
        self.recorder = torch.profiler.profile(activities=activities)
        self.recorder.__enter__()
        self.start_time = time.perf_counter()

    def _open(self, name: str, label: str) -> None:
        self.open.append((name, record_function(label)))
        self.open[-1][1].__enter__()

    def _label_forward(self, component: nn.Module, label: str) -> None:
        before = component.register_forward_pre_hook(lambda *_: self._open(label, label))
        after = component.register_forward_hook(lambda *_: self.stop(label))
        self.hooks.callback(before.remove)
        self.hooks.callback(after.remove)

    def _label_logging(self, logger: Any) -> None:
        write: Callable[..., None] = logger.log_metrics

        def labelled(*arguments: Any, **options: Any) -> None:
            with record_function("logging"):
                write(*arguments, **options)

        logger.log_metrics = labelled
        self.hooks.callback(lambda: vars(logger).pop("log_metrics"))

    def _finish(self) -> None:
        if self.recorder is None:
            return
        if self._lightning_module.device.type == "cuda":
            torch.cuda.synchronize()
        seconds, steps = time.perf_counter() - self.start_time, min(self.fetched - self.skip, self.steps)
        recorder, self.recorder = self.recorder, None
        while self.open:
            self.open.pop()[1].__exit__(None, None, None)
        recorder.__exit__(None, None, None)
        self.hooks.close()
        if self._local_rank not in (None, 0):
            return
        events = [event for event in recorder.events() if event.device_type == DeviceType.CPU]
        recording = Recording(steps, seconds, self.unrecorded_seconds, [_span(event) for event in events])
        write_text(self.folder / "profile.txt", format_report(recording))
        if self.trace:
            recorder.export_chrome_trace(str(self.folder / "profile.json.gz"))


def action_label(action: str) -> str | None:
    """The report's label of an action of Lightning's; None: it only holds others."""
    for end, label in ACTIONS.items():
        if action.endswith(end):
            return label
    if action.startswith("[Callback]"):
        return "callbacks: " + action.removeprefix("[Callback]").split("{")[0].split(".")[0]
    if action.startswith(("[LightningModule]", "[LightningDataModule]")):
        return "the module's own hooks"
    return "checkpoints" if action == "save_checkpoint" else None


def named_components(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """The components whose forward passes get a label each, once, by the first of its names."""
    found: dict[int, tuple[str, nn.Module]] = {}
    for name, submodule in module.named_modules():
        known = next((own for own in COMPONENTS if name == own or name.endswith("." + own)), None)
        if known is not None:
            label = "tokenizer" if known.startswith("tokenizer.") else known
            found.setdefault(id(submodule), (label, submodule))
    return list(found.values())


def _span(event: Any) -> Span:
    return Span(
        event.name,
        event.time_range.start * 1e-6,
        event.time_range.end * 1e-6,
        event.self_cpu_time_total * 1e-6,
        event.self_device_time_total * 1e-6,
    )
