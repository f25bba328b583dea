"""A stand-in for a model that knows the truth, or a wrong one: it draws, edits and answers by the playground's rules."""

import numpy as np
from torch import Tensor

from judges.pixels import render_scenes
from worlds.playground.edits import sample_edit
from worlds.playground.prompts import evaluation_prompts
from worlds.playground.questions import evaluation_questions
from worlds.playground.sampler import scene_for


class Oracle:
    """Gives what the evaluation of this seed wants, `shift` places further down its list."""

    def __init__(self, seed: int = 0, shift: int = 0) -> None:
        self.seed, self.shift, self.questions_seen, self.edits_seen = seed, shift, 0, 0

    def draw_batch(self, prompts: list[str], seeds: list[int], sampling: object = None) -> Tensor:
        """Scenes of the prompts, each one's moved by `shift`."""
        specs = {p.text: p.spec for p in evaluation_prompts(8, self.seed)}
        moved = prompts[self.shift :] + prompts[: self.shift]
        rng = np.random.default_rng(seeds[0])
        return render_scenes([scene_for(rng, specs[text]) for text in moved])

    def ask_batch(self, images: Tensor, questions: list[str]) -> list[str]:
        """The answers of the evaluation's questions, in its order."""
        asked = evaluation_questions(64, self.seed)
        at = [(self.questions_seen + i + self.shift) % len(asked) for i in range(len(questions))]
        self.questions_seen += len(questions)
        return [asked[i][1].answer for i in at]

    def edit_batch(
        self, images: Tensor, instructions: list[str], seeds: list[int], sampling: object = None
    ) -> Tensor:
        """The scenes wanted; with a shift, the images as they were."""
        rng = np.random.default_rng([self.seed, 77])
        edits = [sample_edit(rng, held_out=True) for _ in instructions]
        assert [e.instruction for e in edits] == list(instructions)
        return images if self.shift else render_scenes([e.after for e in edits])
