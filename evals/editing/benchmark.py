"""Emu Edit and MagicBrush as benchmarks.

IMAGES/NAME                  an edited image (the names are in emu_edit.py and magicbrush.py)
IMAGES/drawn.json            model, seed and settings of the edits
IMAGES/scores-HASH.jsonl     its measures, a line an image; the hash is that of CLIP, DINO and protocol
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from common.hashes import hash_bytes, hash_json
from common.images import open_image
from evals.benchmark import Benchmark
from evals.drawn_folder import ImageRequest, image_seed
from evals.editing.edits import EditingTestSet
from evals.editing.emu_edit import read_emu_edit
from evals.editing.magicbrush import read_magicbrush
from evals.image_sets import ImageFile
from evals.score_cache import Scores, cached_scores
from evals.settings import EmuEditSettings, MagicBrushSettings

if TYPE_CHECKING:
    from torch import Tensor

    from evals.editing.measures import Measures
    from models.generation import SamplingConfig
    from models.unified import Illume

VERSION = "2"  # of the measures; a change that moves a figure moves it (2: the source's size, and what the model sees)


class EditingBenchmark(Benchmark):
    """A test set of edits, whose results are in a folder."""

    task = "edit"
    test_set: EditingTestSet

    def _read(self) -> None:
        edits = self.test_set.edits
        self.requests = [
            ImageRequest(edit.name, image_seed(self.settings.seed, i), edit, edit.series, edit.turn)
            for i, edit in enumerate(edits)
        ]
        self.wanted = [request for request in self.requests if request.path in self.test_set.wanted]
        edits_hash = hash_json([[edit.name, edit.instruction] for edit in edits])
        self.identity = {"suite": self.name, "edits_hash": edits_hash}

    def draw(self, model: "Illume", requests: Sequence[ImageRequest], sampling: "SamplingConfig") -> "Tensor":
        """The edited images.

        An image goes in whole, stretched to the square that the model sees, so that the result shows all of it; results
        are brought back to the source's shape where they are measured.
        """
        import torch

        sources = [open_image(r.source.before(), f"the image before {r.path}") for r in requests]
        images = torch.stack([model.image_input.square(image, "stretch") for image in sources])
        instructions, seeds = [r.source.instruction for r in requests], [r.seed for r in requests]
        return model.edit_batch(images.to(model.device), instructions, seeds, sampling)

    def load_scorer(self, device: str) -> "Measures":
        """CLIP and DINO."""
        from evals.clip import ClipNetwork
        from evals.editing.dino import Dino
        from evals.editing.measures import Measures

        clip = ClipNetwork(self.settings.clip, device, "clip-vit-base-patch32")
        return Measures(clip, Dino(self.settings.dino, device))

    def score(self, scorer: "Measures") -> dict[str, Any]:
        """The report of the measures."""
        from evals.editing.scores import summary

        files = self.folder({}).files()
        comparisons = {one.name: one for group in self.test_set.comparisons.values() for one in group}
        about = {"clip": scorer.clip.name, "dino_network": scorer.dino.name}
        about |= {"protocol": self.test_set.protocol, "version": VERSION}

        def fingerprint(file: ImageFile, name: str) -> str:
            one = comparisons[name]
            captions = (one.caption_before.encode(), one.caption_after.encode())
            return hash_bytes(file.read(), one.before(), one.reference(), *captions)

        def measure(name: str) -> Scores:
            return scorer.measure(files[name].open(), comparisons[name])

        fingerprints = {name: fingerprint(files[name], name) for name in comparisons}
        scores, results = cached_scores(self.images, about, fingerprints, measure)
        report: dict[str, Any] = {}
        for prefix, group in self.test_set.comparisons.items():
            report |= summary(prefix, group, scores)
        return report | {"samples": len(comparisons), "results": results} | about


class EmuEditBenchmark(EditingBenchmark):
    """Emu Edit."""

    name = "emu_edit"
    settings: EmuEditSettings

    def _read(self) -> None:
        self.test_set = read_emu_edit(self.settings.data, self.settings.split, self.settings.limit)
        super()._read()


class MagicBrushBenchmark(EditingBenchmark):
    """MagicBrush."""

    name = "magicbrush"
    settings: MagicBrushSettings

    def _read(self) -> None:
        settings = self.settings
        self.test_set = read_magicbrush(settings.data, self.images, settings.multi_turn, settings.limit)
        super()._read()
