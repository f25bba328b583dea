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
from jsonargparse import set_parsing_settings
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from common.checks import check_run_name
from common.environment import refuse_secrets
from common.files import write_text
from common.folder_lock import is_first_process, lock_folder
from common.paths import expand_all
from training.checkpoint import ResumeCheckpoint, ResumePoint, find_resume_point
from training.csv_logger import AppendingCSVLogger
from training.data_metrics import DataMetrics
from training.divergence import DivergenceGuard
from training.export import ExportModelFolder
from training.fit_loop import ResumableFitLoop, is_of_restoring
from training.graceful_stop import GracefulStop
from training.hang_watchdog import HangWatchdog
from training.loggers import MLflow, Wandb, close
from training.parallel import strategy as placement
from training.parallel.rank_max import RankMax
from training.param_group_metrics import ParamGroupMetrics
from training.plan.devices import DEVICES
from training.plan.options import UTILISATION
from training.plan.trainer_settings import check_trainer
from training.progress import StageProgress
from training.run_config import SaveRunConfig, check_same_config
from training.session_time import refuse_timer, session_seconds
from training.speed import Speed
from training.step_seed import StepSeed

TRAINER_DEFAULTS = {"num_sanity_val_steps": 0, "enable_model_summary": False, "log_every_n_steps": 10}
FINISHED = "finished.json"
NOISE = (  # warnings that are about the libraries' own doings, or about what is meant here
    ".*LeafSpec.*is deprecated",
    ".*'set_vital' is deprecated",
    ".*`IterableDataset` has `__len__` defined",
    ".*You have overridden `transfer_batch_to_device`",
    ".*does not have many workers",
    r".*Found \d+ module\(s\) in eval mode",
    ".*is smaller than the logging interval",  # a short run, or a short epoch
    ".*Total length of `list` across ranks is zero",  # no source has validation shards
)


# A config names classes of this project and of its libraries, and nothing that runs programs.
set_parsing_settings(import_path_denylist=["os", "subprocess"])

PLAN_OPTIONS = (
    ("--plan", "count parameters, memory and hours of the run, and do not run it"),
    (
        "--plan_device",
        f"device to plan for: {', '.join(DEVICES)} (default: by trainer.accelerator)",
    ),
    (
        "--plan_utilisation",
        f"share of the device's peak that training is taken to reach (default: {UTILISATION})",
    ),
)


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
        agreement = RankMax()
        self.stop, self.finite = GracefulStop(agreement), DivergenceGuard(agreement)
        self.resume = ResumePoint(None, 0, "")
        self.lock = ExitStack()  # holds the run folder while this process writes there
        self.began_here = False  # whether the folder is this process's own
        _quieten()
        refuse_secrets()
        placement.register()
        try:
            self._parse_and_build(args)
        except BaseException:
            self.lock.close()
            raise
        if self.trainer is None:
            self.lock.close()

    def _parse_and_build(self, args: list[str]) -> None:
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

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.config.runs_dir) / self.config.name

    @property
    def finished(self) -> bool:
        """Whether this run has trained to its end and exported its model."""
        return (self.folder / FINISHED).exists()

    @property
    def trial(self) -> bool:
        """Whether fast_dev_run only tries the code: that leaves nothing in the run folder."""
        return bool(self.config.trainer.fast_dev_run)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The options beside trainer, model and data."""
        parser.add_argument(
            "--extends", type=list[str] | str | None, default=None, help="configs this starts from"
        )
        parser.add_argument("--name", type=str, default=self.default_name, help="the run's name")
        parser.add_argument("--runs_dir", type=str, default="runs", help="where run folders are made")
        parser.add_argument(
            "--timeout",
            type=float,
            default=1800.0,
            help="seconds that a process may wait for another in a step",
        )
        for option, told in PLAN_OPTIONS:  # train.py takes them out before; they are here for --help
            kind = {"action": "store_true"} if option == "--plan" else {"type": str}
            parser.add_argument(option, default=SUPPRESS, help=told, **kind)
        parser.add_argument("--track.wandb", type=Wandb | None, default=None, help="a run in W&B, too")
        parser.add_argument("--track.mlflow", type=MLflow | None, default=None, help="a run in MLflow, too")
        parser.add_lightning_class_args(ResumeCheckpoint, "checkpoint")
        parser.add_lightning_class_args(Speed, "speed")

    def parse_arguments(self, parser: LightningArgumentParser, args: list[str]) -> None:
        """As Lightning's, without its warning that sys.argv was not used; the one place that expands `~` in paths."""
        name = (config := parser.parse_args(args)).name  # no path, and refused where it looks like one
        self.config = expand_all(config)
        self.config.name = name

    def before_instantiate_classes(self) -> None:
        """Looks at machine and run folder before anything expensive is built."""
        check_run_name(self.config.name)
        placement.check(self.config.trainer)
        check_trainer(self.config.trainer)
        refuse_timer(self.config.trainer.callbacks)
        dump = self.parser.dump(self.config, skip_link_targets=False, skip_none=False, format="yaml")
        self.settings: dict[str, Any] = yaml.safe_load(dump)
        if self.trial:
            return
        if self.action == "fit":
            self.began_here = not self.folder.exists()
            self.lock.enter_context(lock_folder(self.folder, here=is_first_process()))
            check_same_config(self.folder, self.settings)
        if self.action != "fit" or not self.finished:
            self.resume = find_resume_point(self.folder / "checkpoints")

    def instantiate_classes(self) -> None:
        """Builds everything, unless there is nothing left to do."""
        if self.trial or self.action != "fit" or not self.finished:
            super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer, with the run folder's loggers and callbacks beside those of the config."""
        self.trainer_defaults["callbacks"] = self._own_callbacks()
        chosen = self.config_init.trainer
        placed = placement.arguments(chosen, self.config.timeout)
        seconds = session_seconds(chosen)
        if seconds is not None:  # Lightning's timer would take the run for finished
            placed["max_time"] = None
            placed["max_epochs"] = -1 if chosen.max_epochs is None else chosen.max_epochs
        trainer = super().instantiate_trainer(
            default_root_dir=str(self.folder), logger=self._loggers(), **placed, **kwargs
        )
        trainer.fit_loop = ResumableFitLoop.in_place_of(trainer.fit_loop)
        self.stop.seconds = seconds
        trainer.callbacks[:0] = [self.stop, self.finite]
        return trainer

    def _own_callbacks(self) -> list[Callback]:
        config = self.config
        callbacks: list[Callback] = [
            HangWatchdog(config.timeout),
            SaveRunConfig(self.settings),
            ParamGroupMetrics(),
            DataMetrics(),
            ExportModelFolder(),
        ]
        if not isinstance(config.seed_everything, bool):
            callbacks.append(StepSeed(config.seed_everything))
        if config.trainer.enable_progress_bar is not False:
            callbacks.append(StageProgress(config.name))
        return callbacks

    def _loggers(self) -> list[Logger] | bool:
        """The run's files, TensorBoard and what the config adds; an evaluation adds nothing to the record."""
        config, chosen = self.config, self.config_init.trainer.logger
        more = chosen if isinstance(chosen, list) else [chosen] if isinstance(chosen, Logger) else []
        if self.action != "fit" or self.trial:
            return more or False
        board = TensorBoardLogger(
            self.folder, "", "tensorboard", default_hp_metric=False, purge_step=self.resume.step
        )
        files = [
            AppendingCSVLogger(self.folder / f"{name}.csv", name == "machine")
            for name in ("metrics", "machine")
        ]
        recipes = [recipe for recipe in vars(self.config_init.track).values() if recipe is not None]
        tracked = [recipe.logger(Path(config.runs_dir), config.name) for recipe in recipes]
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
                    close(self.trainer.loggers, failed=True)
                self._leave_no_trace()
                if self.stop.at_once:  # Lightning would end the program with 1
                    raise KeyboardInterrupt from None
                if checkpoint and isinstance(error, Exception) and is_of_restoring(error):
                    raise ValueError(
                        f"{checkpoint} does not hold what this run saves ({type(error).__name__}: "
                        f"{str(error)[:150]}): move it away, and the same command goes on from what is left, or anew"
                    ) from error
                raise
            close(self.trainer.loggers, failed=False)
            if self.action == "fit" and not self.trial and self.trainer.is_global_zero:
                done = {"step": self.trainer.global_step, "epoch": self.trainer.current_epoch}
                write_text(self.folder / FINISHED, json.dumps(done) + "\n")
        return result

    def _leave_no_trace(self) -> None:
        """Takes back what a run that never began to train has put down; config.yaml is written when it begins."""
        if self.action != "fit" or not self.began_here or (self.folder / "config.yaml").exists():
            return
        for name in ("tensorboard", "predecessors", "wandb"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        with suppress(OSError):  # it holds something; what is above it goes with the lock
            self.folder.rmdir()


class ModulesOnly(Experiment):
    """A command line whose module and data are there, with no trainer and no run folder: for a plan."""

    def before_instantiate_classes(self) -> None:
        """Looks at nothing: the run may be of another machine."""

    def instantiate_classes(self) -> None:
        """Builds module and data, which hold nothing before they are configured."""
        self.config.trainer.callbacks = (
            None  # which look for files of their own, and count for nothing in a plan
        )
        self.config_init = self.parser.instantiate(self.config)
        self.datamodule, self.model = self.config_init.data, self.config_init.model


def _quieten() -> None:
    """Leaves out Lightning's device lists, advertisements and the warnings that no user can act on."""
    for package in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(package).setLevel(logging.WARNING)
    for message in NOISE:
        warnings.filterwarnings("ignore", message=message)
