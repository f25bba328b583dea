"""FID of drawings, MJHQ-30K, and rFID as benchmarks: images, drawn or reconstructed, against real ones."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.hashes import hash_json
from evals.benchmark import Benchmark
from evals.drawing_record import read_record
from evals.drawn_folder import ImageRequest
from evals.fidelity import mjhq
from evals.image_sets import ImageFile, by_stem, image_files, scan
from evals.prompt_file import read_prompts
from evals.settings import FidelitySettings, FidSettings
from evals.subsets import spread

if TYPE_CHECKING:
    from torch import Tensor

    from evals.fidelity.extractor import Extractor
    from evals.fidelity.frechet import Gaussian
    from models.generation import SamplingConfig
    from models.unified import Illume

VERSION = "2"  # of how images are read and scored; a change that moves a figure moves it (2: all through one opener)
WIDTH = 2048  # of the features that statistics are of
NUMBERED = "{:05d}.png"


class FidelityBenchmark(Benchmark):
    """Images of a folder against real ones."""

    settings: FidelitySettings
    real: "Sequence[ImageFile] | Gaussian"
    groups: Mapping[
        str, Sequence[int]
    ] = {}  # indices of wanted images that also have an FID of their own, by name

    def __init__(self, settings: FidelitySettings, images: Path) -> None:
        super().__init__(settings, images)
        real = len(self.real) if isinstance(self.real, Sequence) else len(self.wanted)
        if min(len(self.wanted), real) < 2:
            raise ValueError(
                f"a distance takes 2 images or more on each side, not {len(self.wanted)} and {real}"
            )

    def load_scorer(self, device: str) -> "Extractor":
        """Inception."""
        from evals.fidelity.inception import load_inception

        return load_inception(self.settings.inception, device)

    def score(self, scorer: "Extractor") -> dict[str, Any]:
        """The report of FID, KID and IS."""
        files = list(self.folder({}).files().values())
        return self._scores(files, scorer) | {"torch": version("torch"), "pillow": version("pillow")}

    def _scores(
        self, files: Sequence[ImageFile], extractor: "Extractor", side: int | None = None
    ) -> dict[str, Any]:
        """The scores of images, and how they were computed; of the real images, centre squares of a side if given."""
        from evals.fidelity.extractor import features_of
        from evals.fidelity.scores import all_scores

        path, cache = self.settings.real, self.settings.features
        drawn, real = features_of(files, extractor, cache), self.real
        if isinstance(real, Sequence):
            real = features_of(real, extractor, cache, side)
        about = {"version": VERSION, "real": path.name, **extractor.about}
        if path.suffix == ".npz":
            about["resize"] += "; of the real images' statistics it is not known"
        elif self.name != "mjhq":
            about["real_left_out"] = scan(path)[1].total()  # files that are no images
        return all_scores(drawn, real, extractor.layers, self.groups) | about


class FidBenchmark(FidelityBenchmark):
    """FID of the images of a folder, or of drawings of prompts, against real images or their statistics."""

    name = "fid"
    settings: FidSettings

    def _read(self) -> None:
        settings = self.settings
        if settings.real.suffix == ".npz":
            from evals.fidelity.statistics import read_statistics

            self.real = read_statistics(settings.real, WIDTH)
        else:
            self.real = spread(image_files(settings.real, warn=True), settings.limit)
        prompts = [] if settings.prompts is None else read_prompts(Path(settings.prompts))
        record = read_record(self.images)
        if prompts:
            self.requests = self._make_requests((NUMBERED.format(i), text) for i, text in enumerate(prompts))
        elif record.get("suite") == self.name:  # its number of prompts is that of the images
            self.requests = self._make_requests((NUMBERED.format(i), None) for i in range(record["prompts"]))
        else:
            files = image_files(self.images, warn=True)
            self.requests = self._make_requests((file.name, None) for file in files)
        self.wanted = spread(self.requests, settings.limit)
        self.identity = {"suite": self.name, "prompts": len(prompts), "prompts_hash": hash_json(prompts)}


class MjhqBenchmark(FidelityBenchmark):
    """Drawings of MJHQ-30K's prompts against its images, by category too."""

    name = "mjhq"

    def _read(self) -> None:
        path = self.settings.real
        items = mjhq.read_items(path)
        wanted = mjhq.select(items, self.settings.limit)
        self.real = mjhq.real_images(path, items, wanted)
        self.requests = self._make_requests((f"{item.stem}.png", item.prompt) for item in items)
        self.wanted = [self.requests[item.index] for item in wanted]
        self.groups = {name: rows for name, rows in mjhq.by_category(wanted).items() if len(rows) > 1}
        self.identity = {"suite": self.name, "prompts_hash": hash_json([item.prompt for item in items])}


class RfidBenchmark(FidelityBenchmark):
    """Real images as a model's tokenizer and detokenizer reconstruct them, against those images."""

    name = "rfid"
    components = ("encoder", "tokenizer", "detokenizer")
    task = None

    def _read(self) -> None:
        files = image_files(self.settings.real, warn=True)
        by_stem(files, {file.stem for file in files}, "")  # two of one stem would be one reconstruction
        self.requests = self._make_requests((f"{file.stem}.png", file) for file in files)
        self.wanted = spread(self.requests, self.settings.limit)
        self.real = [request.source for request in self.wanted]
        real_hash = hash_json([f"{file.name} {file.size}" for file in files])
        self.identity = {"suite": self.name, "real_hash": real_hash}

    def draw(self, model: "Illume", requests: Sequence[ImageRequest], sampling: "SamplingConfig") -> "Tensor":
        """The reconstructions."""
        import torch

        images = torch.stack([request.source.square(model.code_input.size) for request in requests])
        return model.decode(model.encode(images), [request.seed for request in requests])

    def _scores(
        self, files: Sequence[ImageFile], extractor: "Extractor", side: int | None = None
    ) -> dict[str, Any]:
        side = files[0].open().width  # the real images are cropped as the model saw them
        scores = super()._scores(files, extractor, side)
        resize = f"both sides: the centre square at {side} pixels, Pillow's bicubic; then {scores['resize']}"
        scores = {"rfid" if name == "fid" else name: value for name, value in scores.items()}
        return scores | {"resize": resize}
