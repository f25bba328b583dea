"""One way from a picture to what a model sees: generate.py, lmms-eval, the editing suites and training."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from common.images import encode_image
from datamodules.decode import decode_image
from evals.drawn_folder import ImageRequest
from evals.editing.benchmark import EmuEditBenchmark
from evals.editing.edits import Edit
from evals.lmms.answering import Answerer
from evals.lmms.requests import Request, StopCriteria
from models.document import Draw, See, Text
from models.generation import SamplingConfig
from models.image_input import ImageInput
from models.language.unified_lm import UnifiedLM
from models.tokenizer.pretrained_encoder import PretrainedEncoder
from models.unified import Illume
from tests.fixtures import TRUNK

PAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (179, 134, 3), dtype=np.uint8))
VIT = {"model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
VIT |= {"num_attention_heads": 2, "patch_size": 14, "image_size": 28}


def make_words() -> PreTrainedTokenizerFast:
    """A text tokenizer that keeps line breaks, which end rows of slices."""
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters = pre_tokenizers.ByteLevel.alphabet()
    pieces.train_from_iterator(["what"], trainers.BpeTrainer(vocab_size=270, initial_alphabet=letters))
    return PreTrainedTokenizerFast(tokenizer_object=pieces)


def make_seer(slicing: dict | None) -> Illume:
    """Sees at 56 pixels what its tokenizer's encoder takes at 28, as stage 3 sees at 448 and codes at 224."""
    words = make_words()
    trunk = TRUNK | {"max_position_embeddings": 2048}
    language = UnifiedLM(trunk, len(words), 64, 32, 4, 4, slicing=slicing)
    eye = PretrainedEncoder(VIT, image_size=56, reduce=2)
    return Illume(PretrainedEncoder(VIT, image_size=28), None, None, language, words, eye).eval()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The pictures that a model's encoder of seen images is given."""
    given: list[Tensor] = []
    see = Illume.see
    monkeypatch.setattr(Illume, "see", lambda self, images: (given.extend(images), see(self, images))[1])
    return given


def asked(model: Illume, picture: Image.Image, fit: str) -> None:
    content = [{"type": "image", "url": picture}, {"type": "text", "text": "what colour ?"}]
    request = Request("docvqa", "q", lambda: [{"role": "user", "content": content}], StopCriteria(1, ()))
    list(Answerer(model, 1, fit).answers([request]))


@pytest.mark.parametrize("slicing", [None, {"max_slices": 9, "size": 56}])
def test_every_caller_prepares_images_alike(slicing: dict | None, shown: list[Tensor], tmp_path: Path):
    """As training decodes them: the slices of the whole page, or the square at the understanding encoder's size."""
    model = make_seer(slicing)
    longest = None if slicing is None else 9 * 56
    decoded = decode_image(encode_image(PAGE), 56, longest)
    segment = model.sequencer.segment([See(decoded), Text("what colour ?")], ask=True)
    trained = segment.see_images
    assert len(trained) == (1 if slicing is None else 7) and trained[0].shape == (3, 56, 56)
    PAGE.save(tmp_path / "page.png")
    model.ask_batch([model.prepare_images([tmp_path / "page.png"])[0]], ["what colour ?"])
    asked(model, PAGE, "crop")
    assert torch.equal(torch.stack(shown), torch.stack([*trained, *trained]))


def test_edited_images_have_the_understanding_encoders_size():
    """Not at the tokenizer's and then enlarged; whole, as the benchmark's measures look at all of it."""
    model = make_seer({"max_slices": 9, "size": 56})
    model.edit_batch = lambda images, instructions, seeds, sampling: images
    edit = Edit("a.png", "x", lambda: encode_image(PAGE))
    benchmark = EmuEditBenchmark.__new__(EmuEditBenchmark)  # of no test set
    (given,) = benchmark.draw(model, [ImageRequest("a.png", 0, edit)], SamplingConfig())
    wanted = np.asarray(PAGE.resize((56, 56), Image.Resampling.BICUBIC))
    assert np.array_equal(given.permute(1, 2, 0).numpy(), wanted)
    segment = model.segment([See(given), Text("x"), Draw(None)])
    assert torch.equal(segment.see_images[0], given)


def test_images_of_several_sizes_are_seen_together(shown: list[Tensor]):
    """A conversation about a drawing of 128 pixels beside a photo of 56 was torch.stack's error."""
    model = make_seer(None)
    drawn, photo = torch.randint(0, 256, (2, 3, 128, 128), dtype=torch.uint8)
    model.describe_batch([drawn, photo[:, :56, :56]])
    square = Image.fromarray(drawn.permute(1, 2, 0).numpy()).resize((56, 56), Image.Resampling.BICUBIC)
    assert np.array_equal(shown[0].permute(1, 2, 0).numpy(), np.asarray(square))
    assert torch.equal(shown[1], photo[:, :56, :56])


def test_each_fit_is_a_square_and_slices_are_whole():
    for fit in ("crop", "pad", "stretch"):
        assert ImageInput(48)(PAGE, fit).shape == (3, 48, 48)
        assert ImageInput(48, longest=500)(PAGE, fit).shape == (3, 179, 134)
        assert ImageInput(48, longest=100)(PAGE, fit).shape == (3, 100, 75)
