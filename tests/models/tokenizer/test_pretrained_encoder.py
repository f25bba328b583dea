"""Published vision encoders, tiny and of the real classes, saved to disk by the test and loaded by name alone."""

import copy

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    CLIPConfig,
    CLIPModel,
    CLIPVisionModel,
    Dinov2Model,
    RadioModel,
    SiglipVisionModel,
)

from lightning_modules.language_start import enable_gradient_checkpointing
from models.tokenizer.pretrained_encoder import PretrainedEncoder, read_encoder
from models.unified import Illume
from tests.perturb import perturb

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 7,
}
SMALL_TRUNK = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
MLP = {"intermediate_size": 64}
KINDS = {
    "clip_vision_model": (CLIPVisionModel, SIZES | MLP),
    "siglip_vision_model": (SiglipVisionModel, SIZES | MLP),
    "dinov2": (Dinov2Model, SIZES | {"mlp_ratio": 2}),
    "radio": (RadioModel, SIZES | {"max_img_size": 56, "mlp_ratio": 2.0}),
}


def publish(folder, kind):
    torch.manual_seed(0)
    model = KINDS[kind][0](AutoConfig.for_model(kind, **KINDS[kind][1])).eval()
    with (
        torch.no_grad()
    ):  # positions of some families begin at zero, and would not show what is done with them
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    perturb(model).save_pretrained(folder)
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_features_equal_the_published_models(kind, tmp_path, pictures):
    theirs = publish(tmp_path / "published", kind)
    ours = read_encoder(str(tmp_path / "published"), image_size=28, norm=False).eval()
    assert (ours.tokens, ours.grid, ours.width) == (16, 4, 32)
    mean, std = (torch.tensor(x)[:, None, None] for x in (ours.mean, ours.std))
    with torch.no_grad():
        wanted = theirs((pictures / 255 - mean) / std).last_hidden_state[:, -16:]
        features = ours(pictures)
    assert torch.allclose(features, wanted, atol=1e-5)
    Illume(encoder=ours).save_pretrained(str(tmp_path / "model"))
    again = Illume.from_pretrained(str(tmp_path / "model")).encoder
    assert torch.equal(again(pictures), ours(pictures))


@pytest.mark.parametrize("kind", KINDS)
def test_dropped_layers_give_earlier_hidden_states(kind, tmp_path, pictures):
    """The norm behind the last layer is that layer's own, and goes with it."""
    theirs = publish(tmp_path / "published", kind)
    ours = read_encoder(str(tmp_path / "published"), image_size=28, norm=False, drop_layers=1).eval()
    mean, std = (torch.tensor(x)[:, None, None] for x in (ours.mean, ours.std))
    with torch.no_grad():
        states = theirs((pictures / 255 - mean) / std, output_hidden_states=True).hidden_states
        assert torch.allclose(ours(pictures), states[-2][:, -16:], atol=1e-5)
    Illume(encoder=ours).save_pretrained(str(tmp_path / "model"))
    again = Illume.from_pretrained(str(tmp_path / "model")).encoder
    assert torch.equal(again(pictures), ours(pictures))


@pytest.mark.parametrize("kind", KINDS)
def test_larger_images_are_reduced_to_as_many_features(kind, tmp_path, pictures):
    publish(tmp_path, kind)
    encoder = read_encoder(str(tmp_path), image_size=28).eval()
    larger = torch.nn.functional.interpolate(pictures.float(), size=(56, 56)).byte()
    small = encoder(pictures)
    with pytest.raises(ValueError, match="images are .56, 56., the encoder takes 28 x 28"):
        encoder(larger)
    encoder.set_input(56, reduce=2)
    assert encoder.tokens == 16
    features = encoder(larger)
    assert features.shape == (2, 16, 32) and not torch.allclose(features, small, atol=1e-3)
    assert torch.allclose(features.mean(-1), torch.zeros(2, 16), atol=1e-5)
    assert encoder.config["image_size"] == 56 and encoder.config["reduce"] == 2


def test_reducing_averages_squares(tmp_path, pictures):
    publish(tmp_path, "dinov2")
    fine = read_encoder(str(tmp_path), image_size=28, norm=False).eval()(pictures)
    coarse = read_encoder(str(tmp_path), image_size=28, norm=False, reduce=2).eval()(pictures)
    squares = fine.view(2, 2, 2, 2, 2, 32).mean((2, 4)).flatten(1, 2)  # (B, rows, in, columns, in, D)
    assert torch.allclose(coarse, squares, atol=1e-6)


def test_the_vision_half_of_a_whole_clip(tmp_path, pictures):
    torch.manual_seed(0)
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(vision_config=KINDS["clip_vision_model"][1], text_config=text, projection_dim=16)
    whole = perturb(CLIPModel(config).eval())
    whole.save_pretrained(tmp_path)
    ours = read_encoder(str(tmp_path), image_size=28, norm=False, drop_layers=1).eval()
    mean, std = (torch.tensor(x)[:, None, None] for x in (ours.mean, ours.std))
    with torch.no_grad():
        states = whole.vision_model((pictures / 255 - mean) / std, output_hidden_states=True).hidden_states
        assert torch.allclose(ours(pictures), states[-2][:, 1:], atol=1e-5)


def test_bad_settings_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # no tries of a hub that is far
    publish(tmp_path, "dinov2")
    with pytest.raises(ValueError, match="image_size 30 is not a multiple of patch 7"):
        read_encoder(str(tmp_path), image_size=30)
    with pytest.raises(ValueError, match="the encoder has no setting 'resize': did you mean"):
        read_encoder(str(tmp_path), resize=28)
    with pytest.raises(FileNotFoundError, match="is no folder here"):
        read_encoder("nobody/nothing")
    with pytest.raises(ValueError, match="'resnet' is not known here"):
        PretrainedEncoder({"model_type": "resnet"})


def test_published_sizes_on_the_meta_device():
    """OpenCLIP ViT-H/14, whose published count holds the projection that only a text tower needs."""
    big = {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16, "intermediate_size": 5120}
    with torch.device("meta"):
        clip = CLIPVisionModel(
            AutoConfig.for_model("clip_vision_model", **big, patch_size=14, hidden_act="gelu")
        )
        count = sum(p.numel() for p in clip.parameters())
        assert count + 1280 * 1024 == 632_076_800
        ours = PretrainedEncoder({"model_type": "clip_vision_model", **big, "patch_size": 14}, 224)
    assert ours.tokens == 256 and sum(p.numel() for p in ours.parameters()) == count - 2 * 1280


def kept_and_gradients(encoder, pictures):
    """Bytes that autograd keeps beside the weights, and what the weights get of it."""
    weights = {p.untyped_storage().data_ptr() for p in encoder.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # held, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = encoder(pictures).square().sum()
    loss.backward()
    gradients = [p.grad.clone() for p in encoder.parameters() if p.grad is not None]
    encoder.zero_grad()
    return sum(size for size, _ in kept.values()), gradients


@pytest.mark.parametrize("kind", KINDS)
def test_activation_checkpointing_works_in_eval_mode(kind, tmp_path, pictures):
    """In which it stays where it learns, in stage 3."""
    publish(tmp_path, kind)
    encoder = read_encoder(str(tmp_path), image_size=28).eval()
    all_of_it, wanted = kept_and_gradients(encoder, pictures)
    illume = Illume(understanding_encoder=encoder)
    illume.language = torch.nn.Module()
    illume.language.trunk = AutoModel.from_config(AutoConfig.for_model("llama", **SMALL_TRUNK))
    enable_gradient_checkpointing(illume, encoder_learns=True)
    for one in (encoder, copy.deepcopy(encoder)):
        little, gradients = kept_and_gradients(one, pictures)
        assert little < 0.5 * all_of_it
        assert all(map(torch.equal, gradients, wanted))
