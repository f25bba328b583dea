"""A turn is answered with the model's own settings, and an edit is guided away from the image in view."""

from typing import Any

import pytest
import torch

from models.generation import SamplingConfig
from models.sampling_options import NAMES
from tests.fixtures import make_tiny_illume
from tests.models.test_generation import asked


def test_chat_samples_and_guides_as_its_settings_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_tiny_illume()
    model.generation = model.generation.override({"chat": {"cfg": 2.0, "top_k": 9}})
    begin = model.language.vocabulary.special("begin_image")
    monkeypatch.setattr("models.conversation.generate_tokens", lambda *_: iter([torch.tensor([begin])]))
    nulls, seen = [], asked(model, monkeypatch)
    whole = model.draw_documents

    def draw_documents(documents: list, null: list, *rest: Any) -> torch.Tensor:
        nulls.append(null[0])
        return whole(documents, null, *rest)

    monkeypatch.setattr(model, "draw_documents", draw_documents)
    image = torch.zeros(3, 48, 48, dtype=torch.uint8)
    for said in (["draw"], [image, "make it red"]):
        next(part for part in model.stream_chat(said) if not isinstance(part, str))
    assert seen == [SamplingConfig(2.0, 0.7, 9, 1.0)] * 2 and len(NAMES) == 4
    assert nulls[0][0].text == model.prompts.draw_null and nulls[1][1].text == model.prompts.reconstruct
