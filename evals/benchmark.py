"""A benchmark of drawn images: what is missing is drawn, then all is scored, for commands and callbacks alike."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from evals.drawing_record import read_provenance
from evals.drawn_folder import DrawnFolder, ImageRequest, image_seed
from evals.ranks import Ranks
from models.folder_hash import folder_hash
from models.generation import SamplingConfig, missing_model_folder, read_generation
from models.sampling_options import NAMES

if TYPE_CHECKING:
    from torch import Tensor

    from models.unified import Illume

DRAWS = ("encoder", "tokenizer", "detokenizer", "language", "text_tokenizer")  # components that draw


class Benchmark(ABC):
    """A benchmark whose images are in a folder. torch is not imported before a scorer or a model is loaded.

    Raises FileNotFoundError if a file of it is not there; ValueError if one is invalid, or does not fit the settings.
    """

    name: ClassVar[str]  # of the suite
    components: ClassVar[Sequence[str]] = DRAWS  # of a model, that its images take
    task: ClassVar[str | None] = "draw"  # whose sampling settings of the model apply: draw or edit
    requests: Sequence[ImageRequest]  # every image that the folder may hold
    wanted: Sequence[ImageRequest]  # those that are asked for this time
    identity: dict[str, Any]  # what distinguishes images of these requests from others, for the record

    def __init__(self, settings: Any, images: Path) -> None:
        self.settings, self.images = settings, images
        self._read()

    @abstractmethod
    def _read(self) -> None:
        """Reads the benchmark: sets requests, wanted and identity."""

    @abstractmethod
    def load_scorer(self, device: str) -> Any:
        """Loads what scores the images, and checks it against what is asked for."""

    @abstractmethod
    def score(self, scorer: Any) -> dict[str, Any]:
        """The report on images that are all there; each is scored once, however often this is begun."""

    def folder(self, record: Mapping[str, Any]) -> DrawnFolder:
        """The folder of its images; the record is empty where nothing is drawn."""
        return DrawnFolder(self.images, self.requests, self.wanted, record)

    def _make_requests(self, sources: Iterable[tuple[str, Any]]) -> list[ImageRequest]:
        """Requests of paths and what to draw there, whose indices fix the seeds."""
        seed = self.settings.seed
        return [ImageRequest(path, image_seed(seed, i), source) for i, (path, source) in enumerate(sources)]

    def draw(self, model: "Illume", requests: Sequence[ImageRequest], sampling: SamplingConfig) -> "Tensor":
        """Images (B, 3, H, W) uint8 of the requests."""
        return model.draw_batch([r.source for r in requests], [r.seed for r in requests], sampling)

    def record(self, sampling: SamplingConfig | None) -> dict[str, Any]:
        """The record of drawing with these settings."""
        return {"seed": self.settings.seed, **(asdict(sampling) if sampling else {}), **self.identity}

    def fill(self, model: "Illume", record: dict[str, Any], ranks: Ranks) -> int:
        """Draws this process's share of what is missing; returns, once all is there, how many images that were."""
        sampling = SamplingConfig(**{name: record[name] for name in NAMES if name in record})
        folder = self.folder(record)
        return folder.fill(lambda requests: self.draw(model, requests, sampling), self.settings.batch, ranks)


def check_model_folder(folder: Path) -> None:
    """Makes sure that a folder is a model's. Raises FileNotFoundError if it is not."""
    if not (folder / "illume.json").is_file():
        raise missing_model_folder(folder)


def run(benchmark: Benchmark, model_folder: Path | None, device: str, ranks: Ranks) -> dict[str, Any]:
    """Draws what is missing, if there is a model, then scores; returns the report, of the first process alone.

    Raises FileNotFoundError if an image is not there; ValueError if images, scorer or model do not fit each other.
    """
    record: dict[str, Any] = {}
    if model_folder is not None:
        own = getattr(read_generation(model_folder), benchmark.task) if benchmark.task else None
        sampling = own.override(benchmark.settings.sampling) if own else None
        record = {"model": folder_hash(model_folder), **benchmark.record(sampling)}
    benchmark.folder(record).check()
    scorer = benchmark.load_scorer(device) if ranks.first else None
    if model_folder is not None:
        model = load_model(model_folder, benchmark.components, device)
        benchmark.fill(model, record, ranks)
        del model
    return benchmark.score(scorer) | read_provenance(benchmark.images) if ranks.first else {}


def load_model(folder: Path, components: Sequence[str], device: str) -> "Illume":
    """The model of a folder. Raises ValueError if it lacks one of the components."""
    from models.unified import Illume

    model = Illume.from_pretrained(folder)
    if missing := [name for name in components if getattr(model, name) is None]:
        raise ValueError(f"{folder} cannot make these images: it has no {' and no '.join(missing)}")
    return model.to(device)
