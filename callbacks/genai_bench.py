"""GenAI-Bench while training: the stage's model draws, a VLM says how surely each image shows its prompt."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from callbacks.drawing_benchmark import DrawingBenchmark
from evals.drawing import draws
from evals.drawn_folder import DrawnFolder
from evals.genai_bench import command
from evals.genai_bench.scores import check_skills
from evals.genai_bench.vqa_score import Scorer
from evals.ranks import Ranks
from models.unified import Illume


class GenAIBench(DrawingBenchmark):
    """Logs `genai/overall`, `genai/basic`, `genai/advanced` and the mean VQAScore of each skill (docs/use/genai_bench.md).

    Drawings go to `genai_bench/step-*` of the run's folder, in the layout that the authors' scorer reads. The VLM stays
    on the first process's device beside what is trained there: give one that fits, and hold its scores against its own.

    Args:
        prompts: folder of GenAI-Bench's two files; or the word playground.
        vlm: who scores, folder or hub name; or the word playground.
        vlm_tokenizer: that of CLIP-FlanT5's T5, whose folder has none.
        limit: at most so many prompts, the first ones; None: all.
        every_n_epochs: how often; 0: only at the end.
        at_end: whether to evaluate when training ends, if the last epoch did not.
        seed: of drawings, the same ones each time.
        cfg: guidance of the drawings; None, here and below: the model's own (`models/generation.py`).
        temperature: of the drawings.
        top_k: only so many of the likeliest codes.
        top_p: only the likeliest codes that reach this share.
        batch: images at once.

    Raises:
        FileNotFoundError, ValueError: prompts or VLM are not there, or do not fit each other.
    """

    def __init__(
        self,
        prompts: str,
        vlm: str,
        vlm_tokenizer: str | None = None,
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
        when = {"every_n_epochs": every_n_epochs, "at_end": at_end}
        sampling = {"cfg": cfg, "temperature": temperature, "top_k": top_k, "top_p": top_p}
        super().__init__("genai_bench", "geneval", seed=seed, batch=batch, limit=limit, **when, **sampling)
        unset = dict.fromkeys(("model", "batch", "per_category"))
        given = {"prompts": prompts, "vlm": vlm, "vlm_tokenizer": vlm_tokenizer, "limit": limit, "seed": seed}
        self.options = Namespace(**unset, **given, images=self.folder, device="cpu")
        command.check(self.options)
        self.prompts = command.prompts_of(self.options)
        check_skills(self.prompts[:limit])
        self.scorer: Scorer | None = None  # of the first process, from the start of training

    def load_scorer(self, device: str) -> None:
        self.options.device = device
        self.scorer = command.scorer_of(self.options)

    def draw(self, model: Illume, folder: Path, ranks: Ranks) -> None:
        record = {"seed": self.seed, **self.sampling(model), **command.asked(self.prompts)}
        images = self._images(folder, record)
        images.check()
        images.fill(draws(model, record), self.batch, ranks)

    def report(self, folder: Path) -> dict[str, Any]:
        assert self.scorer is not None  # `load_scorer` has been asked
        return command.score(self._images(folder, {}), self.prompts, self.scorer)

    def _images(self, folder: Path, record: Mapping[str, Any]) -> DrawnFolder:
        return command.folder_of(folder, self.prompts, record, self.seed, self.options.limit)
