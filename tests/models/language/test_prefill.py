"""Prefill: each distinct prompt and image once, and the same hidden states as a plain forward pass."""

import pytest
import torch

from models.document import Draw, See, Text, draw_document, edit_document
from models.generation import SamplingConfig
from models.language.prefill import Prefill
from models.sequence import collate
from models.unified import Illume


@pytest.fixture
def rows(monkeypatch):
    """How many rows each run of several tokens had."""
    rows, append = [], Prefill._append
    monkeypatch.setattr(Prefill, "_append", lambda self, own: rows.append(len(own)) or append(self, own))
    return rows


def test_each_distinct_prompt_is_run_once(illume, rows):
    illume.draw_batch(["red", "blue", "red", "red"], [1, 2, 3, 4], SamplingConfig(cfg=2.0))
    assert rows == [3]  # two prompts, and one null of all
    illume.draw_batch(["red"] * 4, [1, 2, 3, 4], SamplingConfig(cfg=1.0))
    assert rows == [3, 1]


def test_prompts_about_different_images_are_different(illume, images, rows):
    prompts = illume.encode_prompts([edit_document(image, "make it red") for image in images[:3]])
    with torch.no_grad():
        different = Prefill(illume.language, prompts)
        same = Prefill(illume.language, [prompts[0]] * 3)
    assert rows == [3, 1] and len(different.last) == len(same.last) == 3
    assert torch.equal(same.last[0], same.last[2]) and not torch.equal(different.last[0], different.last[2])
    assert torch.allclose(same.last[0], different.last[0], atol=1e-4)


def test_questions_about_one_image_run_it_once(illume, images, rows, monkeypatch):
    questions = [
        (0, "which"),
        (1, "a red circle and a blue square"),
        (0, "is it red"),
        (0, "a circle"),
        (1, "which"),
    ]
    seen = list(images)
    together = [[See(seen[i]), Text(text)] for i, text in questions]
    encoded, see = [], Illume.see
    monkeypatch.setattr(Illume, "see", lambda self, x: encoded.append(len(x)) or see(self, x))
    answers = illume.understand(together, limit=12)
    assert encoded == [2] and rows == [2, 5]  # both images, then all questions
    alone = [illume.understand([[See(images[i].clone()), Text(text)]], limit=12)[0] for i, text in questions]
    assert answers == alone and len(set(alone)) > 1
    assert encoded == [2] + [1] * 5 and rows == [2, 5] + [1] * 5


def test_prompts_that_end_in_an_image_or_hold_two_are_run_whole(illume, images, rows):
    image = images[0]
    for documents in ([[See(image)]] * 2, [[See(image), See(image), Text("which")]] * 2):
        first, second = illume.understand(documents, limit=5)
        assert first == second == illume.understand(documents[:1], limit=5)[0]
    assert rows == [1] * 4


def test_steps_agree_with_a_plain_forward_pass(illume, images):
    segment = illume.sequencer.segment(draw_document("a red circle", images[0]))
    prompt = illume.sequencer.segment(draw_document("a red circle"))
    codes = illume.encode(images[:1])
    batch = collate([segment], [[0]], len(segment), 0)
    with torch.no_grad():
        ids = illume.language.with_codes(batch, codes)
        plain = illume.language.hidden(batch, ids, torch.zeros(0, 36, 32))[0]
        prefill = Prefill(illume.language, [prompt])
        cached = [prefill.last]
        for position, code in enumerate(codes[0]):
            cached.append(prefill.step(illume.language.embed_codes(code[None], position)))
    start = len(prompt) - 1
    assert torch.allclose(torch.cat(cached), plain[start : start + 37], atol=1e-4)


def test_a_drawn_image_stands_in_the_prompt_as_its_codes(illume, images):
    (prompt,) = illume.encode_prompts([[Text("draw"), Draw(images[0]), Text("which one")]], ask=True)
    batch = collate([prompt], [[0]], len(prompt), 0)
    with torch.no_grad():
        ids = illume.language.with_codes(batch, illume.encode(images[:1]))
        plain = illume.language.hidden(batch, ids, torch.zeros(0, 36, 32))[0, -1]
        cached = Prefill(illume.language, [prompt]).last[0]
    assert prompt.ids == ids[0].tolist() and torch.allclose(plain, cached, atol=1e-4)
