"""GenAI-Bench on the playground: its evaluation prompts with skills, and its exact judge, whose score is 0 or 1."""

from PIL import Image

from evals.genai_bench.prompts import Prompt
from evals.geneval.exact_judge import read_scene
from worlds.playground.judge import satisfies
from worlds.playground.prompts import evaluation_prompts

SKILLS = {  # of each category; a single or a second object is no skill of the benchmark's
    "single_object": ("basic",),
    "two_object": ("basic",),
    "counting": ("advanced", "counting"),
    "colors": ("basic", "attribute"),
    "position": ("basic", "spatial relation"),
    "color_attr": ("basic", "attribute"),
}


def playground_prompts(per_category: int, seed: int = 0) -> list[Prompt]:
    """The playground's evaluation prompts with their skills."""
    prompts = evaluation_prompts(per_category, seed)
    return [
        Prompt(f"{i:05d}", prompt.text, frozenset(SKILLS[prompt.spec.category]))
        for i, prompt in enumerate(prompts)
    ]


class ExactScorer:
    """Scores images of the playground's prompts by its judge."""

    name = "playground (its exact judge)"
    protocol = "1 where the playground's judge finds the image right, else 0"

    def __init__(self, per_category: int, seed: int = 0) -> None:
        self.specs = {prompt.text: prompt.spec for prompt in evaluation_prompts(per_category, seed)}

    def score(self, image: Image.Image, text: str) -> float:
        """1 if the image is right, else 0."""
        return float(satisfies(read_scene(image), self.specs[text]).ok)
