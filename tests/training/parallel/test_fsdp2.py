"""FSDP2 on two processes is one process: the same losses, gradients' norms, weights, and a run that goes on."""

import lightning as L
import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy
from torchdata.stateful_dataloader import StatefulDataLoader

from lightning_modules.language import LanguageModule
from lightning_modules.stage_module import StageModule
from models.document import describe_document, draw_document
from models.generation import SamplingConfig
from models.sequence import collate
from models.unified import Illume
from tests.fixtures import make_tiny_illume
from tests.ranks import forked
from training.checkpoint import ResumeCheckpoint
from training.eval_mode import eval_mode
from training.export import ExportModelFolder
from training.parallel.fsdp2 import FSDP2Strategy
from training.param_group_metrics import ParamGroupMetrics
from training.resume_point import find_resume_point, read_resume_point

RATES = {"trunk": 1e-3, "text": 1e-3, "vision": 1e-3, "adapter": 1e-3, "understanding_encoder": 1e-3}


class Micro(torch.utils.data.Dataset):
    """Micro-batches of which each rank takes every n-th."""

    def __init__(self, batches, ranks, rank):
        self.batches = batches[rank::ranks]

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


class Record(L.Callback):
    """Losses over all ranks and gradient norms, step by step; and what the model draws before and amid them."""

    def __init__(self):
        self.losses, self.norms, self.drawn = [], [], []

    def on_train_start(self, trainer, module):
        self.draw(module)

    def draw(self, module):
        with eval_mode(module) as model:
            self.drawn.append(model.draw_batch(["a red circle"], [1], SamplingConfig(temperature=0.0)))
            self.drawn.append(model.language.vision_head.detach().clone())

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if trainer.fit_loop._should_accumulate():
            return
        self.norms.append(float(trainer.logged_metrics["grad_norm/all"]))
        if trainer.global_step == 2:
            self.draw(module)

    def on_before_optimizer_step(self, trainer, module, optimizer):  # before the module divides
        self.losses.append(
            float(module.summed) / float(trainer.strategy.reduce(module.window[1, :2].sum(), reduce_op="sum"))
        )


class Summed(LanguageModule):
    """With the sum of its losses kept."""

    def training_step(self, batch):
        total = super().training_step(batch)
        scale = 4096.0 / self.trainer.accumulate_grad_batches
        recorded = self.trainer.strategy.reduce(total.detach().clone() * scale, reduce_op="sum")
        self.summed = getattr(self, "summed", 0) + recorded
        return total

    def on_before_optimizer_step(self, optimizer):
        super().on_before_optimizer_step(optimizer)
        self.summed = 0


class Module(Summed):
    """With a model that is there already."""

    def __init__(self, made):
        super().__init__(RATES, {}, warmup_steps=1)
        self.made = made

    def assemble(self):
        self.model = self.made


def model():
    """The same model each time, with an encoder of its own for what it sees."""
    made = make_tiny_illume()
    made.understanding_encoder = type(made.encoder)(width=32, layers=1, heads=2)
    return made


@pytest.fixture(scope="module")
def micro():
    """Sixteen micro-batches; those that one of two ranks gets show images, the other's show none."""
    sequencer = model().sequencer
    images = torch.randint(
        0, 256, (2, 3, 48, 48), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    made = []
    for i in range(16):
        documents = [draw_document("a red circle", images[1])] * (1 + i % 3)
        if i % 2 == 0 and i < 12:  # the last window shows none at all
            documents.append(describe_document(images[0], "red " * (1 + i)))
        segments = [sequencer.segment(document) for document in documents]
        made.append(collate(segments, [[k] for k in range(len(segments))], 128, 0))
    return made


def fit(
    made, micro, folder, ranks, rank, accumulate, steps=4, strategy=None, resume=None, precision="32-true"
):
    """Trains a model or a stage, and returns what was recorded."""
    record = Record()
    every = [ParamGroupMetrics(), record, ExportModelFolder(), ResumeCheckpoint(2)]
    trainer = L.Trainer(
        accelerator="cpu", devices=ranks, strategy=strategy or "auto", accumulate_grad_batches=accumulate,
        max_steps=steps, gradient_clip_val=0.5, log_every_n_steps=1, precision=precision, callbacks=every,
        logger=False, enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
        default_root_dir=folder,
    )  # fmt: skip
    trainer.ckpt_path = resume and str(resume)
    module = made if isinstance(made, LanguageModule) else Module(made)
    trainer.fit(module, StatefulDataLoader(Micro(micro, ranks, rank), batch_size=None))
    return record.losses, record.norms, record.drawn


@pytest.fixture(scope="module")
def alone(micro, tmp_path_factory):
    """One process: what it recorded, and the folder it exported."""
    folder = tmp_path_factory.mktemp("alone")
    recorded = fit(model(), micro, folder, 1, 0, 4)
    return recorded, Illume.from_pretrained(str(folder / "model"))


@pytest.fixture(scope="module")
def sharded(micro, tmp_path_factory):
    """Two processes under FSDP2: what they recorded, and their folder."""
    folder = tmp_path_factory.mktemp("sharded")
    killed = folder / "checkpoints" / ".last.ckpt.7@00000000.tmp"  # as a run killed elsewhere leaves it
    killed.mkdir(parents=True)
    (killed / "__7_0.distcp").write_bytes(b"old")
    return forked(lambda rank: fit(model(), micro, folder, 2, rank, 2, strategy=FSDP2Strategy()), 2), folder


def assert_same(recorded, folder, alone):
    """What two processes recorded and exported is what one did."""
    (losses, norms, drawn), whole = alone
    for found_losses, found_norms, found_drawn in recorded:
        assert found_losses == pytest.approx(losses, abs=1e-5)
        assert found_norms == pytest.approx(norms, rel=1e-4)
        pairs = zip(found_drawn, drawn, strict=True)
        assert all(torch.allclose(one, other, atol=2e-5) for one, other in pairs)
    other = Illume.from_pretrained(str(folder / "model")).state_dict()
    for key, value in whole.state_dict().items():
        assert torch.allclose(other[key], value, atol=2e-5), key


def test_two_sharded_processes_are_one(sharded, alone):
    assert_same(*sharded, alone)


def test_two_processes_of_ddp_are_one(micro, alone, tmp_path):
    def run(rank):
        strategy = DDPStrategy(find_unused_parameters=True)
        return fit(model(), micro, tmp_path, 2, rank, 2, strategy=strategy)

    assert_same(forked(run, 2), tmp_path, alone)


def test_a_run_resumes_from_its_shards(micro, alone, sharded, tmp_path):
    """From what two processes had saved after two steps, and nothing else."""
    folder = sharded[1] / "checkpoints"
    saved = folder / "previous.ckpt"
    shares = [".metadata", "__0_0.distcp", "__1_0.distcp", "meta.pt"]
    assert sorted(path.name for path in saved.iterdir()) == shares
    assert (read_resume_point(saved).step, find_resume_point(folder).step) == (2, 4)

    def go_on(rank):
        made = model()
        torch.nn.init.ones_(made.language.vision_head)  # all of it comes out of the checkpoint
        return fit(made, micro, tmp_path, 2, rank, 2, strategy=FSDP2Strategy(), resume=saved)

    (losses, norms, drawn), whole = alone
    recorded = [(found, more, drawn) for found, more, _ in forked(go_on, 2)]
    assert_same(recorded, tmp_path, ((losses[2:], norms[2:], drawn), whole))


def test_half_precision_is_gathered_and_whole_weights_are_kept(micro, tmp_path):
    def run(rank):
        settings = {"strategy": FSDP2Strategy(), "precision": "bf16-mixed", "steps": 2}
        return fit(model(), micro, tmp_path / "half", 2, rank, 2, **settings)

    before = {name: value.clone() for name, value in model().language.state_dict().items()}
    found = forked(run, 2)
    assert found[0][0] == found[1][0] and all(loss < 10 for loss in found[0][0])
    assert found[0][2][1].dtype == torch.bfloat16, "what is gathered"
    after = Illume.from_pretrained(str(tmp_path / "half" / "model")).language.state_dict()
    moved = after["trunk.layers.0.mlp.up_proj.weight"] - before["trunk.layers.0.mlp.up_proj.weight"]
    assert 0 < moved.abs().max() < 4e-3, "steps of 1e-3 are lost in weights that were rounded"
    assert not torch.equal(after["vision_head"], after["vision_head"].bfloat16().float())


@pytest.mark.parametrize(
    ("module", "line"),
    [
        (LanguageModule(RATES, {}, muon=["trunk"]), "muon"),
        (StageModule(), "StageModule trains whole: give ddp"),
    ],
)
def test_what_cannot_be_sharded_is_refused(module, line):
    strategy = FSDP2Strategy()
    strategy._lightning_module = module
    if isinstance(module, LanguageModule):
        module._device_mesh = object()
    with pytest.raises(ValueError, match=line):
        module.configure_model() if isinstance(module, LanguageModule) else strategy.setup_environment()
