"""Short stories: a scene, and one or two changes to it, each a sentence and an image."""

import numpy as np

from worlds.playground.combinations import is_held_out
from worlds.playground.edits import EDIT_KINDS, propose_change
from worlds.playground.prompts import enumerate_nouns, noun, pick, spec_of
from worlds.playground.sampler import sample_scene
from worlds.playground.scene import Scene

STORY_PHRASES = {
    "recolour": ("{what} turns {to}", "{what} becomes {to}"),
    "reshape": ("{what} turns into {to}", "{what} becomes {to}"),
    "remove": ("{what} disappears", "{what} goes away"),
    "add": ("{what} appears at the {to}", "{what} comes to the {to}"),
}
STARTS = ("single_object", "single_object", "two_object", "color_attr", "counting")


def _opening(scene: Scene) -> str:
    objects = spec_of(scene, "mixed").objects
    verb = "is" if objects[0][0] == 1 else "are"
    return f"first there {verb} {enumerate_nouns(noun(*item) for item in objects)} ."


def _next_step(scene: Scene, rng: np.random.Generator) -> tuple[str, Scene] | None:
    change = propose_change(scene, rng, pick(rng, EDIT_KINDS))
    if change is None or is_held_out(change.after):
        return None
    phrase = pick(rng, STORY_PHRASES[change.kind]).format(what=change.what, to=change.to)
    return f"{pick(rng, ('then', 'next', 'now'))} {phrase} .", change.after


def sample_story(rng: np.random.Generator) -> list[tuple[str, Scene]]:
    """Two or three steps, each a sentence and the scene it describes; no scene is held out."""
    while True:
        scene = sample_scene(rng, pick(rng, STARTS))
        story = [(_opening(scene), scene)]
        for _ in range(int(rng.integers(1, 3))):
            step = _next_step(story[-1][1], rng)
            if step is None:
                break  # some scenes, such as four like objects, allow no change: begin another story
            story.append(step)
        else:
            return story
