"""The config of a published model, or a line that names what a folder or name holds instead."""

import json
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PretrainedConfig

from common.json_files import read_object
from models.bounds import LAYERS, check_numbers, read_shapes
from models.published import find_file, read_published
from models.weights import weight_files

# By a file that only one kind of folder has: what the folder is, and what to do.
KINDS = {
    "illume.json": "is a model folder of this project: name it under model.init_args.start",
    "model_index.json": "is a diffusers pipeline, not a language model or an encoder",
    "adapter_config.json": "is an adapter",  # its own line, for it names its base
    "*.gguf": "holds GGUF weights, which are quantized for llama.cpp: take the model that they were made of",
    "consolidated*.*": "holds its maker's own layout (consolidated, params.json): take the one with config.json",
    "*.onnx": "holds an ONNX graph, which is not trained here: take the model that it was made of",
    "tf_model.h5": "holds TensorFlow weights alone: take one with safetensors",
    "flax_model.msgpack": "holds Flax weights alone: take one with safetensors",
}
MAX_LAYERS = 2048
MERGE = (
    "merge it (`peft.AutoPeftModelForCausalLM.from_pretrained(ADAPTER).merge_and_unload().save_pretrained(FOLDER)`, "
    "and its base's tokenizer beside it) and name that folder"
)


def read_config(source: str, revision: str) -> PretrainedConfig:
    """The config of a published model that can be trained: of a local folder, or of a name and revision on the hub.

    Raises:
        FileNotFoundError: there is no such folder, nor such a name on the hub.
        ValueError: it is an adapter, quantized, of another layout, or its numbers are out of bounds; the message names
            the file and what to do.
    """
    path = _config_path(source, revision)
    if path is not None:
        config = read_object(path)
        check_numbers(config, str(path), _shapes(Path(source)))
        _check_depth(config, path)
        _check_quantized(config, source)
    return read_published(AutoConfig.from_pretrained, source, revision)


def _config_path(source: str, revision: str) -> Path | None:
    """Where config.json lies; None: reading it reports what is wrong."""
    folder = Path(source)
    if folder.is_file() and folder.suffix == ".gguf":
        raise ValueError(f"{source} {KINDS['*.gguf']}")
    if folder.is_dir():
        _check_kind(folder)
        return folder / "config.json"
    if source.startswith(("/", ".", "~")):
        return None
    if path := find_file(source, revision, "config.json"):
        return path
    if adapter := find_file(source, revision, "adapter_config.json"):
        raise ValueError(_adapter(adapter, source))
    return None


def _check_kind(folder: Path) -> None:
    if (folder / "config.json").is_file():
        if not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin")):
            for name in ("*.gguf", "*.onnx", "tf_model.h5", "flax_model.msgpack"):
                if found := sorted(folder.glob(name)):
                    raise ValueError(f"{folder} ({found[0].name}) {KINDS[name]}")
        return
    for name, what in KINDS.items():
        if found := sorted(folder.glob(name)):
            if name == "adapter_config.json":
                raise ValueError(_adapter(found[0], str(folder)))
            raise ValueError(f"{folder} ({found[0].name}) {what}")


def _adapter(path: Path, source: str) -> str:
    config = read_object(path)
    kind, base = (str(config.get(key, "?"))[:80] for key in ("peft_type", "base_model_name_or_path"))
    return f"{source} (adapter_config.json) is a {kind} adapter of {base}, not a whole model: {MERGE}"


def _check_quantized(config: dict[str, Any], source: str) -> None:
    for key in ("quantization_config", "compression_config", "quantization"):
        if found := config.get(key):
            raise ValueError(
                f"{source} (config.json: {key}) is quantized by {_method(found)}: its weights cannot be trained here; "
                "take the model that it was made of, in bfloat16 or float16 (for less memory: dtype: bfloat16, lora.yaml)"
            )


def _method(found: Any) -> str:
    """The method of quantization in a config, as people call it."""
    if not isinstance(found, dict):
        return json.dumps(found)[:60]
    method = str(found.get("quant_method") or found.get("mode") or "its maker's own way")[:40]
    bits = 4 if found.get("load_in_4bit") else 8 if found.get("load_in_8bit") else found.get("bits")
    return f"{method}, {bits} bit" if isinstance(bits, int) else method


def _check_depth(config: dict[str, Any], path: Path) -> None:
    """Refuses depths of which the library would make lists, where no tensors show how many layers there are."""
    for owner in (config, *(value for value in config.values() if isinstance(value, dict))):
        for name, value in owner.items():
            if LAYERS.fullmatch(name) and isinstance(value, int) and value > MAX_LAYERS:
                raise ValueError(f"{path}: {name} is {value}; at most {MAX_LAYERS} is read")


def _shapes(folder: Path) -> dict[str, tuple[int, ...]] | None:
    """Shapes of a local folder's tensors, where they are safetensors."""
    try:
        return read_shapes(weight_files(folder)) if folder.is_dir() else None
    except (FileNotFoundError, ValueError):
        return None  # `check_files` reports what is wrong with them
