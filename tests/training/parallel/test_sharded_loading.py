"""Two processes of FSDP2 load a language model: each holds its share and little more, and both together all of it."""

import ctypes
import gc
import shutil
import threading
import time
from pathlib import Path

import lightning as L
import pytest
import torch
from transformers import AutoModelForCausalLM

from lightning_modules.component_configs import LanguageConfig
from lightning_modules.language import LanguageModule
from models import sharding
from models.document import describe_document, draw_document
from models.language.pretrained import PretrainedLanguage
from models.sequence import collate
from models.slices import Slicing
from models.unified import Illume
from tests.fixtures import make_tiny_illume
from tests.models.language.test_pretrained import SIZES, publish
from tests.ranks import forked
from tests.training.parallel.test_fsdp2 import Summed, assert_same, fit
from training.parallel.fsdp2 import FSDP2Strategy

RATES = {"trunk": 1e-3, "text": 1e-3, "vision": 1e-3, "adapter": 1e-3}
WIDTH, LAYERS = 768, 8
WHOLE = 4e-6 * LAYERS * (4 * WIDTH**2 + 3 * WIDTH * 11 * WIDTH // 4)  # 231 MB of layers in single precision


class Peak:
    """The most memory of its own that this process held meanwhile, in MB: `RssAnon`, which no mapped file is part of."""

    def __enter__(self):
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what was freed and would be taken again without a sign
        self.begun = self.now()
        self.most, self.over = self.begun, threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.over.is_set():
            self.most = max(self.most, self.now())
            time.sleep(0.002)

    def now(self):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) * 1024 / 1e6

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.most -= self.begun


def configured(folder, strategy="auto", ranks=1, **module):
    """A stage that is ready to train, in its run folder."""
    torch.manual_seed(0)
    made = LanguageModule(RATES, **({"start": {}} | module))
    trainer = L.Trainer(
        accelerator="cpu", devices=ranks, strategy=strategy, max_steps=0, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(made, torch.utils.data.DataLoader([]))
    return made


def whole(module):
    """All weights of a stage's language model, which every process gathers."""
    state = module.model.language.state_dict()
    return {name: t.full_tensor() if hasattr(t, "full_tensor") else t for name, t in state.items()}


def unlike(found, wanted):
    """Names of the tensors that are not equal in every bit."""
    assert list(found) == list(wanted)
    same = (found[name].dtype == t.dtype and torch.equal(found[name], t) for name, t in wanted.items())
    return [name for name, is_same in zip(wanted, same, strict=True) if not is_same]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A published model of half precision, as safetensors in shards and as a pickle; and our own folder of it."""
    folder = tmp_path_factory.mktemp("large")
    sizes = {"hidden_size": WIDTH, "intermediate_size": 11 * WIDTH // 4, "num_hidden_layers": LAYERS}
    words = publish(folder / "first", **sizes)
    half = AutoModelForCausalLM.from_pretrained(folder / "first", dtype=torch.float16)
    for name in ("safetensors", "pickle"):
        half.save_pretrained(folder / name, max_shard_size="20MB")
        words.save_pretrained(folder / name)
    for path in (folder / "pickle").glob("model*"):
        path.unlink()
    torch.save(half.state_dict(), folder / "pickle" / "pytorch_model.bin")
    language, words = PretrainedLanguage(str(folder / "safetensors"), **SIZES).load()
    Illume(language=language, text_tokenizer=words).save_pretrained(str(folder / "model"))
    return folder


def starts(published, kind):
    if kind == "model":
        return {"start": {"all": str(published / "model")}}
    return {"language": LanguageConfig(path=str(published / kind), pickled=kind == "pickle", **SIZES)}


@pytest.mark.parametrize("kind", ["model", "safetensors", "pickle"])
def test_a_process_never_holds_the_whole(published, tmp_path, kind):
    alone = whole(configured(tmp_path / "alone", **starts(published, kind)))

    def run(rank):
        with Peak() as peak:
            made = configured(tmp_path, FSDP2Strategy(), 2, **starts(published, kind))
        return peak.most, unlike(whole(made), alone)

    for most, others in forked(run, 2):
        print(f"{kind}: {most:.0f} MB of {WHOLE:.0f}")
        assert others == []
        assert most < 0.8 * WHOLE, "its half, a layer, and the tens of MB that libraries take"


@pytest.fixture
def chain(tmp_path_factory):
    """A published model, a model folder without a language model, and stages that start from either."""
    folder = tmp_path_factory.mktemp("chain")
    publish(folder / "llm", tie_word_embeddings=True)
    made = make_tiny_illume()
    language, made.language = made.language, None
    words, made.text_tokenizer = made.text_tokenizer, None
    made.save_pretrained(str(folder / "tokenizer"))
    language.resize_codebook(32)  # as a stage of text alone leaves it
    Illume(language=language, text_tokenizer=words).save_pretrained(str(folder / "language"))
    seen = {name: str(folder / "tokenizer") for name in ("encoder", "tokenizer", "detokenizer")}
    first = {"start": seen, "language": LanguageConfig(path=str(folder / "llm"))}
    own = {name: str(folder / "language") for name in ("language", "text_tokenizer")}
    sliced = {"slicing": Slicing(max_slices=2, size=48)}
    return {"published": first | sliced, "folder": {"start": seen | own}}


def batches(sequencer):
    """Eight micro-batches that show and draw images."""
    images = torch.randint(
        0, 256, (2, 3, 48, 48), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    made = []
    for i in range(8):
        documents = [draw_document("a red circle", images[1]), describe_document(images[0], "red " * (1 + i))]
        made.append(collate([sequencer.segment(d) for d in documents], [[0], [1]], 192, 0))
    return made


@pytest.mark.parametrize("kind", ["published", "folder"])
def test_a_run_that_loads_by_shards_equals_one_process_and_resumes(chain, tmp_path, kind, monkeypatch):
    def stage():
        torch.manual_seed(0)
        settings = {"codebook_rows": True, "warmup_steps": 1} | chain[kind]
        return Summed(RATES | {"understanding_encoder": 1e-3}, **settings)

    micro = batches(configured(tmp_path / "first", **chain[kind], codebook_rows=True).sequencer)
    alone = forked(lambda _: fit(stage(), micro, tmp_path / "alone", 1, 0, 2), 1)[0]
    whole = Illume.from_pretrained(str(tmp_path / "alone" / "model"))
    folder = tmp_path / "sharded"
    recorded = forked(lambda rank: fit(stage(), micro, folder, 2, rank, 1, strategy=FSDP2Strategy()), 2)
    assert_same(recorded, folder, (alone, whole))

    if kind == "folder":  # which the resumed run does without
        for part in set(chain[kind]["start"].values()):
            shutil.rmtree(part)
        shutil.copytree(folder / "predecessors", tmp_path / "again" / "predecessors")

    def go_on(rank):
        monkeypatch.setattr(PretrainedLanguage, "load", None)
        shard = sharding.shard

        def look(language, *settings):
            assert all(p.is_meta for p in module.model.parameters()), "a checkpoint fills them"
            shard(language, *settings)

        monkeypatch.setattr(sharding, "shard", look)
        module = stage()
        saved = folder / "checkpoints" / "previous.ckpt"
        return fit(module, micro, tmp_path / "again", 2, rank, 1, strategy=FSDP2Strategy(), resume=saved)

    losses, norms, drawn = alone
    recorded = [(found, more, drawn) for found, more, _ in forked(go_on, 2)]
    assert_same(recorded, tmp_path / "again", ((losses[2:], norms[2:], drawn), whole))
