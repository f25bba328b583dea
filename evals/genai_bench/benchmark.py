"""GenAI-Bench as a benchmark.

IMAGES/00000.jpeg            the image of prompt 00000; the layout that the authors' own scorer reads
IMAGES/drawn.json            model, seed and settings of the drawings
IMAGES/scores-HASH.jsonl     a score a line; the hash is that of the scorer
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.hashes import hash_bytes, hash_json
from evals.benchmark import Benchmark
from evals.genai_bench.exact_judge import ExactScorer, playground_prompts
from evals.genai_bench.prompts import read_prompts
from evals.genai_bench.scores import check_skills, summary
from evals.score_cache import Scores, cached_scores
from evals.settings import PLAYGROUND, GenAIBenchSettings

if TYPE_CHECKING:
    from evals.genai_bench.vqa_score import Scorer

PER_CATEGORY = 50
VERSION = (
    "2"  # of how images are asked about; a change that moves a figure moves it (2: all through one opener)
)


class GenAIBenchmark(Benchmark):
    """GenAI-Bench on the images of a folder."""

    name = "genai_bench"
    settings: GenAIBenchSettings

    def _read(self) -> None:
        settings = self.settings
        if settings.prompts == PLAYGROUND:
            self.prompts = playground_prompts(settings.per_category or PER_CATEGORY, settings.seed)
        else:
            self.prompts = read_prompts(Path(settings.prompts))
        check_skills(self.prompts[: settings.limit])
        self.requests = self._make_requests((f"{one.number}.jpeg", one.text) for one in self.prompts)
        self.wanted = self.requests[: settings.limit]
        prompts_hash = hash_json([[one.number, one.text] for one in self.prompts])
        self.identity = {"suite": self.name, "prompts_hash": prompts_hash}

    def load_scorer(self, device: str) -> "Scorer":
        """The VLM. Raises ValueError if it does not load, or cannot be asked."""
        settings = self.settings
        if settings.vlm == PLAYGROUND:
            return ExactScorer(settings.per_category or PER_CATEGORY, settings.seed)
        from evals.genai_bench.clip_t5 import ClipT5Scorer, is_clip_t5
        from evals.genai_bench.vqa_score import VlmScorer

        if is_clip_t5(settings.vlm):
            return ClipT5Scorer(settings.vlm, device, settings.vlm_tokenizer)
        if settings.vlm_tokenizer is not None:
            raise ValueError(f"--vlm-tokenizer is CLIP-FlanT5's, which {settings.vlm} is not: leave it out")
        return VlmScorer(settings.vlm, device)

    def score(self, scorer: "Scorer") -> dict[str, Any]:
        """The report of VQAScores."""
        files = self.folder({}).files()
        texts = {request.path: request.source for request in self.wanted}
        about = {"vlm": scorer.name, "protocol": scorer.protocol, "version": VERSION}
        fingerprints = {name: hash_bytes(file.read(), texts[name].encode()) for name, file in files.items()}

        def score(name: str) -> Scores:
            return {"vqa_score": scorer.score(files[name].open(), texts[name])}

        scores, results = cached_scores(self.images, about, fingerprints, score)
        prompts = self.prompts[: len(files)]
        by_number = {one.number: scores[name]["vqa_score"] for one, name in zip(prompts, files, strict=True)}
        counts = {"samples": len(files), "of_prompts": len(self.prompts)}
        counts["without_skill"] = sum(not prompt.tags for prompt in prompts)
        return summary(prompts, by_number) | counts | {"results": results} | about
