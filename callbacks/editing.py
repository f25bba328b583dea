"""Emu Edit and MagicBrush during training: the stage's model edits, CLIP and DINO measure (docs/use/editing.md)."""

from typing import Any

from callbacks.drawing_benchmark import DrawingBenchmark
from evals.editing.benchmark import EmuEditBenchmark, MagicBrushBenchmark
from evals.settings import EmuEditSettings, MagicBrushSettings


class EmuEdit(DrawingBenchmark):
    """Logs DINO, CLIP-I, CLIP-T, CLIP-DIR and L1 of Emu Edit, `emu_edit/dino` and so on, by task too.

    Results go to `emu_edit/step-*` of the run's folder, under the names that the command gives them.
    """

    def __init__(
        self, every_n_epochs: int = 1, at_end: bool = True, limit: int | None = 60, **settings: Any
    ) -> None:
        given = EmuEditSettings(limit=limit, **settings)
        super().__init__(EmuEditBenchmark, given, every_n_epochs, at_end)


class MagicBrush(DrawingBenchmark):
    """Logs the same of MagicBrush, `magicbrush/dino` and so on; `limit` counts sessions."""

    def __init__(
        self, every_n_epochs: int = 1, at_end: bool = True, limit: int | None = 60, **settings: Any
    ) -> None:
        given = MagicBrushSettings(limit=limit, **settings)
        super().__init__(MagicBrushBenchmark, given, every_n_epochs, at_end)
