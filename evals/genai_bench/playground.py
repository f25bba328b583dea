"""GenAI-Bench's path on the playground: its evaluation prompts with skills, and its exact judge, who says 0 or 1."""

import numpy as np
from PIL import Image

from evals.genai_bench.prompts import Prompt
from worlds.playground.judge import read, satisfies
from worlds.playground.prompts import evaluation_prompts
from worlds.playground.scene import IMAGE_SIZE

SKILLS = {  # what each category asks for; a single or a second object is no skill of the benchmark's
    "single_object": ("basic",),
    "two_object": ("basic",),
    "counting": ("advanced", "counting"),
    "colors": ("basic", "attribute"),
    "position": ("basic", "spatial relation"),
    "color_attr": ("basic", "attribute"),
}


def playground_prompts(per_category: int, seed: int = 0) -> list[Prompt]:
    """The playground's evaluation prompts under the skills that they ask for."""
    prompts = evaluation_prompts(per_category, seed)
    return [
        Prompt(f"{i:05d}", prompt.text, frozenset(SKILLS[prompt.spec.category]))
        for i, prompt in enumerate(prompts)
    ]


class ExactScorer:
    """Knows what each of the playground's prompts demands, and whether an image has it."""

    name = "playground (its exact judge)"
    protocol = "1 where the playground's judge finds the image right, else 0"

    def __init__(self, per_category: int, seed: int = 0) -> None:
        self.specs = {prompt.text: prompt.spec for prompt in evaluation_prompts(per_category, seed)}

    def score(self, image: Image.Image, text: str) -> float:
        """Whether the image is right.

        Raises:
            ValueError: it is of another size than the playground's.
        """
        if image.size != (IMAGE_SIZE, IMAGE_SIZE):
            raise ValueError(
                f"the playground's judge reads images of {IMAGE_SIZE} pixels a side, not {image.width} x {image.height}"
            )
        return float(satisfies(read(np.array(image)[None])[0], self.specs[text]).ok)
