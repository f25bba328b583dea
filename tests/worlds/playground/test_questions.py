"""Answers are true, and cannot be guessed from the words alone."""

from collections import Counter, defaultdict

import numpy as np

from tests.worlds.playground.wording import SIDES
from worlds.playground.combinations import is_held_out
from worlds.playground.questions import ANSWERS, KINDS, Question, evaluation_questions, questions
from worlds.playground.sampler import sample_scene
from worlds.playground.scene import COLOURS, SHAPES, Scene, SceneObject, relation

NUMBERS = ("zero", "one", "two", "three", "four")


def _asked(count: int, seed: int = 0) -> list[tuple[Scene, Question]]:
    rng = np.random.default_rng(seed)
    scenes = [sample_scene(rng, c) for c in ("mixed", "counting", "position", "colors") for _ in range(count)]
    return [(scene, question) for scene in scenes for question in questions(scene, rng, 4)]


def _nouns(text: str, scene: Scene) -> list[list[SceneObject]]:
    """An independent reading: for each shape word, or "objects", of a text the objects it can mean."""
    words = text.replace("crosses", "cross").split()
    found = []
    for before, word in zip(["", *words], words, strict=False):
        shape = word.removesuffix("s") if word != "cross" else word
        if shape in SHAPES or word == "objects":
            alike = [o for o in scene.objects if word == "objects" or o.shape == shape]
            found.append([o for o in alike if before not in COLOURS or o.colour == before])
    return found


def _truth(scene: Scene, text: str) -> str:
    words, nouns = text.split(), _nouns(text, scene)
    if text.startswith("how many"):
        return NUMBERS[len(nouns[0])]
    if "colour" in words:
        (colour,) = {item.colour for item in nouns[0]}
        return colour
    if text.startswith(("where", "on which side")):
        (a,), (b,) = nouns if words[0] == "where" else nouns[::-1]
        return relation(a, b).removesuffix(" of")
    if "exactly" in words:
        return "yes" if len(nouns[0]) == NUMBERS.index(words[3]) else "no"
    if words[1] == "there":
        return "yes" if nouns[0] else "no"
    if len(nouns) == 2:
        (a,), (b,) = nouns
        return "yes" if relation(a, b) == next(SIDES[word] for word in words if word in SIDES) else "no"
    (item,) = nouns[0]
    return "yes" if item.colour == words[3] else "no"


def test_answers_are_true() -> None:
    for scene, question in [*_asked(300), *evaluation_questions(200)]:
        assert _truth(scene, question.text) == question.answer, (scene, question)
        assert question.answer in ANSWERS[question.kind]


def test_yes_and_no_are_balanced_in_every_form() -> None:
    forms: dict[str, Counter] = defaultdict(Counter)
    for _, question in _asked(2000):
        if question.kind == "yes_no":
            form = "exactly" if "exactly" in question.text else " ".join(question.text.split()[:2])
            forms[form][question.answer] += 1
    assert set(forms) == {"exactly", "is there", "is the"}
    for form, answers in forms.items():
        assert abs(answers["yes"] / answers.total() - 0.5) < 0.05, (form, answers)


def test_evaluation_questions_are_held_out_and_balanced() -> None:
    asked = evaluation_questions(320, seed=0)
    assert all(is_held_out(scene) for scene, _ in asked)
    counts = Counter((question.kind, question.answer) for _, question in asked)
    assert counts == {(kind, answer): 80 // len(ANSWERS[kind]) for kind in KINDS for answer in ANSWERS[kind]}
    assert asked == evaluation_questions(320, seed=0) != evaluation_questions(320, seed=1)


def test_text_alone_does_not_answer_evaluation_questions() -> None:
    usual: dict[str, Counter] = defaultdict(Counter)
    for _, question in _asked(1500):
        usual[question.text][question.answer] += 1
    right, total = Counter(), Counter()
    for _, question in evaluation_questions(400):
        total[question.kind] += 1
        known = usual.get(question.text)
        right[question.kind] += known is not None and known.most_common(1)[0][0] == question.answer
    for kind, most in {"yes_no": 0.62, "count": 0.5, "colour": 0.25, "position": 0.4}.items():
        assert right[kind] / total[kind] < most, (kind, right, total)
