"""Dialogues as samples."""

from judges.assessment import from_text
from judges.judge import Unjudged
from models.document import Text
from self_enhancement.round import Round
from self_enhancement.settings import RoundSettings
from tests.self_enhancement.rounds import Drawer, LevelJudge, documents


def test_texts_are_shortened_to_fit_into_a_row_and_counted(tmp_path, pairs):
    class Wordy(LevelJudge):
        def assess(self, prompts, images):
            said = super().assess(prompts, images)
            long = {"rationale": " ".join(f"word{i}" for i in range(200))}
            return [o if isinstance(o, Unjudged) else o.model_copy(update=long) for o in said]

    def length(document):
        return 10 + sum(len(part.text.split()) for part in document if isinstance(part, Text))

    found = {}
    for row in (None, 400, 150, 20):
        one = Round(tmp_path / f"round-{row}", RoundSettings(pairs, count=16))
        one.start("weights", "level")
        one.draw(Drawer())
        one.judge(Wordy())
        summary = one.write() if row is None else one.write(length, row)
        said = [document for document, _ in documents(one)] if summary["dialogues"] else []
        words = [len(from_text(document[2].text).rationale.split()) for document in said]
        assert row is None or all(length(document) <= row for document in said)
        found[row] = summary, words
    judged = found[None][0]["dialogues"]
    assert judged > 5
    for row in (None, 400):  # no letter is lost where there is room
        assert found[row][1] == [200] * judged
        assert found[row][0]["shortened"] == found[row][0]["left_out"] == 0
    summary, words = found[150]
    assert summary["shortened"] == judged == len(words) and all(40 < count < 200 for count in words)
    assert found[20][0]["left_out"] == judged and found[20][0]["dialogues"] == 0
