"""Emu Edit and MagicBrush while training: the stage's model edits, CLIP and DINO measure (docs/use/editing.md)."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from callbacks.drawing_benchmark import DrawingBenchmark
from common.checks import check_choice
from evals.drawn_folder import DrawnFolder
from evals.editing import command
from evals.editing.edits import Benchmark
from evals.editing.measures import Measures
from evals.ranks import Ranks
from models.unified import Illume


class EditingBenchmark(DrawingBenchmark):
    """Logs DINO, CLIP-I, CLIP-T, CLIP-DIR and L1 of one test set, `emu_edit/dino` and so on, by task where it tells.

    Results go to `emu_edit/step-*` or `magicbrush/step-*` of the run's folder, under the names that the command gives
    them. For both test sets, give it twice.

    Args:
        suite: emu_edit or magicbrush.
        data: the test set's folder.
        clip: folder or hub name.
        dino: folder or hub name of a DINO or DINOv2.
        split: of Emu Edit: test (so if not given) or validation.
        multi_turn: of MagicBrush: whether edits of several turns are asked for as well.
        limit: at most so many edits, or sessions of MagicBrush, the first ones; None: all.
        every_n_epochs: how often; 0: only at the end.
        at_end: whether to evaluate when training ends, if the last epoch did not.
        seed: of edits, the same ones each time.
        cfg: guidance of the edits; None, here and below: the model's own (`models/generation.py`).
        temperature: of the edits.
        top_k: only so many of the likeliest codes.
        top_p: only the likeliest codes that reach this share.
        batch: images at once.

    Raises:
        FileNotFoundError, ValueError: test set or networks are not there, or something else.
    """

    def __init__(
        self,
        suite: str,
        data: str,
        clip: str,
        dino: str,
        split: str | None = None,
        multi_turn: bool = False,
        limit: int | None = 60,
        every_n_epochs: int = 1,
        at_end: bool = True,
        seed: int = 0,
        cfg: float | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        batch: int = 16,
    ) -> None:
        check_choice(suite, command.SUITES, "EditingBenchmark: suite")
        when = {"every_n_epochs": every_n_epochs, "at_end": at_end}
        sampling = {"cfg": cfg, "temperature": temperature, "top_k": top_k, "top_p": top_p}
        super().__init__(suite, "editing", seed=seed, batch=batch, limit=limit, **when, **sampling)
        if suite == "magicbrush" and split is not None or suite == "emu_edit" and multi_turn:
            raise ValueError(
                "EditingBenchmark: split is of emu_edit alone, and multi_turn of magicbrush alone"
            )
        given = {"suite": suite, "data": data, "clip": clip, "dino": dino, "split": split, "limit": limit}
        self.options = Namespace(**given, multi_turn=multi_turn, images=self.folder, device="cpu")
        self.asked = command.asked(self._benchmark(self.folder))
        self.measures: Measures | None = None  # of the first process, from the start of training

    @property
    def state_key(self) -> str:
        """Each test set's own, so that a checkpoint holds both."""
        return self._generate_state_key(suite=self.options.suite)

    def load_scorer(self, device: str) -> None:
        self.options.device = device
        self.measures = command.supported_measures(self.options)

    def draw(self, model: Illume, folder: Path, ranks: Ranks) -> None:
        record = {"seed": self.seed, **self.sampling(model), **self.asked}
        results = self._results(folder, self._benchmark(folder), record)
        results.check()
        results.fill(command.edits(model, record), self.batch, ranks)

    def report(self, folder: Path) -> dict[str, Any]:
        assert self.measures is not None  # `load_scorer` has been asked
        benchmark = self._benchmark(folder)
        return command.measure(self._results(folder, benchmark, {}), benchmark, self.measures)

    def _benchmark(self, folder: Path) -> Benchmark:
        """Read anew for each folder, as edits of several turns go on from results in it."""
        self.options.images = folder
        return command.benchmark_of(self.options)

    def _results(self, folder: Path, benchmark: Benchmark, record: Mapping[str, Any]) -> DrawnFolder:
        return command.folder_of(folder, benchmark, record, self.seed)
