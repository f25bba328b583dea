"""The benchmark of answering and its peer."""

from benchmarks import answering
from models.language.text_generation import generate_text


def test_answers_of_both_sides_are_the_same_and_of_different_lengths():
    model = answering.our_model((128, 3, 256))
    prompts = answering.questions(model)
    ours = generate_text(model, prompts, answering.LIMIT)
    assert ours == answering.generate_answer(model, prompts)()
    assert len({len(answer) for answer in ours}) > 3 and len({len(p) for p in prompts}) > 3
