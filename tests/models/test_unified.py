"""Saving and loading gives the same model; folders that do not fit are refused; a seed fixes a drawing."""

import copy
import errno
import json

import pytest
import torch
from safetensors import SafetensorError

from models import weights
from models.document import Draw, Text
from models.generation import SamplingConfig
from models.image_input import ImageInput
from models.folder_hash import folder_hash
from models.unified import Illume
from models.weights import materialize
from tests.models.test_slices import packed


def test_save_and_load_give_the_same_drawings(illume, images, tmp_path):
    illume.save_pretrained(str(tmp_path / "model"))
    again = Illume.from_pretrained(str(tmp_path / "model"))
    assert torch.equal(illume.draw_batch(["a red circle"], [3]), again.draw_batch(["a red circle"], [3]))
    assert illume.ask_batch(images[:2], ["describe"] * 2) == again.ask_batch(images[:2], ["describe"] * 2)
    assert torch.equal(illume.encode(images), again.encode(images))
    again.save_pretrained(str(tmp_path / "twice"))
    assert folder_hash(tmp_path / "model") == folder_hash(tmp_path / "twice")


def test_another_codebook_is_refused(illume, tmp_path):
    illume.save_pretrained(str(tmp_path))
    config = json.loads((tmp_path / "tokenizer/config.json").read_text())
    (tmp_path / "tokenizer/config.json").write_text(json.dumps(config | {"codes": 32}))
    with pytest.raises(ValueError, match="tokenizer has misshapen 2 tensors: quantizer.table"):
        Illume.from_pretrained(str(tmp_path))
    with pytest.raises(ValueError, match="writes 64 codes, the tokenizer has 32"):
        tokenizer = type(illume.tokenizer)(
            feature_width=32, codes=32, code_width=8, decoder_layers=1, heads=2
        )
        Illume(illume.encoder, tokenizer, illume.detokenizer, illume.language, illume.text_tokenizer)


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a model folder"):
        Illume.from_pretrained(str(tmp_path))


@pytest.mark.parametrize("size", [0, 7, 300, 5000])
def test_weights_that_were_cut_short_are_refused(illume, tmp_path, size):
    illume.save_pretrained(str(tmp_path))
    weights = tmp_path / "language/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    with pytest.raises(
        ValueError,
        match=r"language/model.safetensors is no safetensors file, or is .*cut short: get it again",
    ):
        Illume.from_pretrained(str(tmp_path))


def test_a_config_with_an_unknown_key_is_refused(illume, tmp_path):
    illume.save_pretrained(str(tmp_path))
    config = tmp_path / "encoder/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"widht": 3}))
    with pytest.raises(ValueError, match="encoder/config.json has no setting 'widht': did you mean width"):
        Illume.from_pretrained(str(tmp_path))
    config.write_text("{")
    with pytest.raises(ValueError, match="encoder/config.json, line 1: not valid JSON"):
        Illume.from_pretrained(str(tmp_path))


def test_a_full_disk_is_told_as_one(illume, tmp_path, monkeypatch):
    def full(tensors, path, metadata):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(weights, "save_file", full)
    with pytest.raises(OSError) as error:
        illume.save_pretrained(str(tmp_path))
    assert error.value.errno == errno.ENOSPC and str(tmp_path) in error.value.filename


@pytest.mark.parametrize("cfg", [-1.0, 1000.0])
def test_guidance_out_of_range_is_refused(illume, cfg):
    with pytest.raises(ValueError, match="out of range"):
        illume.draw_batch(["red"], [0], SamplingConfig(cfg=cfg))


def test_images_of_another_size_are_refused(illume):
    """By the encoder, and in a batch; `encode` crops them as training crops a file."""
    large = torch.randint(0, 256, (3, 60, 80), dtype=torch.uint8)
    with pytest.raises(ValueError, match="the encoder takes 48 x 48"):
        illume.encoder(large[None])
    batch = packed([illume.sequencer.segment([Text("draw"), Draw(large)])])
    with pytest.raises(ValueError, match="the encoder takes 48 x 48"):
        illume.encode_images(batch)
    assert torch.equal(illume.encode(large[None]), illume.encode(ImageInput(48).resize(large)[None]))


def test_a_tuned_encoder_sees_and_the_frozen_one_draws(illume, images):
    from models.document import reconstruct_document
    from models.sequence import collate

    segment = illume.sequencer.segment(reconstruct_document(images[0]))
    batch = collate([segment], [[0]], len(segment), 0)
    features, codes = illume.encode_images(batch)
    illume.understanding_encoder = copy.deepcopy(illume.encoder)
    with torch.no_grad():
        illume.understanding_encoder.positions.add_(torch.randn_like(illume.encoder.positions))
    tuned, same_codes = illume.encode_images(batch)
    assert torch.equal(codes, same_codes) and not torch.allclose(features, tuned)
    assert tuned.requires_grad and torch.equal(illume.encode(images[:1]), codes)


def test_what_a_checkpoint_fills_has_all_that_no_checkpoint_holds(illume):
    empty = copy.deepcopy(illume).to("meta")
    materialize(empty, torch.device("cpu"))
    empty.load_state_dict(illume.state_dict())
    found, wanted = dict(empty.named_buffers()), dict(illume.named_buffers())
    assert "language.trunk.rotary_emb.inv_freq" in found.keys() - illume.state_dict().keys()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], buffer) for name, buffer in wanted.items())
