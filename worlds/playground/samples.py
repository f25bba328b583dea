"""Draws one sample of each shard set: bytes by file ending.

`pairs` and `crowds` are images with a short and a dense caption, `crowds` of free objects only; all others are
documents: a JSON list of parts (text, image seen, image drawn, branches) beside their images. No sample shows a
held-out combination.
"""

import io
import json
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from worlds.playground.captions import caption, dense_caption
from worlds.playground.edits import sample_edit
from worlds.playground.questions import questions
from worlds.playground.render import render
from worlds.playground.sampler import sample_scene
from worlds.playground.scene import Scene
from worlds.playground.stories import sample_story

Sample = dict[str, bytes]
SHARES = {  # of the categories in pairs, and in questions, which need objects to tell apart
    "single_object": (0.12, 0.06),
    "colors": (0.10, 0.0),
    "two_object": (0.16, 0.10),
    "counting": (0.18, 0.26),
    "position": (0.20, 0.20),
    "color_attr": (0.18, 0.16),
    "mixed": (0.06, 0.22),
}
PAIRS, QUESTIONS = 0, 1
QUESTIONS_EACH = 10  # about one image
QUESTIONS_IN_TEXT = 4


def _category(rng: np.random.Generator, use: int) -> str:
    edges = np.cumsum([shares[use] for shares in SHARES.values()])
    return list(SHARES)[int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))]


def _png(scene: Scene) -> bytes:
    buffer = io.BytesIO()
    # Grain has no repeats to look for: Huffman codes alone are twice as fast and hardly larger.
    Image.fromarray(render(scene)).save(buffer, "png", compress_level=1, compress_type=zlib.Z_HUFFMAN_ONLY)
    return buffer.getvalue()


def _document(parts: list[dict], images: list[Scene]) -> Sample:
    files = {"json": json.dumps({"parts": parts}, separators=(",", ":")).encode()}
    return files | {f"{i}.png": _png(scene) for i, scene in enumerate(images)}


def _pair(rng: np.random.Generator) -> Sample:
    return _captioned(rng, _category(rng, PAIRS))


def _crowd(rng: np.random.Generator) -> Sample:
    """Two to four free objects: from these a model learns that any shapes may stand together."""
    return _captioned(rng, "mixed")


def _captioned(rng: np.random.Generator, category: str) -> Sample:
    scene = sample_scene(rng, category)
    texts = {"txt": caption(scene, rng, category), "dense.txt": dense_caption(scene)}
    return {"png": _png(scene)} | {ending: text.encode() for ending, text in texts.items()}


def _questions(rng: np.random.Generator) -> Sample:
    scene = sample_scene(rng, _category(rng, QUESTIONS))
    branches = [
        [{"text": question.text, "learn": False}, {"text": question.answer, "learn": True}]
        for question in questions(scene, rng, QUESTIONS_EACH)
    ]
    return _document([{"see": "0.png"}, {"branches": branches}], [scene])


def _edit(rng: np.random.Generator) -> Sample:
    edit = sample_edit(rng)
    parts = [{"see": "0.png"}, {"text": edit.instruction, "learn": False}, {"draw": "1.png"}]
    return _document(parts, [edit.before, edit.after])


def _story(rng: np.random.Generator) -> Sample:
    story = sample_story(rng)
    parts: list[dict] = []
    for i, (text, _) in enumerate(story):
        parts += [{"text": text, "learn": i > 0}, {"draw": f"{i}.png"}]
    return _document(parts, [scene for _, scene in story])


def _text(rng: np.random.Generator) -> Sample:
    """A scene as text alone: its dense caption, then questions that the caption answers."""
    scene = sample_scene(rng, _category(rng, QUESTIONS))
    answered = questions(scene, rng, QUESTIONS_IN_TEXT)
    sentences = [f"{dense_caption(scene)} .", *(f"{item.text} {item.answer} ." for item in answered)]
    return _document([{"text": " ".join(sentences), "learn": True}], [])


SAMPLERS: dict[str, Callable[[np.random.Generator], Sample]] = {
    "pairs": _pair,
    "questions": _questions,
    "edits": _edit,
    "stories": _story,
    "text": _text,
    "crowds": _crowd,
}
