"""Stories begin with a scene and change one object a step."""

import numpy as np

from worlds.playground.stories import sample_story


def test_stories_begin_with_a_scene_and_change_one_object_a_step() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        story = sample_story(rng)
        assert 2 <= len(story) <= 3
        assert story[0][0].startswith("first there ") and all(text.endswith(" .") for text, _ in story)
        for (_, before), (_, after) in zip(story, story[1:], strict=False):
            assert len(set(before.objects) ^ set(after.objects)) in (1, 2)
            assert before.texture_seed == after.texture_seed
