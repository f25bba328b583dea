"""Sampling options of command lines."""

import argparse

import pytest

from models.generation import SamplingConfig
from models.sampling_options import add_sampling, given_sampling


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_sampling(parser)
    add_sampling(parser, "edits", "edit-")
    return parser.parse_args(words)


def test_what_is_given_is_a_config_and_the_rest_the_models() -> None:
    options = parse("--cfg", "2", "--edit-top-k", "5")
    assert given_sampling(options) == SamplingConfig(cfg=2.0)
    assert given_sampling(options, "edit_") == SamplingConfig(top_k=5)
    assert given_sampling(parse()) == SamplingConfig() and not given_sampling(parse()).given


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--cfg", "x"), "'x' is not a number: from 0 to 100"),
        (("--top-k", "1.5"), "'1.5' is not a whole number"),
        (("--top-p", "0"), "0 is out of range: above 0"),
        (("--edit-temperature", "nan"), "nan is out of range"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(words: tuple[str, str], message: str) -> None:
    with pytest.raises(argparse.ArgumentError, match=message) as error:
        parse(*words)
    assert words[0] in str(error.value)
