"""A model folder: a subfolder for each part, safetensors weights and a JSON config in each, `illume.json` on top.

`illume.json` is written last and holds a fingerprint of each part's weights, so that parts of two models are not taken
for one. Its files may be anybody's: what is wrong with one is one line that names it, and no config makes more than the
tensors beside it. Weights are read in single precision, but for the language model's, which keep their type
(docs/decisions/).
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from common.files import write_text
from common.foreign_files import check_file
from common.json_files import read_object
from models.bounds import check_numbers, read_shapes
from models.component_config import build
from models.detokenizer.diffusion import DiffusionDetokenizer
from models.detokenizer.pixel import PixelDecoder
from models.detokenizer.stable_diffusion import StableDiffusionDetokenizer
from models.generation import no_model_folder, read_generation
from models.language.lora import added_up
from models.language.tokenizer_files import FAST, read_tokenizer
from models.language.unified_lm import UnifiedLM
from models.prompts import read_prompts
from models.tokenizer.encoder import VisionEncoder
from models.tokenizer.pixel import PixelTokenizer
from models.tokenizer.pretrained_encoder import PretrainedEncoder
from models.tokenizer.semantic import SemanticTokenizer
from models.weights import (
    check_fingerprint,
    load_weights,
    open_to_readers,
    save_weights,
    weight_files,
)

if TYPE_CHECKING:
    from models.unified import Illume

KNOWN: dict[str, tuple[type[nn.Module], ...]] = {
    "encoder": (VisionEncoder, PretrainedEncoder),
    "understanding_encoder": (VisionEncoder, PretrainedEncoder),
    "tokenizer": (SemanticTokenizer, PixelTokenizer),
    "detokenizer": (DiffusionDetokenizer, PixelDecoder, StableDiffusionDetokenizer),
    "language": (UnifiedLM,),
}
PARTS = tuple(KNOWN)
CLASSES = {c.__name__: c for classes in KNOWN.values() for c in classes}
TOP, WORDS = "illume.json", "text_tokenizer"
PIECE = 2**24  # bytes of a file that are hashed at a time
HASHED = (".safetensors", ".json", ".jinja", ".model", ".txt")
TRIES = 5  # where a folder is replaced while it is read
Read = TypeVar("Read")


def save_parts(
    model: "Illume", folder: str | Path, states: Mapping[str, Mapping[str, Tensor]] | None = None
) -> None:
    """Writes every part of `model` that is there; `states` are the weights of parts that do not hold all of theirs."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    classes, fingerprints = {}, {}
    for name in PARTS:
        part = getattr(model, name)
        if part is None:
            continue
        (folder / name).mkdir(exist_ok=True)
        write_text(folder / name / "config.json", json.dumps(part._hub_mixin_config, indent=2) + "\n")
        fingerprints[name] = save_weights((states or {}).get(name) or _weights(part), folder / name)
        open_to_readers(folder / name)
        classes[name] = next(known for known, kind in CLASSES.items() if isinstance(part, kind))
    if model.text_tokenizer is not None:
        model.text_tokenizer.save_pretrained(folder / WORDS)
        fingerprints[WORDS] = _file_hash(folder / WORDS / FAST)
    settings = {} if model.language is None else _settings(model)
    top = {"parts": classes, "fingerprints": fingerprints} | settings
    write_text(folder / TOP, json.dumps(top, indent=2) + "\n")


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
        ValueError: a file is damaged or of another model, a config does not fit the weights beside it, or these hold
            what is no number; the message names the file.
    """
    folder = Path(folder)
    return _undisturbed(folder, lambda: _load_parts(folder, only, weights))


def _load_parts(folder: Path, only: Sequence[str] | None, weights: bool) -> dict[str, Any]:
    top = read_top(folder)
    classes, fingerprints = top["parts"], top.get("fingerprints", {})
    parts: dict[str, Any] = {}
    for name in only or (*PARTS, WORDS):
        if name == WORDS:
            if (folder / name).is_dir():
                parts[name] = read_tokenizer(folder / name, _text_rows(folder, classes))
                _check_words(folder / name / FAST, fingerprints.get(name))
        elif name in classes:
            parts[name] = _load_part(folder / name, CLASSES[classes[name]], weights)
            if weights and name in fingerprints:
                check_fingerprint(folder / name, fingerprints[name])
        elif only:
            raise FileNotFoundError(f"{folder} has no {name}; it has {', '.join(classes) or 'nothing'}")
    if "language" in parts:
        parts["generation"] = read_generation(folder)
        parts["prompts"] = read_prompts(top.get("prompts"), where=f"{folder / TOP}: prompts")
    return parts


def read_top(folder: Path) -> dict[str, Any]:
    """What a model folder's illume.json says: `parts`, the class of each, and what else it has.

    Raises:
        FileNotFoundError: it is no model folder.
        ValueError: illume.json is damaged, or names what is not known here.
    """
    path = folder / TOP
    if not path.exists() and not path.is_symlink():
        raise no_model_folder(folder)
    top = read_object(path)
    for key in ("parts", "fingerprints"):
        table = top.get(key, {} if key == "fingerprints" else None)
        if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
            raise ValueError(f"{path}: {key} must be a table from a part's name to a word")
    for name, kind in top["parts"].items():
        if name not in KNOWN:
            raise ValueError(
                f"{path} has a part {name!r}, which is not known here; there is {', '.join(PARTS)}"
            )
        if kind not in [known.__name__ for known in KNOWN[name]]:
            there = ", ".join(known.__name__ for known in KNOWN[name])
            raise ValueError(f"{path}: {name} is a {kind!r}, which is not known here; there is {there}")
    return top


def _load_part(folder: Path, kind: type[nn.Module], weights: bool) -> Any:
    path = folder / "config.json"
    recipe = read_object(path)
    check_numbers(recipe, str(path), read_shapes(weight_files(folder)) if weights else None)
    made = partial(_made, kind, recipe, path)
    return load_weights(made, folder, as_stored=kind is UnifiedLM) if weights else made()


def _made(kind: type[nn.Module], recipe: Mapping[str, Any], path: Path) -> nn.Module:
    try:
        return build(kind, recipe, str(path))
    except ValueError as error:
        line = " ".join(str(error).split())[:400]
        raise ValueError(line if str(path) in line else f"{path}: {line}") from error
    except Exception as error:  # noqa: BLE001 - a foreign config leads the libraries into any
        said = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} makes no {kind.__name__}: {type(error).__name__}: {said}") from error


def _text_rows(folder: Path, classes: Mapping[str, str]) -> int | None:
    """Text rows of the language model, if there is one, before it is loaded."""
    if "language" not in classes:
        return None
    rows = read_object(folder / "language" / "config.json").get("text_size")
    return rows if isinstance(rows, int) else None


def _check_words(path: Path, fingerprint: str | None) -> None:
    if fingerprint is not None and _file_hash(path) != fingerprint:
        raise ValueError(
            f"{path} is of another model than the folder's {TOP}: copy the whole folder again, as its ids would be "
            "other words"
        )


def _undisturbed(folder: Path, read: Callable[[], Read]) -> Read:
    """What is read of a folder that nobody replaces meanwhile; where somebody does, it is read again.

    Raises:
        ValueError: it is replaced again and again.
    """
    for _ in range(TRIES):
        before = _instance(folder)
        try:
            found = read()
        except Exception:
            if _instance(folder) == before:
                raise
            continue
        if _instance(folder) == before:
            return found
    raise ValueError(f"{folder} was replaced each time that it was read: wait until nobody writes there")


def _instance(folder: Path) -> tuple[int, ...] | None:
    """What tells a folder from another that takes its place: the file that is written last in each."""
    try:
        about = os.stat(folder / TOP)
    except OSError:
        return None
    return about.st_dev, about.st_ino, about.st_mtime_ns, about.st_size


def folder_hash(folder: str | Path) -> str:
    """Twelve hex digits that name a model folder's weights and configs, also those that links lead to.

    Raises:
        FileNotFoundError: a link leads nowhere.
        ValueError: a file is a pointer of git-lfs, or no file.
    """
    folder = Path(folder)
    return _undisturbed(folder, lambda: _folder_hash(folder))


def _folder_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(_files(folder, (os.path.realpath(folder),))):
        digest.update(path.relative_to(folder).as_posix().encode())
        _add_file(digest, path)
    return digest.hexdigest()[:12]


def _files(folder: Path, above: tuple[str, ...]) -> Iterator[Path]:
    """The files that are hashed, in a folder and those below it; a link to a folder above is not followed again."""
    for path in folder.iterdir():
        if path.is_dir():
            real = os.path.realpath(path)
            if real not in above:
                yield from _files(path, (*above, real))
        elif path.suffix in HASHED and path.name != "tokenizer_config.json":  # that one holds paths
            yield path


def _file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    _add_file(digest, path)
    return digest.hexdigest()[:16]


def _add_file(digest: "hashlib._Hash", path: Path) -> None:
    check_file(path)
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)


def parts_hash(parts: Sequence[nn.Module], about: str = "") -> str:
    """Twelve hex digits that name the weights and settings of parts in memory, wherever they came from, and `about`."""
    digest = hashlib.sha256(about.encode())
    for part in parts:
        digest.update(json.dumps(part._hub_mixin_config, sort_keys=True).encode())
        for name, tensor in sorted(part.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]
