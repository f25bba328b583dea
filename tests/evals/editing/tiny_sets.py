"""The smallest test sets in their published layouts, and the smallest networks that the measures take."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import torch
from PIL import Image
from pyarrow import parquet
from transformers import Dinov2Config, Dinov2Model, ViTConfig, ViTModel

from tests.perturb import perturb

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
EDITS: list[dict[str, Any]] = [
    {"idx": 7, "task": "add", "instruction": "add a cow", "input_caption": "a cat", "output_caption": "a cow"},
    {"idx": 3, "task": "color", "instruction": "make it red", "input_caption": "a cat", "output_caption": "a red cat"},
    {"idx": 9, "task": "add", "instruction": "add a dog", "input_caption": "a dog", "output_caption": "a dog"},
]  # fmt: skip
SESSIONS = {"30": ["make it red"], "139": ["add a cow", "make it blue", "add a dog"]}


def picture(seed: int, size: tuple[int, int] = (60, 60)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


def save_emu_edit(folder: Path, rows: Sequence[dict[str, Any]] = EDITS, group: int = 2) -> Path:
    """Parquet as `datasets` writes it; the first two edits are of one image."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    images = [{"bytes": png(picture(max(i, 1))), "path": None} for i in range(len(rows))]
    rows = [
        {"image": image, "split": "test", "hash": "x"} | row for image, row in zip(images, rows, strict=True)
    ]
    table = pyarrow.Table.from_pylist(rows)
    parquet.write_table(table, folder / "data/test-00000-of-00001-ab.parquet", row_group_size=group)
    return folder


def save_magicbrush(folder: Path, sessions: dict[str, list[str]] = SESSIONS) -> Path:
    turns: dict[str, Any] = {}
    words: dict[str, Any] = {}
    for session, instructions in sessions.items():
        names = [
            f"{session}-{end}.png" for end in ("input", *(f"output{i + 1}" for i in range(len(instructions))))
        ]
        (folder / "images" / session).mkdir(parents=True)
        for i, name in enumerate(names):
            picture(int(session) + i).save(folder / "images" / session / name)
        words[session] = {name: f"{'a cat ' * i}a dog" for i, name in enumerate(names)}
        turns[session] = [
            {"input": names[i], "mask": "m.png", "output": names[i + 1], "instruction": instruction}
            for i, instruction in enumerate(instructions)
        ]
    (folder / "edit_sessions.json").write_text(json.dumps(turns))
    (folder / "global_descriptions.json").write_text(json.dumps(words))
    return folder


def save_dino(folder: Path, seed: int = 0) -> Path:
    """A ViT without a pooling layer, as facebook/dino-vits16 is."""
    torch.manual_seed(seed)
    config = ViTConfig(**SMALL, intermediate_size=16, image_size=224, patch_size=56)
    perturb(ViTModel(config, add_pooling_layer=False)).save_pretrained(folder)
    return folder


def save_dinov2(folder: Path) -> Path:
    torch.manual_seed(0)
    config = Dinov2Config(**SMALL, mlp_ratio=1, image_size=168, patch_size=56)
    perturb(Dinov2Model(config)).save_pretrained(folder)
    return folder
