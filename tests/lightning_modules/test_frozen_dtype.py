"""What learns is in single precision, and only what is frozen may be kept in a half; pure halves are refused."""

import copy

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader

from lightning_modules.component_configs import LoRAConfig
from lightning_modules.language import LanguageModule
from lightning_modules.optimization import build_optimizer, freeze_except
from models.document import describe_document, draw_document
from models.language.lora import add_lora
from models.sequence import collate
from models.unified import Illume
from tests.fixtures import make_tiny_illume
from tests.perturb import perturb
from tests.training.parallel.test_strategy import settings
from training.eval_mode import eval_mode
from training.parallel import strategy

RATES = {"adapter": 1e-4, "trunk": 0.0, "text": 0.0, "vision": 1e-4}
LORA = LoRAConfig(r=4, lora_alpha=4, target_modules=["q_proj", "down_proj"])
QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class Module(LanguageModule):
    """Of a model that is there already."""

    def __init__(self, model, rates=RATES, **given):
        super().__init__(rates, {}, warmup_steps=1, **given)
        self.given = model

    def assemble(self):
        self.model = self.given.requires_grad_(False)
        freeze_except(self.learning_rates, self.model.language.param_groups())
        if self.lora is not None:
            add_lora(self.model.language, self.lora.given)
        if self.gradient_checkpointing:
            self.model.language.trunk.gradient_checkpointing_enable({"use_reentrant": False})


def illume():
    return perturb(make_tiny_illume())


def loader(model):
    torch.manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 48, 48), dtype=torch.uint8)
    documents = [describe_document(images[0], "red"), draw_document("a red circle", images[1])]
    segments = [model.sequencer.segment(document) for document in documents]
    return DataLoader([collate(segments, [[0], [1]], 128, 0)] * 4, batch_size=None)


def fit(module, tmp_path, steps=4, resume=None, **given):
    trainer = L.Trainer(
        accelerator="cpu", precision="bf16-mixed", max_steps=steps, default_root_dir=tmp_path, **QUIET | given
    )
    trainer.fit(module, loader(module.given), ckpt_path=resume, weights_only=True)
    return trainer


def learned(module):
    return {name: p for name, p in module.model.language.named_parameters() if p.requires_grad}


def frozen_matrices(module):
    language = module.model.language
    return {name: p for name, p in language.named_parameters() if not p.requires_grad and p.ndim > 1}


@pytest.mark.parametrize("lora", [None, LORA])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_only_the_frozen_trunk_is_kept_in_a_half(lora, checkpointing, tmp_path):
    if lora:
        pytest.importorskip("peft")
    rates = RATES | ({"trunk": 1e-4} if lora else {})
    module = Module(illume(), rates, frozen_dtype="bfloat16", lora=lora, gradient_checkpointing=checkpointing)
    start = {name: p.clone() for name, p in module.given.language.named_parameters()}
    trainer = fit(module, tmp_path)
    assert {p.dtype for p in learned(module).values()} == {torch.float32}
    assert {p.dtype for p in frozen_matrices(module).values()} == {torch.bfloat16}
    moments = [v for state in trainer.optimizers[0].state.values() for k, v in state.items() if k != "step"]
    assert {moment.dtype for moment in moments} == {torch.float32}
    for name, p in frozen_matrices(module).items():
        assert torch.equal(p, start[name.replace(".base_layer", "")].bfloat16()), name  # as they were
    for name, p in learned(module).items():
        if (
            "lora_" not in name
        ):  # every number of a row that was used has moved, by steps a half would not show
            moved = (p.detach() != start[name]).float()
            assert moved.flatten(1).mean() > 0.04 if p.ndim > 1 else moved.any(), name
    if lora:
        assert all(p.any() for name, p in learned(module).items() if "lora_" in name)
    before = {name: p.clone() for name, p in learned(module).items()}
    with eval_mode(module) as model:  # as callbacks draw while it is in training
        drawn = model.draw_batch(["a red circle", "a blue star"], [0, 1])
        assert drawn.shape == (2, 3, 48, 48) and model.describe_batch(drawn)
    assert all(torch.equal(p, before[name]) for name, p in learned(module).items())


@pytest.mark.parametrize("lora", [None, LORA])
def test_its_folder_is_in_single_precision_and_says_what_the_training_model_says(lora, tmp_path):
    if lora:
        pytest.importorskip("peft")
    rates = RATES | ({"trunk": 1e-2} if lora else {})
    module = Module(illume(), rates, frozen_dtype="bfloat16", lora=lora)
    fit(module, tmp_path)
    module.export(str(tmp_path / "model"))
    again = Illume.from_pretrained(str(tmp_path / "model"))
    assert {p.dtype for p in again.language.parameters()} == {torch.float32}
    exact = copy.deepcopy(module.model).eval()
    exact.language.float()  # its own weights, as they are, in single precision
    ids = torch.arange(4, 24)[None]

    def logits(model):
        hidden = model.language.trunk(inputs_embeds=model.language.embed(ids), use_cache=False)
        return model.language.logits(hidden.last_hidden_state)

    with torch.no_grad():
        assert torch.allclose(logits(again), logits(exact), atol=1e-4)  # nothing that was added rounds away


def test_a_run_resumes_as_if_it_had_not_stopped(tmp_path):
    class Save(L.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 2:
                trainer.save_checkpoint(tmp_path / "two.ckpt")

    whole, other = (Module(illume(), frozen_dtype="bfloat16") for _ in range(2))
    fit(whole, tmp_path, callbacks=[Save()])
    fit(other, tmp_path, resume=str(tmp_path / "two.ckpt"))
    for (name, one), two in zip(whole.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(one, two) and one.dtype == two.dtype, name


def test_training_from_half_weights_learns_in_single_precision(tmp_path):
    model = illume()
    model.language.half()
    module = Module(model, {"trunk": 1e-4, "text": 1e-4, "vision": 1e-4, "adapter": 1e-4})
    fit(module, tmp_path, steps=1)
    assert {p.dtype for p in module.model.language.parameters()} == {torch.float32}


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_pure_halves_are_refused_as_a_run_starts(precision, tmp_path):
    message = f"trainer.precision {precision} .*give (bf)?16-mixed.*frozen_dtype=bfloat16"
    with pytest.raises(ValueError, match=message):
        strategy.check(settings(precision=precision))
    module = Module(illume(), {"trunk": 1e-4, "adapter": 1e-4})
    trainer = L.Trainer(accelerator="cpu", precision=precision, max_steps=1, **QUIET)
    with pytest.raises(ValueError, match="trunk would learn in b?float16.*--trainer.precision=bf16-mixed"):
        trainer.fit(module, loader(module.given))


def test_what_learns_in_any_stage_is_in_single_precision():
    half = torch.nn.Linear(2, 2).half()
    with pytest.raises(ValueError, match="unet would learn in float16, in which most updates round away"):
        build_optimizer({"unet": half.parameters()}, {"unet": 1e-3}, 10, 1)


def test_autocast_to_fp16_is_refused_on_a_cpu():
    with pytest.raises(ValueError, match="16-mixed cannot run on a CPU: give bf16-mixed or 32-true"):
        strategy.check(settings(precision="16-mixed"))


def test_a_frozen_dtype_that_cannot_be_is_one_line(tmp_path):
    with pytest.raises(ValueError, match="frozen_dtype is 'int8'; there is float32, bfloat16, float16"):
        Module(illume(), frozen_dtype="int8")
    module = Module(illume(), frozen_dtype="bfloat16")
    trainer = L.Trainer(accelerator="cpu", max_steps=1, **QUIET)
    with pytest.raises(ValueError, match="frozen_dtype bfloat16 .*give --trainer.precision=bf16-mixed"):
        trainer.fit(module, loader(module.given))
