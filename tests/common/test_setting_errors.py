"""A wrong setting is one line that names it in full, wherever jsonargparse finds it."""

from argparse import ArgumentError
from dataclasses import dataclass

import pytest
from jsonargparse import ArgumentParser

from common.setting_errors import describe, setting_errors


@dataclass
class Slices:
    size: int = 3
    most: int | str = 4


class Stage:
    def __init__(
        self, lr: float = 0.1, slices: Slices | None = None, sources: dict[str, Slices] | None = None
    ):
        if lr < 0:
            raise ValueError("lr is negative")


def parse(*arguments: str) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--model", type=Stage | None)
    with setting_errors():
        parser.instantiate(parser.parse_args(["--model", f"{__name__}.Stage", *arguments]))


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("--model.lrr=1", "model has no setting 'lrr': did you mean lr?"),
        ("--model.lr=fast", "model.lr must be float, not fast"),
        ("--model.slices.sise=2", "model.slices has no setting 'sise': did you mean size?"),
        ("--model.slices={sise: 2}", "model.slices has no setting 'sise': did you mean size?"),
        ("--model.slices={size: big}", "model.slices.size must be int, not big"),
        ("--model.sources={a: {mots: 2}}", "model.sources has no setting 'mots': did you mean most?"),
        ("--model.lr=-1", "lr is negative"),
    ],
)
def test_a_wrong_setting_is_named_in_full(argument: str, line: str) -> None:
    with pytest.raises(ValueError) as error:
        parse(argument)
    assert str(error.value) == line


def test_a_report_of_another_shape_stays_in_one_line() -> None:
    assert describe("something is\nwrong") == "something is wrong"
    with pytest.raises(ValueError, match="^nothing to see$"), setting_errors():
        raise ArgumentError(None, "nothing to see")
