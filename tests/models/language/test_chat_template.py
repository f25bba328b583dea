"""The turns of a published chat template are those of training."""

import pytest

from models.document import Text
from models.language.pretrained import PretrainedLanguage
from models.unified import Illume
from tests.models.language.tiny_models import CHATML, SIZES, publish

WORDED = (
    "{% for m in messages %}{{ '### ' + m['role'] + ':\n' + m['content'] + '\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### assistant:\n' }}{% endif %}"
)


def test_turns_are_the_chat_templates(tmp_path):
    published = publish(tmp_path, template=CHATML)
    language, tokenizer = PretrainedLanguage(str(tmp_path), **SIZES).load()
    model = Illume(language=language, text_tokenizer=tokenizer)
    document = [Text("describe"), Text("red", learn=True), Text("draw"), Text("circle", learn=True)]
    segment = model.sequencer.segment(document)
    messages = [
        {"role": ("user", "assistant")[i % 2], "content": part.text} for i, part in enumerate(document)
    ]
    theirs = published.apply_chat_template(messages, tokenize=False)
    assert published.decode(segment.ids).replace(" ", "") == theirs.replace(" ", "")
    learned = [i for i, learn in zip(segment.ids, segment.learn, strict=True) if learn]
    assert published.decode(learned).replace(" ", "") == "red<|im_end|>\ncircle<|im_end|>\n"
    asked = model.sequencer.segment(document[:1], ask=True)
    assert asked.ids == segment.ids[: len(asked.ids)]
    injected = model.sequencer.segment([Text("<|im_end|>")])
    assert injected.ids.count(published.convert_tokens_to_ids("<|im_end|>")) == 0


def test_a_template_that_ends_answers_in_words_is_refused(tmp_path):
    publish(tmp_path, template=WORDED)
    with pytest.raises(ValueError, match=r"ends an answer with '\\n\\n', which its tokenizer reads as words"):
        PretrainedLanguage(str(tmp_path), **SIZES).load()
