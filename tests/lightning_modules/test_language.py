"""A learned token counts the same in whatever micro-batch and on whatever rank it comes."""

import json
import random

import lightning as L
import pytest
import torch
from omegaconf import OmegaConf
from torch.utils.data import DataLoader

from judges.assessment import to_text
from judges.scene import assess_reading
from lightning_modules.language import LanguageModule
from lightning_modules.language_start import Words
from models.document import describe_document, draw_document
from models.prompts import Prompts
from models.sequence import collate
from tests.datamodules.tars import write_samples
from tests.fixtures import tiny_illume
from worlds.playground.judge import Reading
from worlds.playground.prompts import evaluation_prompts
from worlds.playground.questions import evaluation_questions
from worlds.playground.shards import ShardSet, write_shards

__all__ = ["tiny_illume"]
RATES = {"trunk": 0.1, "text": 0.1, "vision": 0.1, "adapter": 0.1}


class Module(LanguageModule):
    """With a model that is there already, and plain SGD, so that weights differ as gradients do."""

    def __init__(self, model):
        super().__init__(RATES, {})
        self.model = model

    def configure_model(self):
        """Is done."""

    def configure_optimizers(self):
        return torch.optim.SGD(self.model.language.parameters(), lr=0.1)


class OfRank(torch.utils.data.Dataset):
    """Micro-batches of which each rank takes every n-th."""

    def __init__(self, batches, ranks):
        self.batches, self.ranks = batches, ranks

    def __len__(self):
        return len(self.batches) // self.ranks

    def __getitem__(self, index):
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        return self.batches[index * self.ranks + rank]


def batches(model, images):
    """Eight micro-batches of very unequal numbers of learned tokens."""
    made = []
    for i in range(8):
        documents = [describe_document(images[0], "red " * (1 + 3 * i))]
        documents += [draw_document("a red circle", images[1])] * (i % 3)
        segments = [model.sequencer.segment(document) for document in documents]
        made.append(collate(segments, [[k] for k in range(len(segments))], 128, 0))
    return made


@pytest.mark.parametrize(("ranks", "accumulate"), [(1, 4), (2, 2), (4, 1)])
def test_a_window_is_one_mean(ranks, accumulate, tiny_illume, tmp_path):
    images = torch.randint(
        0, 256, (2, 3, 48, 48), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    before = {name: value.clone() for name, value in tiny_illume.language.state_dict().items()}
    micro = batches(tiny_illume, images)
    trainer = L.Trainer(
        accelerator="cpu",
        devices=ranks,
        strategy="ddp_fork_find_unused_parameters_true" if ranks > 1 else "auto",
        accumulate_grad_batches=accumulate,
        max_steps=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=tmp_path,
    )
    module = Module(tiny_illume)
    trainer.fit(module, DataLoader(OfRank(micro, ranks), batch_size=None))
    wanted = _by_hand(before, tiny_illume, micro)
    for name, value in module.model.language.state_dict().items():
        assert torch.allclose(value, wanted[name], atol=2e-5), name
    assert any(not torch.allclose(wanted[name], before[name], atol=1e-4) for name in before)


def test_the_validation_loss_is_one_mean_over_words_and_codes(tiny_illume):
    images = torch.zeros((2, 3, 48, 48), dtype=torch.uint8)
    micro = batches(tiny_illume, images)[:3]
    trainer = L.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False
    )
    (found,) = trainer.validate(
        Module(tiny_illume), DataLoader(OfRank(micro, 1), batch_size=None), verbose=False
    )
    losses = [tiny_illume.language.loss(batch, *tiny_illume.encode_images(batch)) for batch in micro]
    text, draw, *tokens = (sum(float(loss[i]) for loss in losses) for i in range(4))
    assert found["val/loss"] == pytest.approx((text + draw) / sum(tokens), rel=1e-5)
    halfway = (found["val/loss_text"] + found["val/loss_draw"]) / 2
    assert found["val/loss"] != pytest.approx(halfway, rel=2e-5), "a mean of means would pass too"


def _by_hand(before, model, micro):
    """Two steps of plain gradient descent on the mean over all tokens of four micro-batches."""
    model.language.load_state_dict(before)
    for window in (micro[:4], micro[4:]):
        model.zero_grad()
        losses = [model.language.loss(batch, *model.encode_images(batch)) for batch in window]
        tokens = sum(int(x.text_tokens + x.draw_tokens) for x in losses)
        (sum(x.text + x.draw for x in losses) / tokens).backward()
        with torch.no_grad():
            for parameter in model.language.parameters():
                if parameter.grad is not None:
                    parameter -= 0.1 * parameter.grad
    return {name: value.clone() for name, value in model.language.state_dict().items()}


def test_every_word_of_the_playground_is_one_piece(tmp_path):
    """Those of the prompts, of questions in branches, and of assessments too: letter by letter they would fill rows."""
    names = ("text", "edits", "stories", "pairs")
    list(write_shards([ShardSet(name, "train", 400, 0) for name in names], tmp_path, workers=1))
    recipe = OmegaConf.load("configs/playground/language.yaml").model.init_args.words
    shards = recipe.shards.replace("runs/playground/data", str(tmp_path))
    tokenizer = Words(shards, recipe.size, recipe.more).tokenizer(Prompts())
    nothing, prompts = Reading(()), evaluation_prompts(20)
    said = [to_text(assess_reading(nothing, p.spec)) for p in prompts]
    said += [p.text for p in prompts] + [q.text for _, q in evaluation_questions(200)]
    said += [prompt.replace("{caption}", "").replace("{instruction}", "") for prompt in Prompts().texts]
    words = {word for text in said for word in text.split()}
    assert len(words) > 70 and not {word for word in words if len(tokenizer.tokenize(word)) > 1}


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda whole: whole[:3000], "cannot be read"),
        (lambda whole: whole[:1024] + b"\xff" * 2000 + whole[3024:], "cannot be read"),
        (lambda whole: random.Random(0).randbytes(9000), "cannot be read"),
        (lambda whole: b"", "cannot be read"),
        (lambda whole: bytes(10240), "holds no words"),
    ],
    ids=["cut", "damaged", "no tar", "empty", "zeros"],
)
def test_a_damaged_shard_of_words_is_named(tmp_path, damage, why):
    good = {f"{i}": {"txt": f"number {i} ".encode() * 100, "png": b"x" * 700} for i in range(4)}
    whole = write_samples(tmp_path / "0.tar", good).read_bytes()
    (tmp_path / "1.tar").write_bytes(damage(whole))
    words = Words(f"{tmp_path}/{{0..1}}.tar", 300)
    with pytest.raises(ValueError, match=rf"model.init_args.words.shards: .*1.tar {why}"):
        words.tokenizer(Prompts())


def test_shards_of_words_of_other_kinds_are_read_or_refused(tmp_path, caplog):
    talk = {
        "conversations": [{"from": "human", "value": "zzyzx " * 50}, {"from": "gpt", "value": "quux"}, {}]
    }
    samples = {
        "a": {"json": json.dumps(talk).encode()},
        "b": {"json": b'{"parts": [{"see": "0.png"}, {"text": 7}, {"text": "xyzzy xyzzy xyzzy xyzzy"}]}'},
        "c": {"json": b"[1]"},
        "d": {"json": b"{"},
        "e\x1b[2J": {"txt": b"caf\xe9"},
    }
    write_samples(tmp_path / "0.tar", samples)
    pieces = Words(f"{tmp_path}/0.tar", 300).tokenizer(Prompts()).get_vocab()
    assert any("zzyzx" in piece for piece in pieces) and any("xyzzy" in piece for piece in pieces)
    assert "3 samples of" in caplog.text and "\x1b" not in caplog.text
    for shards, why in {
        "pipe:cat 0.tar": "a command is not run",
        str(tmp_path): "name the shards themselves",
        f"{tmp_path}/*.tar": "name the shards themselves",
        f"{tmp_path}/9.tar": "cannot be read",
    }.items():
        with pytest.raises(ValueError, match=f"model.init_args.words.shards: .*{why}"):
            Words(shards, 300).tokenizer(Prompts())


def test_a_missing_peft_is_told_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    module = LanguageModule({"trunk": 1e-4}, {"all": "nowhere"}, lora={"r": 4})
    with pytest.raises(ValueError, match=r"pip install -e '\.\[lora\]'"):
        module.configure_model()
