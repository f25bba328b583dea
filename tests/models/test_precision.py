"""Codes and frozen features are the same in every precision that training, evaluation and a user may choose."""

import copy
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.precision import HalfPrecision, MixedPrecision
from torch.utils.data import DataLoader

from datamodules.image_datamodule import ImageBatch
from datamodules.tokenize import encode_images
from lightning_modules.detokenizer import DetokenizerModule
from lightning_modules.tokenizer import TokenizerModule
from models.document import describe_document, draw_document
from models.precision import frozen_features
from models.sequence import collate
from models.tokenizer.pixel import PixelTokenizer
from models.tokenizer.pretrained_encoder import PretrainedEncoder
from models.tokenizer.semantic import SemanticTokenizer
from models.unified import Illume
from tests.fixtures import make_tiny_illume
from tests.perturb import perturb
from worlds.playground.render import render
from worlds.playground.sampler import sample_scene

SHIPPED = "pretrained/playground"
VIT = {
    "model_type": "dinov2",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 7,
    "mlp_ratio": 2,
}


@contextmanager
def matmul_precision(name):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def of_plugin(plugin):
    """As Lightning runs a step under a precision: the module is cast, and the step in a context."""
    return lambda model: (plugin.convert_module(model), plugin.forward_context())


SURROUNDINGS = {
    "bf16-mixed": of_plugin(MixedPrecision("bf16-mixed", "cpu")),
    "16-mixed": of_plugin(MixedPrecision("16-mixed", "cpu")),
    "bf16-true": of_plugin(HalfPrecision("bf16-true")),
    "16-true": of_plugin(HalfPrecision("16-true")),
    "half": lambda model: (model.half(), nullcontext()),
    "matmul medium": lambda model: (model, matmul_precision("medium")),
}


@pytest.fixture(scope="module")
def scenes():
    rng = np.random.default_rng(0)
    kinds = ("counting", "color_attr", "position", "two_object")
    drawn = [np.array(render(sample_scene(rng, kinds[i % 4]))) for i in range(24)]
    return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).contiguous()


def semantic():
    return Illume.from_pretrained(SHIPPED, only=("encoder", "tokenizer"))


def pixel():
    torch.manual_seed(0)
    tokenizer = PixelTokenizer(48, 32, 1, 2, 256, 8, 1)
    return Illume(encoder=semantic().encoder, tokenizer=perturb(tokenizer)).eval()


def published(dtype="float32"):
    torch.manual_seed(0)
    encoder = perturb(PretrainedEncoder(VIT, image_size=28, compute_dtype=dtype))
    tokenizer = perturb(SemanticTokenizer(32, 16, 256, 8, 1, 2))
    return Illume(encoder=encoder, tokenizer=tokenizer).eval()


MODELS = {
    "semantic": semantic,
    "pixel": pixel,
    "published": published,
    "bfloat16": lambda: published("bfloat16"),
}


@pytest.mark.parametrize("surrounding", SURROUNDINGS)
@pytest.mark.parametrize("kind", MODELS)
def test_codes_and_frozen_features_are_the_same_in_every_precision(kind, surrounding, scenes):
    model = MODELS[kind]()
    codes, features, decoded = model.encode(scenes), model.features(scenes), model.tokenizer.decode
    rebuilt = decoded(codes)
    cast, context = SURROUNDINGS[surrounding](copy.deepcopy(model))
    with context:
        assert torch.equal(cast.encode(scenes), codes)
        assert torch.equal(cast.features(scenes), features)
        assert torch.equal(cast.tokenizer.decode(codes), rebuilt)
        assert torch.equal(
            torch.stack(encode_images(cast, "codes", list(scenes), 24)), codes
        )  # of datamodules.tokenize
    assert {p.dtype for p in cast.parameters()} == {torch.float32}
    assert features.dtype == rebuilt.dtype == torch.float32


def test_surrounding_precision_changes_other_products(scenes):
    """Else the test above would show nothing: the same networks called as they stand do differ."""
    model = semantic()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert not torch.equal(model.encoder(scenes).float(), model.features(scenes))
    with matmul_precision("medium"):
        inside, outside = torch.backends.mkldnn.matmul.fp32_precision, torch.get_float32_matmul_precision()
        model.encode(scenes[:1])
        assert torch.backends.mkldnn.matmul.fp32_precision == inside  # as it was before
        assert torch.get_float32_matmul_precision() == outside


def test_compute_dtype_is_kept_in_the_folder(tmp_path, scenes):
    model = published("bfloat16")
    plain = published()
    assert not torch.equal(model.features(scenes), plain.features(scenes))
    model.save_pretrained(str(tmp_path))
    again = Illume.from_pretrained(str(tmp_path))
    assert again.encoder.compute_dtype == "bfloat16"
    assert torch.equal(again.features(scenes), model.features(scenes))
    with pytest.raises(ValueError, match="compute_dtype 'int8' is not known: there is bfloat16, float32"):
        PretrainedEncoder(VIT, image_size=28, compute_dtype="int8")


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
def test_training_counts_the_codes_of_inference(precision, scenes):
    model = semantic()
    module = TokenizerModule("nowhere")
    module.model, module.is_configured = Illume(model.encoder.requires_grad_(False), model.tokenizer), True
    trainer = Trainer(
        accelerator="cpu", precision=precision, logger=False, enable_progress_bar=False, barebones=False,
        enable_checkpointing=False, enable_model_summary=False,
    )  # fmt: skip
    loader = DataLoader([ImageBatch(scenes, torch.empty(len(scenes), 0))], batch_size=None)
    trainer.validate(module, loader, verbose=False)
    expected = torch.bincount(semantic().encode(scenes).flatten(), minlength=module.model.tokenizer.codes)
    assert torch.equal(module.counts, expected)


@pytest.mark.parametrize("surrounding", ["bf16-mixed", "16-mixed"])
def test_training_computes_distances_in_single_precision(surrounding, scenes):
    features = semantic().features(scenes)
    printed = []
    for around in (nullcontext(), SURROUNDINGS[surrounding](torch.nn.Identity())[1]):
        tokenizer = semantic().tokenizer.train()
        with around:
            loss = tokenizer(features)
        printed.append((loss.codes, tokenizer.quantizer.table.clone()))
        loss.total.float().backward()
    assert torch.equal(printed[0][0], printed[1][0]) and torch.equal(printed[0][1], printed[1][1])


@pytest.mark.parametrize("surrounding", ["bf16-mixed", "16-mixed", "bf16-true"])
def test_detokenizer_training_uses_the_features_of_inference(surrounding, scenes):
    module = DetokenizerModule("nowhere")
    model = semantic()
    module.model = Illume(model.encoder, model.tokenizer)
    expected = module.features(scenes)
    module, context = SURROUNDINGS[surrounding](module)
    with context:
        assert torch.equal(module.features(scenes), expected)


@pytest.mark.parametrize("surrounding", ["bf16-mixed", "16-mixed", "bf16-true"])
def test_training_targets_are_the_codes_of_inference(surrounding, scenes):
    model = make_tiny_illume().requires_grad_(False)
    documents = [describe_document(scenes[0], "red"), draw_document("a red circle", scenes[1])]
    segments = [model.sequencer.segment(document) for document in documents]
    batch = collate(segments, [[0], [1]], 128, 0)
    features, codes = model.encode_images(batch)
    cast, context = SURROUNDINGS[surrounding](copy.deepcopy(model))
    with context:
        seen, aimed = cast.encode_images(batch)
    assert torch.equal(seen, features) and torch.equal(aimed, codes)
    assert torch.equal(features[0], frozen_features(model.encoder, scenes[:1])[0])
    assert torch.equal(codes[0], model.encode(scenes[1:2])[0])
