"""UNIT as its authors lay it out."""

import pytest
import torch
from safetensors.torch import save_file

from models.tokenizer.unit import read_unit
from models.unified import Illume


def unit_folder(folder, width=32, layers=2, side=8, patch=7):
    """As UNIT's published code names its tensors."""
    torch.manual_seed(0)

    def linear(name, out, inside):
        return {f"{name}.weight": 0.1 * torch.randn(out, inside), f"{name}.bias": 0.1 * torch.randn(out)}

    def norm(name):
        return {f"{name}.weight": 1 + 0.1 * torch.randn(width), f"{name}.bias": 0.1 * torch.randn(width)}

    generator = "model.patch_generator"
    tensors = {
        f"{generator}.embedder.weight": 0.1 * torch.randn(width, 3 * patch * patch),
        f"{generator}.pos_embed": 0.1 * torch.randn(1, side * side, width),
        f"{generator}.cls_token.token": 0.1 * torch.randn(1, width),
        "input_conditioner.norm_mean": torch.tensor([0.48, 0.46, 0.41])[:, None, None],
        "input_conditioner.norm_std": torch.tensor([0.27, 0.26, 0.28])[:, None, None],
    }
    for layer in range(layers):
        at = f"model.blocks.{layer}"
        tensors |= norm(f"{at}.norm1") | norm(f"{at}.norm2") | linear(f"{at}.attn.qkv", 3 * width, width)
        tensors |= linear(f"{at}.attn.proj", width, width)
        tensors |= linear(f"{at}.mlp.fc1", 4 * width, width) | linear(f"{at}.mlp.fc2", width, 4 * width)
    tensors |= norm("model.norm")
    folder.mkdir(exist_ok=True)
    save_file(
        {f"unit_model.{name}": tensor for name, tensor in tensors.items()}, folder / "model.safetensors"
    )
    return tensors


def by_hand(tensors, pictures, heads=2, patch=7, side=8):
    """UNIT's forward pass, written out."""
    conditioned = (pictures / 255 - tensors["input_conditioner.norm_mean"]) / tensors[
        "input_conditioner.norm_std"
    ]
    patches = torch.nn.functional.unfold(conditioned, patch, stride=patch).transpose(1, 2)  # (B, P, 3 p p)
    x = patches @ tensors["model.patch_generator.embedder.weight"].T
    places = tensors["model.patch_generator.pos_embed"].transpose(1, 2).unflatten(2, (side, side))
    count = round(x.shape[1] ** 0.5)
    places = torch.nn.functional.interpolate(
        places, size=(count, count), mode="bilinear", align_corners=False
    )
    x = x + places.flatten(2).transpose(1, 2)
    token = tensors["model.patch_generator.cls_token.token"].expand(len(x), 1, -1)
    x = torch.cat([token, x], 1)

    def apply(name, value):
        return torch.nn.functional.linear(value, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    def norm(name, value):
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        return torch.nn.functional.layer_norm(value, value.shape[-1:], weight, bias, 1e-6)

    for layer in range(2):
        at = f"model.blocks.{layer}"
        q, k, v = (
            apply(f"{at}.attn.qkv", norm(f"{at}.norm1", x))
            .unflatten(-1, (3, heads, -1))
            .permute(2, 0, 3, 1, 4)
        )
        mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + apply(f"{at}.attn.proj", mixed)
        inner = torch.nn.functional.gelu(apply(f"{at}.mlp.fc1", norm(f"{at}.norm2", x)))
        x = x + apply(f"{at}.mlp.fc2", inner)
    return torch.nn.functional.layer_norm(norm("model.norm", x)[:, 1:], x.shape[-1:])


def test_unit_features_equal_a_reference(tmp_path, pictures):
    tensors = unit_folder(tmp_path)
    encoder = read_unit(str(tmp_path), heads=2, image_size=28).eval()
    assert torch.allclose(encoder(pictures), by_hand(tensors, pictures), atol=1e-4)
    Illume(encoder=encoder).save_pretrained(str(tmp_path / "model"))
    again = Illume.from_pretrained(str(tmp_path / "model")).encoder
    assert torch.equal(again(pictures), encoder(pictures))


def test_unit_with_missing_tensors_and_as_a_pickle(tmp_path, pictures):
    tensors = unit_folder(tmp_path)
    whole = read_unit(str(tmp_path), heads=2, image_size=28).eval()(pictures)
    del tensors["model.blocks.1.mlp.fc2.bias"]
    named = {f"unit_model.{name}": tensor for name, tensor in tensors.items()}
    save_file(named, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="lacks 1 tensors: model.encoder.layer.1.mlp.fc2.bias"):
        read_unit(str(tmp_path), heads=2, image_size=28)
    unit_folder(tmp_path)
    from safetensors.torch import load_file

    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="pickled: true"):
        read_unit(str(tmp_path), heads=2, image_size=28)
    assert torch.equal(read_unit(str(tmp_path), pickled=True, heads=2, image_size=28).eval()(pictures), whole)
