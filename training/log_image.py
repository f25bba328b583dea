"""A picture, as each kind of logger takes one: TensorBoard, W&B and MLflow."""

import numpy as np
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from PIL import Image


def log_image(logger: Logger, name: str, picture: Image.Image, step: int) -> None:
    """Gives a logger a picture of a step; one that keeps none gets nothing."""
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(name, np.asarray(picture), step, dataformats="HWC")
    elif isinstance(logger, WandbLogger):
        logger.log_image(name, [picture], step)
    elif isinstance(logger, MLFlowLogger):
        logger.experiment.log_image(logger.run_id, picture, key=name, step=step)
