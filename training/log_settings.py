"""The resolved config, as each kind of logger keeps settings: TensorBoard, W&B and MLflow."""

from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from torch.utils.tensorboard.summary import hparams

from common.settings import flat

OBJECTIVES = (
    "train/loss",
    "val/loss_text",
    "val/loss_draw",
    "geneval/overall",
    "vqa/accuracy",
)  # HPARAMS' columns


def log_settings(logger: Logger, config: dict[str, Any], path: Path) -> None:
    """Gives a logger the settings of a run, whole and, where it compares runs by them, as flat dotted keys.

    Args:
        logger: TensorBoard gets a text and its HPARAMS tab, W&B the run's config, MLflow parameters and the file as an
            artifact; others get nothing.
        config: nested.
        path: the file that holds it.
    """
    if isinstance(logger, TensorBoardLogger):
        _to_tensorboard(logger, flat(config), path)
    elif isinstance(logger, WandbLogger):
        logger.log_hyperparams(config)
    elif isinstance(logger, MLFlowLogger):
        logger.log_hyperparams(flat(config))
        logger.experiment.log_artifact(logger.run_id, str(path))


def _to_tensorboard(logger: TensorBoardLogger, settings: dict[str, Any], path: Path) -> None:
    """Lightning's own writes settings only with a metric, which would add a point to that metric's curve."""
    board = logger.experiment
    board.add_text("config", f"```yaml\n{path.read_text(encoding='utf-8')}```")
    plain = {
        key: value if isinstance(value, (bool, int, float, str)) else str(value)
        for key, value in settings.items()
    }
    for summary in hparams(plain, dict.fromkeys(OBJECTIVES)):
        board.file_writer.add_summary(summary)
