"""One run of one stage: LightningCLI with the project's options, defaults and run folder.

`train.py` imports it only once the configs are found: importing Lightning takes seconds.
"""

import json
import logging
import shutil
import warnings
from argparse import SUPPRESS
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from common.checks import check_run_name
from common.environment import refuse_secrets
from common.files import write_text
from common.folder_lock import is_first_process, lock_folder
from common.paths import expand_all
from common.setting_errors import deny_programs, setting_errors
from training.checkpoint import ResumeCheckpoint
from training.csv_logger import AppendingCSVLogger
from training.data_metrics import DataMetrics
from training.devices import DEVICES
from training.divergence import DivergenceGuard
from training.export import ExportModelFolder
from training.fit_loop import ResumableFitLoop, is_restore_error
from training.graceful_stop import GracefulStop, refuse_timer, session_seconds
from training.hang_watchdog import HangWatchdog
from training.loggers import MLflow, Wandb, finish_wandb
from training.parallel import strategy
from training.parallel.rank_max import RankMax
from training.param_group_metrics import ParamGroupMetrics
from training.plan.options import UTILISATION
from training.progress import StageProgress
from training.resume_point import ResumePoint, find_resume_point
from training.run_config import SaveRunConfig, check_same_config
from training.speed import Speed
from training.step_seed import StepSeed
from training.trainer_settings import check_trainer

TRAINER_DEFAULTS = {"num_sanity_val_steps": 0, "enable_model_summary": False, "log_every_n_steps": 10}
FINISHED = "finished.json"
IGNORED_WARNINGS = (  # about the libraries' own doings, or about what is intended here
    ".*LeafSpec.*is deprecated",
    ".*'set_vital' is deprecated",
    ".*`IterableDataset` has `__len__` defined",
    ".*You have overridden `transfer_batch_to_device`",
    ".*does not have many workers",
    r".*Found \d+ module\(s\) in eval mode",
    ".*is smaller than the logging interval",  # a short run, or a short epoch
    ".*Total length of `list` across ranks is zero",  # no source has validation shards
)

deny_programs()  # a config names classes of this project and of its libraries alone

PLAN_OPTIONS = {
    "--plan": "count parameters, memory and hours of the run, and do not run it",
    "--plan_device": f"device to plan for: {', '.join(DEVICES)} (default: by trainer.accelerator)",
    "--plan_utilisation": f"share of the device's peak that training is taken to reach (default: {UTILISATION})",
}


class Experiment(LightningCLI):
    """Parses a command line, builds what it names, and runs it in `runs/<name>/`.

    A finished run is parsed and checked but not built again: `model`, `datamodule` and `trainer` stay None.
    """

    def __init__(self, action: str, default_name: str, args: list[str]) -> None:
        self.action = action
        self.default_name = default_name
        self.datamodule: LightningDataModule | None = None
        self.model: LightningModule | None = None
        self.trainer: Trainer | None = None
        rank_max = RankMax()
        self.stop, self.divergence = GracefulStop(rank_max), DivergenceGuard(rank_max)
        self.resume = ResumePoint(None, 0, "")
        self.lock = ExitStack()  # holds the run folder while this process writes to it
        self.is_new_folder = False  # whether this process made it
        _silence_lightning()
        refuse_secrets()
        strategy.register()
        try:
            super().__init__(
                LightningModule,
                LightningDataModule,
                save_config_callback=None,
                trainer_defaults=dict(TRAINER_DEFAULTS),
                seed_everything_default=0,
                parser_kwargs={"parser_mode": "omegaconf+", "allow_abbrev": False, "exit_on_error": False},
                subclass_mode_model=True,
                subclass_mode_data=True,
                run=False,
                args=args,
                auto_configure_optimizers=False,
            )
        except BaseException:
            self.lock.close()
            raise
        if self.trainer is None:
            self.lock.close()

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.config.runs_dir) / self.config.name

    @property
    def finished(self) -> bool:
        """Whether this run has trained to its end and exported its model."""
        return (self.folder / FINISHED).exists()

    @property
    def is_fast_dev_run(self) -> bool:
        """Whether this run only tries the code, which leaves nothing in the run folder."""
        return bool(self.config.trainer.fast_dev_run)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The options beside trainer, model and data."""
        for name, kind, default, text in (
            ("extends", list[str] | str | None, None, "configs this starts from"),
            ("name", str, self.default_name, "the run's name"),
            ("runs_dir", str, "runs", "folder of all run folders"),
            ("timeout", float, 1800.0, "seconds that a process may wait for another in a step"),
            ("track.wandb", Wandb | None, None, "a run in W&B, too"),
            ("track.mlflow", MLflow | None, None, "a run in MLflow, too"),
        ):
            parser.add_argument(f"--{name}", type=kind, default=default, help=text)
        for option, text in PLAN_OPTIONS.items():  # train.py takes them out before; they are here for --help
            kind = {"action": "store_true"} if option == "--plan" else {"type": str}
            parser.add_argument(option, default=SUPPRESS, help=text, **kind)
        parser.add_lightning_class_args(ResumeCheckpoint, "checkpoint")
        parser.add_lightning_class_args(Speed, "speed")

    def parse_arguments(self, parser: LightningArgumentParser, args: list[str]) -> None:
        """As Lightning's, without its warning that sys.argv was not used; expands `~` in all paths."""
        with setting_errors():
            config = parser.parse_args(args)
        name = config.name  # no path, and refused where it looks like one
        self.config = expand_all(config)
        self.config.name = name

    def before_instantiate_classes(self) -> None:
        """Checks machine and run folder before anything expensive is built."""
        check_run_name(self.config.name)
        strategy.check(self.config.trainer)
        check_trainer(self.config.trainer)
        refuse_timer(self.config.trainer.callbacks)
        dump = self.parser.dump(self.config, skip_link_targets=False, skip_unset=False, format="yaml")
        self.settings: dict[str, Any] = yaml.safe_load(dump)
        if self.is_fast_dev_run:
            return
        if self.action == "fit":
            self.is_new_folder = not self.folder.exists()
            self.lock.enter_context(lock_folder(self.folder, here=is_first_process()))
            check_same_config(self.folder, self.settings)
        if self.action != "fit" or not self.finished:
            self.resume = find_resume_point(self.folder / "checkpoints")

    def instantiate_classes(self) -> None:
        """Builds everything, unless nothing is left to do."""
        if self.is_fast_dev_run or self.action != "fit" or not self.finished:
            with setting_errors():
                super().instantiate_classes()
            from lightning_modules.stage_module import StageModule  # not above: it imports transformers

            if not isinstance(self.model, StageModule):
                kind = type(self.model).__name__
                raise ValueError(
                    f"model: {kind} is no StageModule, which lightning_modules/stage_module.py describes"
                )

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer, with the run folder's loggers and callbacks beside those of the config."""
        self.trainer_defaults["callbacks"] = self._own_callbacks()
        trainer_config = self.config_init.trainer
        arguments = strategy.trainer_arguments(trainer_config, self.config.timeout)
        self.stop.seconds = session_seconds(trainer_config.max_time)
        if self.stop.seconds is not None:  # Lightning's timer would take the run for finished
            epochs = trainer_config.max_epochs
            arguments |= {"max_time": None, "max_epochs": -1 if epochs is None else epochs}
        trainer = super().instantiate_trainer(
            default_root_dir=str(self.folder), logger=self._loggers(), **arguments, **kwargs
        )
        trainer.fit_loop = ResumableFitLoop.wrap(trainer.fit_loop)
        trainer.callbacks[:0] = [self.stop, self.divergence]
        return trainer

    def _own_callbacks(self) -> list[Callback]:
        config = self.config
        callbacks: list[Callback] = [
            HangWatchdog(config.timeout),
            SaveRunConfig(self.settings),
            DataMetrics(),
            ParamGroupMetrics(),
            ExportModelFolder(),
        ]
        if not isinstance(config.seed_everything, bool):
            callbacks.append(StepSeed(config.seed_everything))
        if config.trainer.enable_progress_bar is not False:
            callbacks.append(StageProgress(config.name))
        return callbacks

    def _loggers(self) -> list[Logger] | bool:
        """The run's files, TensorBoard and those of the config; an evaluation adds nothing to the run's own."""
        config, chosen = self.config, self.config_init.trainer.logger
        more = chosen if isinstance(chosen, list) else [chosen] if isinstance(chosen, Logger) else []
        if self.action != "fit" or self.is_fast_dev_run:
            return more or False
        board = TensorBoardLogger(
            self.folder, "", "tensorboard", default_hp_metric=False, purge_step=self.resume.step
        )
        files = [
            AppendingCSVLogger(self.folder / f"{name}.csv", name == "machine")
            for name in ("metrics", "machine")
        ]
        trackers = [tracker for tracker in vars(self.config_init.track).values() if tracker is not None]
        tracked = [tracker.logger(Path(config.runs_dir), config.name) for tracker in trackers]
        return [*files, board, *tracked, *more]

    def execute(self) -> Any:
        """Runs the action, from the run's checkpoint if it has one."""
        function = getattr(self.trainer, self.action)
        checkpoint = None if self.resume.path is None else str(self.resume.path)
        self.trainer.ckpt_path = checkpoint  # so set, configure_model can tell that the run resumes
        with self.lock, self.stop.listening() if self.action == "fit" else nullcontext():
            try:
                result = function(self.model, datamodule=self.datamodule, weights_only=True)
            except BaseException as error:
                with suppress(OSError):  # a full disk fails here, too, and must not hide what was first
                    finish_wandb(self.trainer.loggers, failed=True)
                self._remove_unused_folder()
                if self.stop.is_immediate:  # Lightning would end the program with 1
                    raise KeyboardInterrupt from None
                if checkpoint and isinstance(error, Exception) and is_restore_error(error):
                    raise ValueError(
                        f"{checkpoint} does not hold what this run saves ({type(error).__name__}: "
                        f"{str(error)[:150]}): move it away, and the same command goes on from what is left, or anew"
                    ) from error
                raise
            finish_wandb(self.trainer.loggers, failed=False)
            if self.action == "fit" and not self.is_fast_dev_run and self.trainer.is_global_zero:
                done = {"step": self.trainer.global_step, "epoch": self.trainer.current_epoch}
                write_text(self.folder / FINISHED, json.dumps(done) + "\n")
        return result

    def _remove_unused_folder(self) -> None:
        """Removes what a run that never began to train has written; config.yaml is written when it begins."""
        if self.action != "fit" or not self.is_new_folder or (self.folder / "config.yaml").exists():
            return
        for name in ("tensorboard", "predecessors", "wandb"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        with suppress(OSError):  # it is not empty; what is above it goes with the lock
            self.folder.rmdir()


class ModulesOnly(Experiment):
    """A command line whose module and data module are built, with no trainer and no run folder: for a plan."""

    def before_instantiate_classes(self) -> None:
        """Checks nothing: the run may be of another machine."""

    def instantiate_classes(self) -> None:
        """Builds module and data module, which hold nothing before they are configured."""
        # callbacks look for files of their own, and count for nothing in a plan
        self.config.trainer.callbacks = None
        with setting_errors():
            self.config_init = self.parser.instantiate(self.config)
        self.datamodule, self.model = self.config_init.data, self.config_init.model


def _silence_lightning() -> None:
    """Leaves out Lightning's device lists, advertisements and the warnings that no user can act on."""
    for package in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(package).setLevel(logging.WARNING)
    for message in IGNORED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
