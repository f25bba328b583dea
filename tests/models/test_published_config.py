"""What is no model that can be trained is named, and its config's numbers are bounded, before anything is built."""

import json
import time

import pytest

from models.language.pretrained import PretrainedLanguage
from tests.models.language.tiny_models import SIZES, publish


def config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def quantized(folder, family="llama", **settings):
    publish(folder, family)
    config(folder, quantization_config=settings)


def alone(folder, name, content="{}"):
    """A folder that holds a file of some other kind, and no config."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(content)


def beside(folder, name):
    """A folder with a config and weights of another kind."""
    publish(folder)
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(b"GGUF")


ADAPTER = json.dumps({"peft_type": "LORA", "base_model_name_or_path": "some/base", "r": 8})
KINDS = {
    "adapter": (
        alone,
        ("adapter_config.json", ADAPTER),
        "is a LORA adapter of some/base, not a whole model: merge it",
    ),
    "awq": (quantized, {"quant_method": "awq", "bits": 4}, "quantized by awq, 4 bit"),
    "gptq": (quantized, {"quant_method": "gptq", "bits": 8}, "quantized by gptq, 8 bit"),
    "fp8": (quantized, {"quant_method": "fp8", "weight_block_size": [128, 128]}, "quantized by fp8"),
    "nf4": (
        quantized,
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        "quantized by bitsandbytes, 4 bit",
    ),
    "int8": (quantized, {"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes, 8 bit"),
    "vllm": (quantized, {"quant_method": "compressed-tensors"}, "quantized by compressed-tensors"),
    "mlx": (quantized, {"group_size": 64, "bits": 4}, "quantized by its maker's own way, 4 bit"),
    "gguf": (alone, ("model-Q4_K_M.gguf",), "holds GGUF weights"),
    "gguf and a config": (beside, ("model.gguf",), "holds GGUF weights"),
    "onnx": (beside, ("model.onnx",), "holds an ONNX graph"),
    "tensorflow": (beside, ("tf_model.h5",), "holds TensorFlow weights"),
    "diffusers": (alone, ("model_index.json",), "is a diffusers pipeline"),
    "meta": (alone, ("consolidated.00.pth",), "its maker's own layout"),
    "ours": (alone, ("illume.json",), "is a model folder of this project"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_folders_of_other_kinds_are_named(kind, tmp_path):
    make, settings, printed = KINDS[kind]
    if isinstance(settings, dict):
        make(tmp_path, **settings)
    else:
        make(tmp_path, *settings)
    with pytest.raises(ValueError, match=printed) as refused:
        PretrainedLanguage(str(tmp_path), **SIZES, turns="own").load()
    assert str(tmp_path) in str(refused.value)


@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize("value", [10**9, 10**30])
@pytest.mark.parametrize("key", ["num_hidden_layers", "hidden_size", "vocab_size", "intermediate_size"])
def test_numbers_of_a_published_config_are_bounded(key, value, pickled, tmp_path):
    publish(tmp_path, "qwen2")
    if pickled:
        (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    config(tmp_path, **{key: value})
    start = time.monotonic()
    with pytest.raises(ValueError, match=f"config.json: {key} is"):
        PretrainedLanguage(str(tmp_path), **SIZES, turns="own", pickled=pickled).load()
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("layers", [40, 16_000_000])
def test_depth_is_bounded_by_the_tensors(layers, tmp_path):
    publish(tmp_path, "qwen2")
    config(tmp_path, num_hidden_layers=layers)
    with pytest.raises(ValueError, match="num_hidden_layers is|layer_types|lacks"):
        PretrainedLanguage(str(tmp_path), **SIZES, turns="own").load()
