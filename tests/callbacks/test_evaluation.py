"""Evaluation in a real fit; afterwards the module is as it was."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from callbacks.evaluation import Evaluation
from evals.playground.suite import supported_measures
from evals.settings import PlaygroundSettings
from lightning_modules.stage_module import StageModule
from models.unified import Illume
from training.csv_logger import AppendingCSVLogger
from training.eval_mode import eval_mode


class Stage(StageModule):
    """Trains one number beside a model."""

    def __init__(self, model: Illume) -> None:
        super().__init__()
        self.model = model
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.noise: list[float] = []

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        assert self.model.language.training
        self.noise.append(float(torch.rand(1)))
        return (self.weight - batch).square().mean()

    def validation_step(self, batch: torch.Tensor) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([self.weight], 0.1)


class Decoding(Stage):
    """A stage without a language model: encoder, tokenizer, detokenizer and a running mean of the UNet."""

    def __init__(self, model: Illume) -> None:
        super().__init__(model)
        self.model = Illume(model.encoder, model.tokenizer, model.detokenizer)
        self.ema = torch.optim.swa_utils.AveragedModel(self.model.detokenizer.unet)

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        assert self.model.detokenizer.training
        return (self.weight - batch).square().mean()


def fit(module: Stage, folder: Path, *callbacks: Callback, epochs: int = 3) -> Trainer:
    torch.manual_seed(0)
    data = torch.utils.data.DataLoader(torch.ones(4), 2)
    trainer = Trainer(
        accelerator="cpu", max_epochs=epochs, default_root_dir=folder, callbacks=list(callbacks),
        logger=AppendingCSVLogger(folder / "metrics.csv"), enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, log_every_n_steps=1,
    )  # fmt: skip
    module.train()
    trainer.fit(module, data, data)
    return trainer


def few(**settings: int | bool) -> Evaluation:
    return Evaluation(per_category=1, seeds=1, samples=6, **settings)


def test_the_measures_of_a_stage_that_draws(
    monkeypatch: pytest.MonkeyPatch, tiny_illume: Illume, tmp_path: Path
) -> None:
    seen = []

    def suite(model: Illume, settings: PlaygroundSettings, measures: list[str]) -> dict[str, float]:
        seen.append((supported_measures(model), model.language.training, settings.samples))
        return {"geneval/overall": 0.25}

    monkeypatch.setattr("callbacks.evaluation.playground_suite", suite)
    trainer = fit(Stage(tiny_illume), tmp_path, few(), epochs=1)
    assert seen == [(["codebook", "reconstruction", "vqa", "geneval", "editing"], False, 6)]
    assert float(trainer.callback_metrics["geneval/overall"]) == 0.25


def test_the_scores_of_a_stage_that_decodes(tiny_illume: Illume, tmp_path: Path) -> None:
    trainer = fit(Decoding(tiny_illume), tmp_path, few(), epochs=1)
    assert {"reconstruction/exact", "codebook/used"} <= trainer.callback_metrics.keys()
    assert not [name for name in trainer.callback_metrics if "geneval" in name or "vqa" in name]


def test_a_stage_that_lacks_a_component_is_refused_before_training(
    tiny_illume: Illume, tmp_path: Path
) -> None:
    text = Illume(language=tiny_illume.language, text_tokenizer=tiny_illume.text_tokenizer)
    with pytest.raises(ValueError, match="no encoder and no tokenizer and no detokenizer"):
        fit(Stage(text), tmp_path, few(), epochs=1)


def test_evaluation_leaves_the_random_numbers_of_training_alone(
    monkeypatch: pytest.MonkeyPatch, tiny_illume: Illume, tmp_path: Path
) -> None:
    monkeypatch.setattr("callbacks.evaluation.playground_suite", lambda *_, **__: {"x": float(torch.rand(1))})
    plain, watched = Stage(tiny_illume), Stage(tiny_illume)
    fit(plain, tmp_path / "a", epochs=2)
    fit(watched, tmp_path / "b", few(), epochs=2)
    assert len(plain.noise) == 4 and plain.noise == watched.noise


def test_modes_and_weights_come_back_even_from_an_error(tiny_illume: Illume) -> None:
    module = Decoding(tiny_illume)
    module.train()
    module.model.encoder.eval()
    with torch.no_grad():
        for weight in module.ema.module.parameters():
            weight.add_(1)
    own, modes = module.model.detokenizer.unet, [m.training for m in module.modules()]
    with pytest.raises(RuntimeError), eval_mode(module) as model:
        assert model.detokenizer.unet is module.ema.module
        assert not any(m.training for m in model.modules())
        raise RuntimeError
    assert module.model.detokenizer.unet is own
    assert [m.training for m in module.modules()] == modes
    assert torch.is_grad_enabled()


def test_sizes_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="samples 0 is out of range"):
        Evaluation(samples=0)
