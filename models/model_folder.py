"""A model folder: a subfolder for each component, safetensors weights and a JSON config in each, `illume.json` on top.

`illume.json` is written last and holds a fingerprint of each component's weights, so that components of two models are
not taken for one. Its files may be anybody's: each error names one in one line, and no config makes more than the tensors
beside it. Weights are read in single precision, but for the language model's, which keep their dtype (docs/decisions/).
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from torch import Tensor

from common.files import write_text
from common.json_files import read_object
from models.bounds import check_numbers, read_shapes
from models.component import Component
from models.component_config import build
from models.detokenizer.diffusion import DiffusionDetokenizer
from models.detokenizer.pixel import PixelDecoder
from models.detokenizer.stable_diffusion import StableDiffusionDetokenizer
from models.document_model import DocumentModel
from models.folder_hash import MANIFEST, hash_file, read_undisturbed
from models.generation import missing_model_folder, read_generation
from models.language.lora import merged_state_dict
from models.language.text_tokenizer import FAST, read_tokenizer
from models.language.unified_lm import UnifiedLM
from models.prompts import read_prompts
from models.tokenizer.encoder import VisionEncoder
from models.tokenizer.pixel import PixelTokenizer
from models.tokenizer.pretrained_encoder import PretrainedEncoder
from models.tokenizer.semantic import SemanticTokenizer
from models.weights import check_fingerprint, load_weights, open_to_readers, save_weights, weight_files

KNOWN: dict[str, tuple[type[Component], ...]] = {
    "encoder": (VisionEncoder, PretrainedEncoder),
    "understanding_encoder": (VisionEncoder, PretrainedEncoder),
    "tokenizer": (SemanticTokenizer, PixelTokenizer),
    "detokenizer": (DiffusionDetokenizer, PixelDecoder, StableDiffusionDetokenizer),
    "language": (UnifiedLM,),
}
COMPONENTS = tuple(KNOWN)
TEXT_TOKENIZER = "text_tokenizer"


def save_components(
    model: DocumentModel,
    folder: str | PathLike[str],
    states: Mapping[str, Mapping[str, Tensor]] | None = None,
) -> None:
    """Writes every component of a model; `states` are the weights of those whose modules do not hold all of theirs."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    classes, fingerprints = {}, {}
    for name in COMPONENTS:
        component = getattr(model, name)
        if component is None:
            continue
        (folder / name).mkdir(exist_ok=True)
        write_text(folder / name / "config.json", json.dumps(component.config, indent=2) + "\n")
        fingerprints[name] = save_weights((states or {}).get(name) or _weights(component), folder / name)
        open_to_readers(folder / name)
        classes[name] = next(kind.__name__ for kind in KNOWN[name] if isinstance(component, kind))
    if model.text_tokenizer is not None:
        model.text_tokenizer.save_pretrained(folder / TEXT_TOKENIZER)
        fingerprints[TEXT_TOKENIZER] = hash_file(folder / TEXT_TOKENIZER / FAST)
    manifest: dict[str, Any] = {"components": classes, "fingerprints": fingerprints}
    if model.language is not None:  # on top, where a user finds them
        manifest |= {"generation": model.generation.to_dict(), "prompts": model.prompts.to_dict()}
    write_text(folder / MANIFEST, json.dumps(manifest, indent=2) + "\n")


def _weights(component: Component) -> dict[str, Tensor]:
    """A component's tensors; LoRA is merged into a trunk, so that the folder holds a plain model."""
    if not isinstance(component, UnifiedLM):
        return component.state_dict()
    own = {name: tensor for name, tensor in component.state_dict().items() if not name.startswith("trunk.")}
    return own | merged_state_dict(component.trunk, "trunk.")


def load_components(
    folder: str | PathLike[str], only: Sequence[str] | None = None, weights: bool = True
) -> dict[str, Any]:
    """The components of a model folder by name, newly initialized without `weights`.

    With the language model come its `generation` and `prompts`.

    Raises:
        FileNotFoundError: the folder is not a model folder, or lacks a component that `only` asks for.
        ValueError: a file is damaged or of another model, a config does not fit the weights beside it, or these hold
            NaN or infinity; the message names the file.
    """
    folder = Path(folder)
    return read_undisturbed(folder, lambda: _load_components(folder, only, weights))


def _load_components(folder: Path, only: Sequence[str] | None, weights: bool) -> dict[str, Any]:
    manifest = read_manifest(folder)
    classes, fingerprints = manifest["components"], manifest.get("fingerprints", {})
    components: dict[str, Any] = {}
    for name in only or (*COMPONENTS, TEXT_TOKENIZER):
        if name == TEXT_TOKENIZER:
            if (folder / name).is_dir():
                components[name] = read_tokenizer(folder / name, _text_size(folder, classes))
                _check_tokenizer(folder / name / FAST, fingerprints.get(name))
        elif name in classes:
            kind = next(kind for kind in KNOWN[name] if kind.__name__ == classes[name])
            components[name] = _load_component(folder / name, kind, weights)
            if weights and name in fingerprints:
                check_fingerprint(folder / name, fingerprints[name])
        elif only:
            raise FileNotFoundError(f"{folder} has no {name}; it has {', '.join(classes) or 'nothing'}")
    if "language" in components:
        components["generation"] = read_generation(folder)
        components["prompts"] = read_prompts(manifest.get("prompts"), where=f"{folder / MANIFEST}: prompts")
    return components


def read_manifest(folder: Path) -> dict[str, Any]:
    """A model folder's illume.json: `components`, the class of each, and what else it has."""
    path = folder / MANIFEST
    if not path.exists() and not path.is_symlink():
        raise missing_model_folder(folder)
    manifest = read_object(path)
    for key in ("components", "fingerprints"):
        table = manifest.get(key, {} if key == "fingerprints" else None)
        if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
            raise ValueError(f"{path}: {key} must be a table from a component's name to a word")
    for name, kind in manifest["components"].items():
        if name not in KNOWN:
            raise ValueError(
                f"{path} has a component {name!r}, which is not known here; there is {', '.join(COMPONENTS)}"
            )
        known = [one.__name__ for one in KNOWN[name]]
        if kind not in known:
            raise ValueError(
                f"{path}: {name} is a {kind!r}, which is not known here; there is {', '.join(known)}"
            )
    return manifest


def _load_component(folder: Path, kind: type[Component], weights: bool) -> Component:
    path = folder / "config.json"
    config = read_object(path)
    check_numbers(config, str(path), read_shapes(weight_files(folder)) if weights else None)
    make = partial(_build, kind, config, path)
    return load_weights(make, folder, as_stored=kind is UnifiedLM) if weights else make()


def _build(kind: type[Component], config: Mapping[str, Any], path: Path) -> Component:
    try:
        return build(kind, config, str(path))
    except ValueError as error:
        line = " ".join(str(error).split())[:400]
        raise ValueError(line if str(path) in line else f"{path}: {line}") from error
    except Exception as error:  # noqa: BLE001 - a foreign config leads the libraries into any
        message = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} makes no {kind.__name__}: {type(error).__name__}: {message}") from error


def _text_size(folder: Path, classes: Mapping[str, str]) -> int | None:
    """Text rows of the language model, if there is one, before it is loaded."""
    if "language" not in classes:
        return None
    size = read_object(folder / "language" / "config.json").get("text_size")
    return size if isinstance(size, int) else None


def _check_tokenizer(path: Path, fingerprint: str | None) -> None:
    if fingerprint is not None and hash_file(path) != fingerprint:
        raise ValueError(
            f"{path} is of another model than the folder's {MANIFEST}: copy the whole folder again, as its ids would be "
            "other words"
        )
