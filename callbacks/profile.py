"""Where the time of training goes: Lightning's profiler slot, filled by torch.profiler and a report that people can read.

`python train.py --config stage2.yaml --config profile.yaml --name profiled` writes `profile.txt` into the run's folder.
A few steps are recorded, after a few that warm up, and training goes on as if nothing had been.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.profilers import Profiler
from torch import nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, record_function

from common.files import write_text
from training.profile_report import FORWARD, Recording, Span, report

FETCH = "[_TrainingEpochLoop].train_dataloader_next"  # what Lightning calls waiting for a batch; a step begins there
ACTIONS = {  # the ends of what Lightning calls its actions, and what they are here
    "train_dataloader_next": "waiting for data",
    ".batch_to_device": "moving the batch",
    ".training_step": f"{FORWARD}the rest",
    ".backward": "backward",
    ".optimizer_zero_grad": "optimizer",
    ".optimizer_step": "optimizer",
    ".lr_scheduler_step": "optimizer",
    ".configure_gradient_clipping": "clipping",
}
PARTS = (  # modules whose forward passes are told apart, by name; of a tokenizer only parts are called, and are it
    "encoder", "understanding_encoder", "captioner", "tokenizer.project", "tokenizer.quantizer", "tokenizer.decoder",
    "adapter", "trunk", "detokenizer.stem", "detokenizer.unet",
)  # fmt: skip


class TrainingProfile(Profiler):
    """Records `steps` steps of training after `skip` others, and writes `profile.txt`.

    Args:
        skip: steps before the first that is recorded.
        steps: that are recorded; validation is no part of them.
        trace: whether to write `profile.json.gz` too, for a viewer of Chrome traces.

    Raises:
        ValueError: a number makes no sense.
    """

    def __init__(self, skip: int = 10, steps: int = 20, trace: bool = False) -> None:
        super().__init__()
        self.skip, self.steps, self.trace = skip, steps, trace
        self.fetched, self.began, self.plain = 0, 0.0, 0.0
        self.recorder: torch.profiler.profile | None = None
        self.open: list[tuple[str, AbstractContextManager]] = []
        self.watched = ExitStack()
        self.folder = Path()
        if skip < 1 or steps < 1:
            raise ValueError(f"a profile skips and records at least 1 step each, not {skip} and {steps}")

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """Learns where the run's folder is."""
        super().setup(stage, local_rank, log_dir)
        self.folder = Path(log_dir or ".")

    def start(self, action_name: str) -> None:
        """An action begins."""
        if action_name == FETCH:
            self._count()
        if self.recorder is not None and (label := label_of(action_name)):
            self.open.append((action_name, record_function(label)))
            self.open[-1][1].__enter__()

    def stop(self, action_name: str) -> None:
        """An action ends; it may have begun before anything was recorded."""
        if self.open and self.open[-1][0] == action_name:
            self.open.pop()[1].__exit__(None, None, None)

    def teardown(self, stage: str | None) -> None:
        """Writes what there is, where training ends before the last step that was wanted."""
        self._finish()
        super().teardown(stage)

    def _count(self) -> None:
        number, now = self.fetched, time.perf_counter()
        self.fetched += 1
        if number == self.skip // 2:
            self.began = now
        if number == self.skip:
            self.plain = (now - self.began) / (self.skip - self.skip // 2)
            self._begin()
        elif number == self.skip + self.steps:
            self._finish()

    def _begin(self) -> None:
        module = self._lightning_module
        for name, part in parts_of(module):
            self._watch(part, FORWARD + name)
        for logger in module.trainer.loggers:
            self._label_logging(logger)
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (module.device.type == "cuda")
        self.recorder = torch.profiler.profile(activities=activities)
        self.recorder.__enter__()
        self.began = time.perf_counter()

    def _watch(self, part: nn.Module, label: str) -> None:
        def enter(*_: Any) -> None:
            self.open.append((label, record_function(label)))
            self.open[-1][1].__enter__()

        before = part.register_forward_pre_hook(enter)
        after = part.register_forward_hook(lambda *_: self.stop(label))
        self.watched.callback(before.remove)
        self.watched.callback(after.remove)

    def _label_logging(self, logger: Any) -> None:
        write: Callable[..., None] = logger.log_metrics

        def labelled(*arguments: Any, **options: Any) -> None:
            with record_function("logging"):
                write(*arguments, **options)

        logger.log_metrics = labelled
        self.watched.callback(lambda: vars(logger).pop("log_metrics"))

    def _finish(self) -> None:
        if self.recorder is None:
            return
        if self._lightning_module.device.type == "cuda":
            torch.cuda.synchronize()
        spent, steps = time.perf_counter() - self.began, min(self.fetched - self.skip, self.steps)
        recorder, self.recorder = self.recorder, None
        while self.open:
            self.open.pop()[1].__exit__(None, None, None)
        recorder.__exit__(None, None, None)
        self.watched.close()
        if self._local_rank not in (None, 0):
            return
        events = [event for event in recorder.events() if event.device_type == DeviceType.CPU]
        found = Recording(steps, spent, self.plain, [_span(event) for event in events])
        write_text(self.folder / "profile.txt", report(found))
        if self.trace:
            recorder.export_chrome_trace(str(self.folder / "profile.json.gz"))


def label_of(action: str) -> str | None:
    """What an action of Lightning's is called in the report; None: it only holds others."""
    for end, label in ACTIONS.items():
        if action.endswith(end):
            return label
    if action.startswith("[Callback]"):
        return "callbacks: " + action.removeprefix("[Callback]").split("{")[0].split(".")[0]
    if action.startswith(("[LightningModule]", "[LightningDataModule]")):
        return "the module's own hooks"
    return "checkpoints" if action == "save_checkpoint" else None


def parts_of(module: LightningModule) -> list[tuple[str, nn.Module]]:
    """The module's parts whose forward passes are told apart, each once, by the first of its names."""
    found: dict[int, tuple[str, nn.Module]] = {}
    for name, part in module.named_modules():
        known = next((own for own in PARTS if name == own or name.endswith("." + own)), None)
        if known is not None:
            found.setdefault(id(part), ("tokenizer" if known.startswith("tokenizer.") else known, part))
    return list(found.values())


def _span(event: Any) -> Span:
    return Span(
        event.name,
        event.time_range.start * 1e-6,
        event.time_range.end * 1e-6,
        event.self_cpu_time_total * 1e-6,
        event.self_device_time_total * 1e-6,
    )
