"""The pixel tokenizer is the semantic one's equal and twin: same interface, same size; only what it reads differs."""

import copy
import json

import pytest
import torch
from torch import nn

from models.detokenizer.diffusion import to_pixels
from models.detokenizer.pixel import PixelDecoder
from models.document import draw_document, edit_document
from models.sequence import collate
from models.tokenizer.encoder import VisionEncoder
from models.tokenizer.pixel import PixelTokenizer
from models.tokenizer.semantic import SemanticTokenizer
from models.unified import Illume


def pixel_tokenizer() -> PixelTokenizer:
    return PixelTokenizer(width=32, layers=1, heads=2, codes=64, code_width=8, decoder_layers=1)


def parameters(*parts: nn.Module) -> int:
    return sum(p.numel() for part in parts for p in part.parameters())


def test_parameter_count_equals_the_semantic_tokenizers():
    pixel, semantic = PixelTokenizer(), SemanticTokenizer()
    assert parameters(pixel) == parameters(VisionEncoder(), semantic)
    assert (pixel.codes, pixel.tokens) == (semantic.codes, semantic.tokens)
    assert pixel.body.quantizer.codebook.shape == semantic.quantizer.codebook.shape


def test_gradients_pass_straight_through_the_codes_to_the_encoder():
    torch.manual_seed(0)
    tokenizer, decoder = pixel_tokenizer(), PixelDecoder(32, 6)
    images = torch.randint(0, 256, (2, 3, 48, 48), dtype=torch.uint8)
    decoder.loss(tokenizer(images).vectors, to_pixels(images)).backward()
    assert all(p.grad is not None and p.grad.any() for p in tokenizer.encoder.stem[0].parameters())


def test_it_learns_pixels():
    torch.manual_seed(0)
    tokenizer, decoder = pixel_tokenizer(), PixelDecoder(32, 6)
    colours = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], dtype=torch.uint8)
    images = colours[:, :, None, None].repeat(1, 1, 48, 48)
    optimizer = torch.optim.Adam([*tokenizer.parameters(), *decoder.parameters()], lr=5e-3)
    losses = []
    for _ in range(30):
        vectors, _, quantizer_loss = tokenizer(images)
        pixel = decoder.loss(vectors, to_pixels(images))
        optimizer.zero_grad()
        (pixel + quantizer_loss).backward()
        optimizer.step()
        losses.append(pixel.item())
    assert losses[-1] < 0.6 * losses[0]


def test_it_is_saved_and_loaded(pixel_illume, images, tmp_path):
    for _ in range(3):  # else all that is seen may lie nearest_codes to one random code
        pixel_illume.tokenizer.train()(images)
    pixel_illume.tokenizer.eval()
    pixel_illume.save_pretrained(str(tmp_path))
    again = Illume.from_pretrained(str(tmp_path))
    assert (type(again.tokenizer), type(again.detokenizer)) == (PixelTokenizer, PixelDecoder)
    codes = pixel_illume.encode(images)
    assert len(codes.unique()) > 1 and torch.equal(again.encode(images), codes)
    assert torch.equal(again.decode(codes, [0] * 5), pixel_illume.decode(codes, [1] * 5))


def test_a_class_that_is_not_known_is_refused(pixel_illume, tmp_path):
    pixel_illume.save_pretrained(str(tmp_path))
    written = (tmp_path / "illume.json").read_text()
    assert json.loads(written)["components"]["tokenizer"] == "PixelTokenizer"
    (tmp_path / "illume.json").write_text(written.replace("PixelTokenizer", "os.system"))
    with pytest.raises(ValueError, match="os.system', which is not known here"):
        Illume.from_pretrained(str(tmp_path))


@pytest.mark.parametrize("kind", ["semantic", "pixel"])
@pytest.mark.parametrize("tuned", [False, True])
def test_each_tokenizer_gets_its_input(request, images, kind, tuned):
    model = request.getfixturevalue("illume" if kind == "semantic" else "pixel_illume")
    read = images if kind == "pixel" else model.features(images)
    model.tokenizer.train()(read)  # the codebook begins at what it reads: images get codes of their own
    model.eval()
    if tuned:
        model.understanding_encoder = copy.deepcopy(model.encoder)
    documents = [draw_document("a red circle", images[3]), edit_document(images[0], "blue", images[2])]
    segments = [model.sequencer.segment(d) for d in documents]
    _, codes = model.encode_images(collate(segments, [[0], [1]], max(map(len, segments)), 0))
    wanted = model.tokenizer.encode(read)
    assert torch.equal(codes, wanted[[3, 2]]) and not torch.equal(codes[0], codes[1])
    assert torch.equal(model.encode(images), wanted)
