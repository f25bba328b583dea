"""A model folder: a subfolder for each part, safetensors weights and a JSON config in each, `illume.json` on top."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from models.detokenizer.diffusion import DiffusionDetokenizer
from models.detokenizer.pixel import PixelDecoder
from models.detokenizer.stable_diffusion import StableDiffusionDetokenizer
from models.generation import read_generation
from models.language.lora import added_up
from models.language.unified_lm import UnifiedLM
from models.prompts import read_prompts
from models.recipe import build
from models.tokenizer.encoder import VisionEncoder
from models.tokenizer.pixel import PixelTokenizer
from models.tokenizer.pretrained_encoder import PretrainedEncoder
from models.tokenizer.semantic import SemanticTokenizer
from models.weights import load_weights, save_weights

if TYPE_CHECKING:
    from models.unified import Illume

KNOWN = (
    VisionEncoder,
    PretrainedEncoder,
    SemanticTokenizer,
    PixelTokenizer,
    DiffusionDetokenizer,
    PixelDecoder,
    StableDiffusionDetokenizer,
    UnifiedLM,
)
CLASSES = {c.__name__: c for c in KNOWN}
PIECE = 2**24  # bytes of a file that are hashed at a time
PARTS = ("encoder", "understanding_encoder", "tokenizer", "detokenizer", "language")


def save_parts(
    model: "Illume", folder: str | Path, states: Mapping[str, Mapping[str, Tensor]] | None = None
) -> None:
    """Writes every part of `model` that is there; `states` are the weights of parts that do not hold all of theirs."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    classes = {}
    for name in PARTS:
        part = getattr(model, name)
        if part is None:
            continue
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "config.json").write_text(json.dumps(part._hub_mixin_config, indent=2) + "\n")
        save_weights((states or {}).get(name) or _weights(part), folder / name)
        classes[name] = next(known for known, kind in CLASSES.items() if isinstance(part, kind))
    if model.text_tokenizer is not None:
        model.text_tokenizer.save_pretrained(folder / "text_tokenizer")
    settings = {} if model.language is None else _settings(model)
    (folder / "illume.json").write_text(json.dumps({"parts": classes} | settings, indent=2) + "\n")


def _settings(model: "Illume") -> dict[str, Any]:
    """How the language model is asked: they stand on top, where a user finds them, and go where it goes."""
    return {"generation": model.generation.to_dict(), "prompts": model.prompts.to_dict()}


def _weights(part: nn.Module) -> dict[str, Tensor]:
    """A part's tensors; low-rank additions to a trunk are added up, so that the folder holds a plain model."""
    if not isinstance(part, UnifiedLM):
        return part.state_dict()
    own = {name: tensor for name, tensor in part.state_dict().items() if not name.startswith("trunk.")}
    return own | added_up(part.trunk, "trunk.")


def load_parts(folder: str | Path, only: Sequence[str] | None = None, weights: bool = True) -> dict[str, Any]:
    """Builds the parts of a model folder by name; without `weights`, as new.

    With the language model come its `generation` and `prompts`.

    Raises:
        FileNotFoundError: the folder is not a model folder, or lacks a part that `only` asks for.
        ValueError: weights that do not fit the config beside them.
    """
    folder = Path(folder)
    if not (folder / "illume.json").is_file():
        raise FileNotFoundError(f"{folder} is not a model folder: there is no illume.json in it")
    top = json.loads((folder / "illume.json").read_text())
    classes = top["parts"]
    parts: dict[str, Any] = {}
    for name in only or (*PARTS, "text_tokenizer"):
        if name == "text_tokenizer":
            if (folder / name).is_dir():
                parts[name] = PreTrainedTokenizerFast.from_pretrained(folder / name)
        elif name in classes:
            parts[name] = _load_part(folder / name, classes[name], weights)
        elif only:
            raise FileNotFoundError(f"{folder} has no {name}; it has {', '.join(classes) or 'nothing'}")
    if "language" in parts:
        parts["generation"] = read_generation(folder)
        parts["prompts"] = read_prompts(top.get("prompts"), where=f"{folder / 'illume.json'}: prompts")
    return parts


def _load_part(folder: Path, class_name: str, weights: bool) -> Any:
    if class_name not in CLASSES:
        raise ValueError(
            f"{folder} holds a {class_name}, which is not known here; there is: {', '.join(CLASSES)}"
        )
    try:
        recipe = json.loads((folder / "config.json").read_text())
        make = partial(build, CLASSES[class_name], recipe, str(folder))
        return load_weights(make, folder) if weights else make()
    except (OSError, RuntimeError, SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"{folder} does not load: {' '.join(str(error).split())[:300]}") from error


def folder_hash(folder: str | Path) -> str:
    """Twelve hex digits that name a model folder's weights and configs."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if (
            path.suffix in (".safetensors", ".json") and path.name != "tokenizer_config.json"
        ):  # that one holds paths
            digest.update(path.relative_to(folder).as_posix().encode())
            with path.open("rb") as file:
                while piece := file.read(PIECE):
                    digest.update(piece)
    return digest.hexdigest()[:12]


def parts_hash(parts: Sequence[nn.Module]) -> str:
    """Twelve hex digits that name the weights and settings of parts in memory, wherever they came from."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(json.dumps(part._hub_mixin_config, sort_keys=True).encode())
        for name, tensor in sorted(part.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]
