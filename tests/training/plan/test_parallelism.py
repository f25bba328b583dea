"""Trainer settings that a plan cannot follow are one line."""

import pytest

from tests.tiny import error_of

STAGE = ("--config", "stage2.yaml", "--plan")


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        ((*STAGE, "--trainer.strategy", "fsdp2"), "Muon wants whole matrices"),
        ((*STAGE, "--trainer.strategy", "deepspeed"), "trainer.strategy is deepspeed"),
        ((*STAGE, "--trainer.max_steps=-1"), "no end to plan for"),
        (
            ("--config", "tokenizer.yaml", "--plan", "--trainer.strategy", "fsdp2"),
            "TokenizerModule trains whole: give ddp",
        ),
    ],
)
def test_what_cannot_be_planned_is_one_line(argv, line, capsys):
    assert line in error_of(capsys, *argv)
