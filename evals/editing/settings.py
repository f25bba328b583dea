"""The settings of Emu Edit and of MagicBrush."""

from dataclasses import dataclass
from pathlib import Path

from evals.editing.emu_edit import SPLITS
from evals.settings import DrawingSettings, option


@dataclass(frozen=True, kw_only=True)
class EditingSettings(DrawingSettings):
    """What both test sets take (docs/use/editing.md)."""

    data: Path = option("the test set's folder")
    clip: str = option("CLIP, best openai/clip-vit-base-patch32", weights=True)
    dino: str = option("DINO or DINOv2, best facebook/dino-vits16", weights=True)


@dataclass(frozen=True, kw_only=True)
class EmuEditSettings(EditingSettings):
    """Emu Edit."""

    split: str = option("of Emu Edit (test)", "test", choices=SPLITS)


@dataclass(frozen=True, kw_only=True)
class MagicBrushSettings(EditingSettings):
    """MagicBrush."""

    multi_turn: bool = option("MagicBrush's sessions of several turns as well", False)
