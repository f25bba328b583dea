"""Several processes share the drawing of a folder: none is drawn twice or left out, and the folder is the same."""

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from evals.drawing import make_missing
from evals.fidelity import command, tasks
from evals.geneval import images
from evals.geneval.exact_judge import playground_prompts
from evals.ranks import ALONE, Ranks
from tests.evals.fidelity.small_network import write_mjhq
from tests.evals.geneval.painter import Painter
from tests.evals.processes import contents, in_processes

RECORD = {"model": "abc", "seed": 2, "samples": 3, "cfg": 1.25, "temperature": 0.6, "top_k": 0, "top_p": 1.0}


def mjhq_options(folder: Path, real: Path) -> argparse.Namespace:
    given = {"model": Path("model"), "seed": 2, "cfg": None, "temperature": None, "limit": None, "batch": 2}
    return argparse.Namespace(images=folder, real=real, **given)


@pytest.fixture(params=["geneval", "mjhq"])
def draws_into(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Path], Callable[[Painter, Ranks], object]]:
    """What draws 18 images into a folder: GenEval's prompts, or MJHQ-30K's."""
    if request.param == "geneval":
        prompts = playground_prompts(1)
        return lambda folder: (
            lambda painter, ranks: list(images.draw_missing(painter, folder, prompts, RECORD, 2, ranks))
        )
    real = write_mjhq(tmp_path / "real", ("art", "food", "logo"), 6)
    monkeypatch.setattr(tasks, "sampling_of", lambda options: {})
    monkeypatch.setattr(tasks, "record_of", lambda options, **about: RECORD | about)

    def draw(folder: Path) -> Callable[[Painter, Ranks], object]:
        options = mjhq_options(folder, real)

        def run(painter: Painter, ranks: Ranks) -> object:
            monkeypatch.setattr(command, "load_model", lambda *_: painter)
            return command.make(tasks.mjhq_task(options), options, ranks)

        return run

    return draw


def test_two_processes_draw_what_one_does(
    draws_into: Callable[[Path], Callable[[Painter, Ranks], object]], tmp_path: Path
) -> None:
    alone = Painter()
    draws_into(tmp_path / "alone")(alone, ALONE)
    assert len(alone.seeds) == len(set(alone.seeds)) == 18
    (tmp_path / "notes").mkdir()
    first, second = in_processes(2, draws_into(tmp_path / "shared"), tmp_path / "notes")
    assert sorted(first + second) == sorted(alone.seeds) and len(first) == len(second) == 9
    assert contents(tmp_path / "shared") == contents(tmp_path / "alone")
    cut = Painter(7)  # one process is killed, two go on
    with pytest.raises(KeyboardInterrupt):
        draws_into(tmp_path / "cut")(cut, ALONE)
    rest = in_processes(2, draws_into(tmp_path / "cut"), tmp_path / "notes")
    assert sorted(cut.seeds + sum(rest, [])) == sorted(alone.seeds)
    assert contents(tmp_path / "cut") == contents(tmp_path / "alone")


def test_a_share_does_not_depend_on_what_is_there_already() -> None:
    shares = [Ranks(rank, 3).share(range(10)) for rank in range(3)]
    assert sorted(sum(shares, [])) == list(range(10)) and max(map(len, shares)) == 4
    assert list(make_missing(lambda _: pytest.fail("made"), Path("none"), [], 2)) == []
