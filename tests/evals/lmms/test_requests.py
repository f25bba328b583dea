"""Where answers end, and which questions are answered together."""

import pytest

from evals.lmms.requests import DEFAULT_TOKENS, Request, StopCriteria, batches

SHORT, LONG = StopCriteria(8, ()), StopCriteria(64, ())


def asked(words: str, stop: StopCriteria = SHORT) -> Request:
    return Request("some_task", words, list, stop)


def test_the_settings_of_a_task_say_where_an_answer_ends():
    assert StopCriteria.of({}, "a") == StopCriteria(DEFAULT_TOKENS, ())
    assert StopCriteria.of({"until": "\n\n", "max_new_tokens": 16}, "a") == StopCriteria(16, ("\n\n",))
    usual = {
        "until": ["ASSISTANT:", ""],
        "temperature": 0.2,
        "do_sample": False,
        "num_beams": 1,
        "top_p": 1.0,
    }
    assert StopCriteria.of(usual | {"image_aspect_ratio": "original"}, "a") == StopCriteria(
        DEFAULT_TOKENS, ("ASSISTANT:",)
    )
    assert StopCriteria.of({"do_sample": True, "temperature": 0.0}, "a") == StopCriteria(DEFAULT_TOKENS, ())


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"do_sample": True, "temperature": 0.7}, "task vqa asks for sampling at temperature 0.7, .* greedy"),
        ({"do_sample": True}, "sampling at temperature 1,"),
        (
            {"num_beams": 5},
            "task vqa asks for num_beams 5, .*: give --gen_kwargs do_sample=False,num_beams=1",
        ),
        ({"max_new_tokens": -1}, "task vqa asks for answers of -1 tokens"),
    ],
)
def test_what_is_not_greedy_is_refused(settings: dict, line: str):
    with pytest.raises(ValueError, match=line):
        StopCriteria.of(settings, "vqa")


def test_an_answer_is_cut_before_the_first_string_that_ends_it():
    ending = StopCriteria(8, ("ASSISTANT:", "\n\n"))
    assert ending.truncate("red \n\nbecause ASSISTANT: it is") == "red"
    assert ending.truncate("a red ASSISTANT:\n\n") == "a red"
    assert ending.truncate("red \n circle") == "red \n circle"


def test_batches_hold_every_request_once_and_one_ending_each():
    requests = [asked("x" * (i * 37 % 900), LONG if i % 3 else SHORT) for i in range(50)]
    made = list(batches(requests, 4))
    assert sorted(place for places in made for place in places) == list(range(50))
    assert all(len(places) <= 4 and len({requests[p].stop for p in places}) == 1 for places in made)


def test_long_questions_come_first_and_neighbours_stay_together():
    requests = [asked("x" * length) for length in (10, 2060, 30, 20, 2050, 12)]
    assert list(batches(requests, 2)) == [[1, 4], [0, 2], [3, 5]]
