"""A model answers lmms-eval's requests as it answers our own suite's, in any batch and in their order."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evals.lmms.answering import Answerer, load_answerer, resolve_device
from evals.lmms.requests import Request, StopCriteria
from judges.pixels import render_scenes
from models.document import See, Text
from models.unified import Illume
from worlds.playground.questions import evaluation_questions
from worlds.playground.render import render

ROOT = Path(__file__).resolve().parents[3]
TRAINED = ROOT / "pretrained" / "playground"
SHORT = StopCriteria(16, ())


def picture(shade: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(shade).integers(0, 256, (48, 48, 3), dtype=np.uint8))


def request(
    *content: str | Image.Image | dict, stop: StopCriteria = SHORT, task: str = "some_task"
) -> Request:
    kinds = {str: lambda text: {"type": "text", "text": text}, dict: lambda piece: piece}
    pieces = [kinds.get(type(x), lambda seen: {"type": "image", "url": seen})(x) for x in content]
    said = " ".join(x for x in content if isinstance(x, str))
    return Request(task, said, lambda: [{"role": "user", "content": pieces}], stop)


def answers(answerer: Answerer, requests: list[Request]) -> list[str]:
    found = {place: answer for some in answerer.answers(requests) for place, answer in some.items()}
    return [found[place] for place in range(len(requests))]


def test_the_playgrounds_questions_are_answered_as_in_our_own_suite():
    """A trained model, so that the answers are words that differ; fed as pictures, in another order and batch."""
    model, asked = Illume.from_pretrained(TRAINED), evaluation_questions(16, seed=3)
    requests = [request(Image.fromarray(render(scene)), question.text) for scene, question in asked]
    given = model.ask_batch(
        render_scenes([scene for scene, _ in asked]), [question.text for _, question in asked]
    )
    assert answers(Answerer(model, batch=5), requests) == given
    assert sum(a == q.answer for a, (_, q) in zip(given, asked, strict=True)) > 10


def test_a_batch_answers_as_each_alone(tiny_illume: Illume):
    """Of several lengths, endings and numbers of images; two ask about one image."""
    torch.nn.init.normal_(tiny_illume.language.text_head, std=1.0)
    one = picture(1)
    requests = [
        request(one, "what colour is it ?"),
        request("first", picture(2), "then", picture(3), "which is red ? " * 9),
        request("no image at all"),
        request(one, "is it a star ?", stop=StopCriteria(3, ())),
        request(one, "and is it blue ?"),
        request(picture(4), "what ? " * 60),
    ]
    alone = [answers(Answerer(tiny_illume), [one])[0] for one in requests]
    assert answers(Answerer(tiny_illume, batch=4), requests) == alone
    assert len(set(alone)) > 3 and len(alone[3]) < len(alone[4])


def test_what_ends_an_answer_is_cut_away(tiny_illume: Illume):
    whole = answers(Answerer(tiny_illume), [request(picture(1), "what is it ?")])[0]
    middle = whole[len(whole) // 2 :][:4]
    cut = answers(
        Answerer(tiny_illume), [request(picture(1), "what is it ?", stop=StopCriteria(16, (middle,)))]
    )
    assert cut == [whole[: whole.index(middle)].strip()] != [whole]


def test_a_question_too_long_for_the_context_is_answered_with_nothing(
    tiny_illume: Illume, caplog: pytest.LogCaptureFixture
):
    requests = [request(picture(1), "what colour is the star ?"), request(picture(2), "why ? " * 400)]
    with caplog.at_level(logging.WARNING):
        first, second = answers(Answerer(tiny_illume, batch=2), requests)
    assert first and second == ""
    assert "1 of 2 questions are longer than the model's context of 384 tokens" in caplog.text


def test_no_answer_passes_the_end_of_the_context(tiny_illume: Illume):
    text = "why ? " * 40
    room = 384 - len(tiny_illume.sequencer.segment([See(), Text(text)], ask=True))
    limits = (400, room, room // 2)
    asked = [request(picture(1), text, stop=StopCriteria(limit, ())) for limit in limits]
    endless, whole, half = answers(Answerer(tiny_illume), asked)
    assert endless == whole and whole.startswith(half) and len(half) < len(whole)


def test_a_task_that_shows_video_is_refused_before_anything_is_answered(tiny_illume: Illume):
    requests = [
        request(picture(1), "what is it ?"),
        request({"type": "video", "url": "a.mp4"}, task="mvbench"),
    ]
    with pytest.raises(ValueError, match="task mvbench: it shows a video, and this model takes images"):
        next(Answerer(tiny_illume).answers(requests))


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"pretrained": None}, "which model\\? give its folder: --model_args pretrained=DIR"),
        ({"pretrained": "no/such"}, "no/such is not a model folder: there is no illume.json in it"),
        ({"batch_size": "auto"}, "--batch_size auto: give a whole number from 1"),
        ({"batch_size": 0}, "--batch_size 0: give a whole number from 1"),
        ({"fit": "stretch"}, "--model_args fit 'stretch' is not known: there is crop, pad"),
        (
            {"unknown": {"pretraind": "x"}},
            "--model_args 'pretraind' is not known: did you mean pretrained\\?",
        ),
        ({"device": "warp"}, "--device warp is no device: give cuda, cuda:1 or cpu"),
    ],
)
def test_wrong_arguments_are_one_line(given: dict, line: str):
    usual = {"pretrained": str(TRAINED), "device": "cpu", "batch_size": 1, "fit": "pad", "unknown": {}}
    with pytest.raises((ValueError, FileNotFoundError), match=f"^{line}$"):
        load_answerer(**usual | given)


def test_a_model_that_cannot_write_is_refused(tmp_path: Path):
    (tmp_path / "illume.json").write_text(json.dumps({"components": {}}))
    with pytest.raises(ValueError, match="cannot answer: it has no encoder and no language"):
        load_answerer(str(tmp_path), "cpu", 1, "pad", {})


def test_a_process_has_its_own_device(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("xpu") == torch.device("xpu:2") and resolve_device("xpu:1") == torch.device("xpu:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device(None) == torch.device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device(None) == torch.device("cpu")
    with pytest.raises(ValueError, match="--device cuda: this machine has no CUDA device"):
        resolve_device("cuda")
