"""Model folders in half or double precision, whole or in part, draw, answer and export, and lose nothing by it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models import export
from models.unified import Illume

EVERY = lambda name: True  # noqa: E731
PARTS: dict[str, tuple[str, Callable[[str], bool]]] = {
    "all": ("*", EVERY),
    "encoder": ("encoder", EVERY),
    "tokenizer": ("tokenizer", EVERY),
    "detokenizer": ("detokenizer", EVERY),
    "language": ("language", EVERY),
    "trunk": ("language", lambda name: name.startswith("trunk.")),
    "rows": ("language", lambda name: not name.startswith("trunk.")),
    "vision rows": ("language", lambda name: name.startswith("vision")),
    "adapter": ("language", lambda name: name.startswith("adapter")),
}
DTYPES = (torch.bfloat16, torch.float16, torch.float64)


def cast(folder: Path, part: str, dtype: torch.dtype) -> None:
    """Stores a part of a folder in another type, as a user's own script does."""
    where, chosen = PARTS[part]
    for path in folder.glob(f"{where}/*.safetensors"):
        stored = load_file(path)
        turned = {n: t.to(dtype) if t.is_floating_point() and chosen(n) else t for n, t in stored.items()}
        save_file(turned, path)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("part", PARTS)
def test_a_folder_in_half_precision_draws_answers_and_edits(
    folder: Path, images: torch.Tensor, part: str, dtype: torch.dtype
) -> None:
    cast(folder, part, dtype)
    model = Illume.from_pretrained(str(folder))
    assert model.draw_batch(["a red circle"], [0]).shape == (1, 3, 48, 48)
    assert len(model.ask_batch(images[:2], ["describe"] * 2)) == 2
    assert model.edit_batch(images[:1], ["draw a red circle"], [0]).shape == (1, 3, 48, 48)
    assert 0 <= model.confidence(images[:1], ["a red circle"], ["overall"])[0] <= 1
    small = (model.encoder, model.tokenizer, model.detokenizer)
    assert {p.dtype for part in small for p in part.parameters()} == {torch.float32}
    assert len({p.dtype for p in model.language.parameters()}) == 1
    assert next(model.language.parameters()).dtype != torch.float64


@pytest.mark.parametrize("part", ["all", "trunk"])
def test_a_folder_in_half_precision_is_exported(folder: Path, part: str) -> None:
    cast(folder, part, torch.bfloat16)
    before = load_file(folder / "language" / "model.safetensors")
    for name, more in (("whole", []), ("lm", ["--language"])):
        export.main(["--model", str(folder), "--out", str(folder.parent / name), *more])
    after = load_file(folder.parent / "whole" / "language" / "model.safetensors")
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert {name: t.dtype for name, t in after.items()} == {name: t.dtype for name, t in before.items()}
    from transformers import AutoModelForCausalLM

    causal = AutoModelForCausalLM.from_pretrained(folder.parent / "lm", dtype="auto")
    assert {p.dtype for p in causal.parameters()} == {torch.bfloat16}


def test_overflow_in_single_precision_is_refused(folder: Path) -> None:
    path = folder / "encoder" / "model.safetensors"
    tensors = {n: t.double() if t.is_floating_point() else t for n, t in load_file(path).items()}
    tensors["positions"] *= 1e60
    save_file(tensors, path)
    with pytest.raises(ValueError, match="encoder holds NaN or infinity in 1 tensors: positions"):
        Illume.from_pretrained(str(folder))


def test_codes_of_a_folder_in_half_precision_are_those_of_its_weights(
    folder: Path, images: torch.Tensor, tmp_path: Path
) -> None:
    """Weights that a half holds exactly give the codes that they give in single precision."""
    cast(folder, "all", torch.bfloat16)
    shutil.copytree(folder, tmp_path / "single")
    cast(tmp_path / "single", "all", torch.float32)
    half, single = (Illume.from_pretrained(str(path)) for path in (folder, tmp_path / "single"))
    assert torch.equal(half.encode(images), single.encode(images))
