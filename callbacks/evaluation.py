"""The playground suite while training: what the model of this stage can do already, measured and logged."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from callbacks.stage_model import evaluated
from evals.suite import measures_of, playground_suite

ABOUT = ("seed", "samples", "seconds")  # what the suite tells that is no measure


class Evaluation(Callback):
    """Logs `eval/<name>` for every score of the suite that the stage's model has the parts for.

    All ranks evaluate alike, so that sharded models work and none waits for another.

    Args:
        every_n_epochs: how often; 0: only at the end.
        at_end: whether to evaluate when training ends, if the last epoch did not.
        per_category: GenEval prompts a category.
        seeds: drawings a prompt.
        samples: scenes rebuilt; questions and edits are 4/3 and 1/3 as many.
        seed: of scenes, prompts and samples, the same ones each time.
    """

    def __init__(
        self,
        every_n_epochs: int = 1,
        at_end: bool = True,
        per_category: int = 8,
        seeds: int = 1,
        samples: int = 72,
        seed: int = 0,
    ) -> None:
        if every_n_epochs < 0 or min(per_category, seeds, samples) < 1:
            raise ValueError(
                "Evaluation: every_n_epochs is at least 0, per_category, seeds and samples are at least 1"
            )
        self.every_n_epochs, self.at_end = every_n_epochs, at_end
        self.sizes = {"seed": seed, "per_category": per_category, "seeds": seeds, "samples": samples}
        self.last_step = -1

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.every_n_epochs and (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._evaluate(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.at_end:
            self._evaluate(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A run cut off after its last step resumes with nothing to train: on_train_end does not come.
        self.on_train_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        return {"last_step": self.last_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.last_step = state_dict["last_step"]

    def _evaluate(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step == self.last_step or trainer.fast_dev_run:
            return
        with evaluated(pl_module) as model:
            if not measures_of(model):
                return
            scores = playground_suite(model, **self.sizes)
        self.last_step = trainer.global_step
        metrics = {f"eval/{name}": float(value) for name, value in scores.items() if name not in ABOUT}
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in metrics.items()})
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step)
