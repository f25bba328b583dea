"""A drawn image reaches the tokenizer in one way: the same codes in training, `tokenize` and evaluation.

The model sees at 112 pixels, sliced, what its tokenizer's encoder takes at 56: as stage 3 sees at 448 and codes at 224.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from common.images import open_image
from datamodules import tokenize
from datamodules.document_datamodule import DocumentDataModule, SourceConfig
from datamodules.precomputed import StaleCodes, member_name
from datamodules.templates import TEMPLATES, TemplateRequest
from evals.fidelity.benchmark import RfidBenchmark
from evals.settings import FidelitySettings
from models import image_input
from models.document import Draw, See, Text, edit_document
from models.generation import SamplingConfig
from models.image_input import ImageInput
from models.language.unified_lm import UnifiedLM
from models.sequence import PackedBatch, collate
from models.tokenizer.pretrained_encoder import PretrainedEncoder
from models.tokenizer.semantic import SemanticTokenizer
from models.unified import Illume
from models.user_input import load_image
from tests.datamodules.conversions import exit_code
from tests.datamodules.tars import write_samples
from tests.fixtures import TRUNK, FixedStage
from tests.models.test_image_input import VIT, make_words

SEEN, CODED, TOKENS = 112, 56, 16
SHAPES = [(200, 150), (130, 90), (90, 170), (113, 113), (57, 300)]


def noise(seed: int) -> bytes:
    """A picture that is no square and all high frequencies: each way of resizing it gives other pixels."""
    size = SHAPES[seed % len(SHAPES)]
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture
def model() -> Illume:
    torch.manual_seed(0)
    words = make_words()
    trunk = TRUNK | {"max_position_embeddings": 2048}
    language = UnifiedLM(trunk, len(words), 64, 32, TOKENS, TOKENS, slicing={"max_slices": 4, "size": SEEN})
    tokenizer = SemanticTokenizer(32, TOKENS, codes=64, code_width=8, decoder_layers=1, heads=2)
    encoder = PretrainedEncoder(VIT, image_size=CODED)
    eye = PretrainedEncoder(VIT, image_size=SEEN, reduce=2)
    made = Illume(encoder, tokenizer, None, language, words, eye).eval()
    tokenizer.train()(made.features(made.code_input.resize(torch.randint(0, 256, (64, 3, 90, 90)).byte())))
    tokenizer.eval()
    return made.requires_grad_(False)


def story(*parts: dict) -> bytes:
    return json.dumps({"parts": list(parts)}).encode()


@pytest.fixture
def data(tmp_path: Path, model: Illume) -> Path:
    """Pairs, edits, and documents of every shape that holds a drawing; the model beside them."""
    learned = {"text": "no", "learn": True}
    before, after = {"0.png": 0, "1.png": 1}, {"text": "make it red"}
    shapes = {
        "two_turns": story(
            {"see": "0.png"}, {"text": "good ?"}, learned, {"text": "again"}, {"draw": "1.png"}
        ),
        "interleaved": story(
            {"text": "a"}, {"draw": "0.png"}, {"text": "b"}, {"see": "0.png"}, {"draw": "1.png"}
        ),
        "branches": story({"see": "0.png"}, {"branches": [[after, {"draw": "1.png"}], [after, learned]]}),
    }
    data = tmp_path / "data"
    pairs = {f"{i:03d}": {"png": noise(i), "txt": b"what"} for i in range(12)}
    edit = story({"see": "0.png"}, after, {"draw": "1.png"})
    edits = {f"{i:03d}": {"json": edit, "0.png": noise(20 + i), "1.png": noise(40 + i)} for i in range(6)}
    others = {
        name: {"json": said} | {image: noise(60 + 2 * i + which) for image, which in before.items()}
        for i, (name, said) in enumerate(shapes.items())
    }
    for name, samples in {"pairs": pairs, "edits": edits, "others": others}.items():
        write_samples(data / name / "0.tar", samples)
    model.save_pretrained(str(tmp_path / "model"))
    return tmp_path


TEMPLATE_OF = {
    "draw": "pairs",
    "reconstruct": "pairs",
    "edit": "edits",
    "document": "others",
    "describe": "pairs",
}


def batches(root: Path, model: Illume, workers: int = 0, size: int = SEEN) -> Iterator[PackedBatch]:
    sources = {
        template: {"shards": str(root / name), "template": template, "weight": 1.0}
        for template, name in TEMPLATE_OF.items()
    }
    module = DocumentDataModule(
        {name: SourceConfig(**config) for name, config in sources.items()},
        2,
        512,
        size,
        batches_per_epoch=6,
        workers=workers,
        drop=0.3,
        look_ahead=8,
        readers=1,
    )
    module.trainer = SimpleNamespace(lightning_module=FixedStage(model, stamps_of(model)))
    module.setup()
    return iter(module.train_dataloader())


def stamps_of(model: Illume) -> dict[str, str]:
    return {"codes": model.fingerprint("encoder", "tokenizer")}


def at_evaluation(model: Illume, content: bytes) -> list[int]:
    """As rFID and the editing suites encode a file."""
    return model.encode(model.code_input(open_image(content))[None])[0].tolist()


def drawn_files() -> dict[str, list[bytes]]:
    return {
        "pairs": [noise(i) for i in range(12)],
        "edits": [noise(seed + i) for seed in (20, 40) for i in range(6)],
        "others": [noise(60 + i) for i in range(6)],
    }


@pytest.mark.parametrize("workers", [0, 1])
def test_codes_of_training_are_those_of_evaluation(model: Illume, data: Path, workers: int):
    wanted = {tuple(at_evaluation(model, one)) for files in drawn_files().values() for one in files}
    found = set()
    for batch in batches(data / "data", model, workers):
        moved = batch.to("cpu")
        features, codes = model.encode_images(moved)
        assert len(features) == len(batch.see_images) and batch.images.shape[-2:] == (SEEN, SEEN)
        found |= set(map(tuple, codes.tolist()))
    assert len(found) > 15 and found <= wanted


def test_resizing_twice_would_give_other_codes(model: Illume):
    """Else the tests above would show nothing."""
    twice = [ImageInput(SEEN)(open_image(noise(i))) for i in range(5)]
    through = model.encode(torch.stack(twice)).tolist()
    assert all(codes != at_evaluation(model, noise(i)) for i, codes in enumerate(through))


def test_precomputed_codes_are_those_of_training(model: Illume, data: Path):
    for name in ("pairs", "edits", "others"):
        options = ["--model", str(data / "model"), "--out", str(data / "codes" / name)]
        assert tokenize.main([str(data / "data" / name), *options]) == 0
    ending = f"{member_name('png', 'codes')}.{stamps_of(model)['codes']}.npy"
    (first,) = (data / "codes" / "pairs").glob("*.tar")
    from datamodules.shard import Shard

    assert np.load(io.BytesIO(Shard(str(first)).read(3)[ending])).tolist() == at_evaluation(model, noise(3))
    for plain, ahead in zip(batches(data / "data", model), batches(data / "codes", model), strict=True):
        (features, codes), (features_too, codes_too) = model.encode_images(plain), model.encode_images(ahead)
        assert torch.equal(codes, codes_too) and torch.equal(features, features_too)
        one, other = (model.language.with_codes(b, c) for b, c in ((plain, codes), (ahead, codes_too)))
        assert torch.equal(one, other) and not len(ahead.code_images)


def test_codes_in_chat_and_of_a_prompt_are_those_of_evaluation(model: Illume):
    """A drawing that is encoded again, of whatever size it was drawn in."""
    drawing = open_image(noise(0))
    pixels = torch.from_numpy(np.array(drawing)).permute(2, 0, 1)
    segment = model.segment([Text("what"), Draw(pixels), Text("what"), Draw(ImageInput(CODED)(drawing))])
    first = model.language.vocabulary.first_code
    drawn = [i - first for i, kind in zip(segment.ids, segment.kinds, strict=True) if kind == 2]
    assert drawn == at_evaluation(model, noise(0)) * 2


def test_reconstructions_of_rfid_are_made_of_the_same_codes(model: Illume, tmp_path: Path, monkeypatch):
    for i in range(2):
        (tmp_path / f"{i}.png").write_bytes(noise(i))
    codes: list[Tensor] = []
    monkeypatch.setattr(Illume, "decode", lambda self, made, seeds: codes.append(made))
    benchmark = RfidBenchmark(FidelitySettings(real=tmp_path), tmp_path / "out")
    benchmark.draw(model, benchmark.wanted, SamplingConfig())
    assert codes[0].tolist() == [at_evaluation(model, noise(i)) for i in range(2)]


def test_an_image_to_edit_is_seen_as_in_training(model: Illume, tmp_path: Path):
    """`generate.py edit`, and whoever gives the whole picture: the square of the file, bit for bit."""
    (tmp_path / "a.png").write_bytes(noise(1))
    trained = ImageInput(SEEN)(open_image(noise(1)))
    for given in (
        model.prepare_images([tmp_path / "a.png"])[0],
        model.image_input.square(load_image(tmp_path / "a.png")),
    ):
        segment = model.segment(edit_document(given, "make it red"))
        assert torch.equal(segment.see_images[0], trained)


def test_images_of_equal_sizes_are_shared(model: Illume):
    """Seen and drawn, it is encoded once."""
    sample = {"png": noise(0), "txt": b"what"}
    for draw_size, number in ((SEEN, 1), (CODED, 2)):
        document = TEMPLATES["reconstruct"](TemplateRequest(sample, SEEN, draw_size=draw_size))
        batch = collate([model.sequencer.segment(document)], [[0]], 128, 0)
        assert len(batch.images) == 1 and len(batch.code_images) == number - 1
        assert batch.see_images.tolist() == batch.draw_images.tolist() == [0]


def test_batches_of_two_sizes_pass_workers_and_devices(model: Illume):
    image = torch.zeros(3, SEEN, SEEN, dtype=torch.uint8)
    small = torch.ones(3, CODED, CODED, dtype=torch.uint8)
    segments = [model.sequencer.segment([See(image), Text("what"), Draw(small)])] * 2
    batch = collate(segments, [[0], [1]], 128, 0)
    (again,) = DataLoader([batch], batch_size=None, num_workers=1)
    moved = again.to("meta")
    assert moved.code_images.shape == (1, 3, CODED, CODED) and moved.images.device.type == "meta"
    assert torch.equal(again.code_images[0], small) and batch.draw_images.tolist() == [0, 0]


def test_codes_of_another_version_are_refused(model: Illume, data: Path, monkeypatch, capsys):
    """An older way of bringing images to the encoder is another stamp, and one line says what to do."""
    options = [str(data / "data/pairs"), "--model", str(data / "model"), "--out", str(data / "codes/pairs")]
    with monkeypatch.context() as older:
        older.setattr(image_input, "VERSION", image_input.VERSION - 1)
        old = stamps_of(model)
        assert tokenize.main(options) == 0
    assert stamps_of(model) != old
    monkeypatch.setitem(TEMPLATE_OF, "edit", "pairs")
    monkeypatch.setitem(TEMPLATE_OF, "document", "pairs")
    with pytest.raises(StaleCodes, match="older version .* `python -m datamodules.tokenize`") as stopped:
        list(batches(data / "codes", model))
    assert "\n" not in str(stopped.value)
    assert exit_code(tokenize.main, *options) == 2
    assert "older version" in capsys.readouterr().err


def test_tokenizers_of_two_sizes_are_not_compared_on_one_batch(model: Illume, data: Path):
    other = Illume(PretrainedEncoder(VIT, image_size=28), SemanticTokenizer(32, 4, codes=64, heads=2))
    sources = {"draw": SourceConfig(str(data / "data/pairs"), "draw", 1.0)}
    module = DocumentDataModule(sources, 2, 512, SEEN)
    stage = SimpleNamespace(sequencer=model.sequencer, model=Illume(), models=[model, other])
    module.trainer = SimpleNamespace(lightning_module=stage)
    module.setup()
    with pytest.raises(ValueError, match="branches: the tokenizers take images of 28 and 56 pixels"):
        module.train_dataloader()


def test_no_encoder_resizes_by_itself(model: Illume):
    with pytest.raises(ValueError, match="images are .112, 112., the encoder takes 56 x 56"):
        model.encoder(torch.zeros(1, 3, SEEN, SEEN, dtype=torch.uint8))
