"""Emu Edit and MagicBrush while training: the stage's model edits, CLIP and DINO measure (docs/editing.md)."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from callbacks.drawing_benchmark import DrawingBenchmark
from evals.drawn_folder import DrawnFolder
from evals.editing_benchmark import command
from evals.editing_benchmark.edits import Benchmark
from evals.editing_benchmark.measures import Measures
from evals.known import one_of
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
        cfg: guidance of the edits.
        temperature: of the edits.
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
        cfg: float = command.CFG,
        temperature: float = command.TEMPERATURE,
        batch: int = 16,
    ) -> None:
        one_of(suite, command.SUITES, "EditingBenchmark: suite")
        when = {"every_n_epochs": every_n_epochs, "at_end": at_end}
        super().__init__(suite, "editing", seed=seed, batch=batch, limit=limit, **when)
        if suite == "magicbrush" and split is not None or suite == "emu_edit" and multi_turn:
            raise ValueError(
                "EditingBenchmark: split is of emu_edit alone, and multi_turn of magicbrush alone"
            )
        given = {"suite": suite, "data": data, "clip": clip, "dino": dino, "split": split, "limit": limit}
        self.options = Namespace(**given, multi_turn=multi_turn, images=self.folder, device="cpu")
        edits = command.asked(self._benchmark(self.folder))
        self.record = {"seed": seed, "cfg": cfg, "temperature": temperature, **edits}
        self.measures: Measures | None = None  # of the first process, from the start of training

    @property
    def state_key(self) -> str:
        """Each test set's own, so that a checkpoint holds both."""
        return self._generate_state_key(suite=self.options.suite)

    def load_scorer(self, device: str) -> None:
        self.options.device = device
        self.measures = command.measures_of(self.options)

    def draw(self, model: Illume, folder: Path, ranks: Ranks) -> None:
        results = self._results(folder, self._benchmark(folder))
        results.check()
        results.fill(command.edits(model, model.encoder.image_size, self.record), self.batch, ranks)

    def report(self, folder: Path) -> dict[str, Any]:
        assert self.measures is not None  # `load_scorer` has been asked
        benchmark = self._benchmark(folder)
        return command.measure(self._results(folder, benchmark), benchmark, self.measures)

    def _benchmark(self, folder: Path) -> Benchmark:
        """Read anew for each folder, as edits of several turns go on from results in it."""
        self.options.images = folder
        return command.benchmark_of(self.options)

    def _results(self, folder: Path, benchmark: Benchmark) -> DrawnFolder:
        return command.folder_of(folder, benchmark, self.record, self.seed)
