"""GenEval from the command line: real classes from disk, the playground's judge, and errors of users."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evals.geneval.benchmark import GenEvalBenchmark, Scorer
from evals.geneval.exact_judge import RULES, ExactJudge
from evals.geneval.mask2former import Mask2FormerDetector
from evals.playground.geneval import draw_and_judge, geneval_scores
from evals.ranks import ALONE
from evals.settings import GenEvalSettings
from models.unified import Illume
from tests.evals.command_line import error_of, record_calls, run, run_interrupted
from tests.evals.geneval.tiny_networks import save_clip, save_mask2former, save_owlv2
from tests.evals.painter import RECORD, Painter
from tests.evals.playground.oracle import Oracle

LINES = [
    {"tag": "single_object", "include": [{"class": "cow", "count": 1}], "prompt": "a photo of a cow"},
    {"tag": "colors", "include": [{"class": "cow", "count": 1, "color": "blue"}], "prompt": "a photo of a blue cow"},
    {"tag": "two_object", "include": [{"class": "cow", "count": 1}, {"class": "tv remote", "count": 1}], "prompt": "a"},
    {
        "tag": "counting",
        "include": [{"class": "cat", "count": 2}],
        "exclude": [{"class": "cat", "count": 3}],
        "prompt": "b",
    },
]  # fmt: skip
SIZE = ["--seeds", "2"]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of a detector that sees cows everywhere, an open-vocabulary one, one that knows no cow, and CLIP."""
    base = tmp_path_factory.mktemp("networks")
    save_mask2former(base / "m")
    save_mask2former(base / "cats", ["cat", "remote"], "cat")
    save_owlv2(base / "o")
    save_clip(base / "c")
    return base


@pytest.fixture
def place(tmp_path: Path, networks: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with prompts, networks, and images of the prompts by somebody else."""
    monkeypatch.chdir(tmp_path)
    Path("prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    for name in ("m", "cats", "o", "c"):
        (tmp_path / name).symlink_to(networks / name)
    rng = np.random.default_rng(0)
    for i, line in enumerate(LINES):
        samples = tmp_path / f"images/{i:05d}/samples"
        samples.mkdir(parents=True)
        (samples.parent / "metadata.jsonl").write_text(json.dumps(line))
        for j in range(2):
            Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(samples / f"{j:04d}.png")
    return tmp_path


OPTIONS = ["--images", "images", "--detector", "m", "--clip", "c", *SIZE]
SCORE = ["--suite", "geneval", *OPTIONS]
PLAYGROUND = ["--suite", "geneval", "--prompts", "playground", "--detector", "playground"]


def results_of(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path("images") / report["results"]).read_text().splitlines()]


def test_images_are_scored_without_a_model(place: Path) -> None:
    report = run(*SCORE, "--prompts", "prompts.jsonl")
    assert (
        report["geneval/single_object"] == 1 and report["geneval/two_object"] == 0
    )  # cows everywhere, nothing else
    assert report["geneval/counting"] == 0 and report["samples"] == 8 and report["suite"] == "geneval"
    tags = [report[f"geneval/{line['tag']}"] for line in LINES]
    assert report["geneval/overall"] == pytest.approx(sum(tags) / 4)
    assert report["geneval/overall/low"] < report["geneval/overall"] < report["geneval/overall/high"]
    assert report["detector"].startswith("m (") and report["clip"].startswith("c (")
    assert report["seed"] is None and {"seconds", "version", "threshold"} <= report.keys()
    rows = results_of(report)
    official = {"filename", "tag", "prompt", "correct", "reason", "metadata", "details"}
    assert len(rows) == 8 and all(official <= row.keys() for row in rows)
    assert rows[4]["reason"] == "expected tv remote>=1, found 0" and rows[0]["reason"] == ""
    assert rows[6]["reason"] == "expected cat>=2, found 0" and json.loads(rows[6]["metadata"]) == LINES[3]
    assert json.loads(rows[0]["details"])["cow"][0][4] > 0.3
    assert run(*SCORE) == report  # its prompts are in the folder, too


def recorded_images(patch: pytest.MonkeyPatch, limit: int = 10**9) -> list[Image.Image]:
    """Every image that the detector is given from now on; after so many, Ctrl-C."""
    return record_calls(patch, Mask2FormerDetector, "detect", lambda image, threshold: [image], limit)


def test_scoring_goes_on_where_it_was_killed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree("images", "other")
    whole = run(*SCORE, "--images", "other")
    with monkeypatch.context() as patch:
        first = recorded_images(patch, limit=3)
        run_interrupted(*SCORE)
        assert len(first) == 3
    (results,) = Path("images").glob("results-*.jsonl")
    results.write_bytes(results.read_bytes()[:-40])  # and the last line was not written whole
    with monkeypatch.context() as patch:
        second = recorded_images(patch)
        assert run(*SCORE) == whole
    assert len(second) == 8 - 2
    assert results.read_bytes() == (Path("other") / whole["results"]).read_bytes()


def test_only_what_is_stale_is_scored_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(*SCORE)
    scored = recorded_images(monkeypatch)
    run(*SCORE)
    assert len(scored) == 0
    Image.new("RGB", (48, 40)).save("images/00001/samples/0001.png")
    report = run(*SCORE)
    assert len(scored) == 1 and len(results_of(report)) == 8
    stricter = run(*SCORE, "--threshold", "0.9")
    assert len(scored) == 9 and stricter["results"] != report["results"]
    assert stricter["geneval/single_object"] == 0 and report["geneval/single_object"] == 1
    run(*SCORE)
    assert len(scored) == 9  # both are kept


def test_a_model_draws_what_is_missing_and_is_scored(
    place: Path, tiny_illume: Illume, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_illume.save_pretrained("model")
    words = [*SCORE, "--model", "model", "--prompts", "prompts.jsonl", "--images", "new", "--seed", "3"]
    with monkeypatch.context() as patch:
        first = record_calls(patch, Illume, "draw_batch", lambda prompts, seeds, _: seeds, limit=4)
        run_interrupted(*words, "--batch", "4")
    with monkeypatch.context() as patch:
        second = record_calls(patch, Illume, "draw_batch", lambda prompts, seeds, _: seeds)
        report = run(*words, "--batch", "4")
    assert len(first) == 4 and sorted(first + second) == [3_000_009 + i for i in range(8)]
    assert report["seed"] == 3 and report["samples"] == 8 and report["cfg"] == 1.25 and report["model"]
    assert run(*words, "--images", "whole", "--batch", "4") == report
    alone = ["--suite", "geneval", "--images", "new", "--detector", "m", "--clip", "c"]
    assert run(*alone) == report  # the folder's record has the number of samples, and the seed


def playground(folder: Path, per_category: int, batch: int = 100) -> GenEvalBenchmark:
    names = {"prompts": "playground", "detector": "playground"}
    settings = GenEvalSettings(**names, per_category=per_category, seeds=2, batch=batch)
    return GenEvalBenchmark(settings, folder)


def test_the_playground_scores_the_same_through_genevals_rules(tmp_path: Path) -> None:
    for shift in (0, 7):  # drawings that are right, and those of other prompts
        direct = geneval_scores(draw_and_judge(Oracle(0, shift), 8, 2))
        benchmark = playground(tmp_path / str(shift), 8)
        benchmark.fill(Oracle(0, shift), RECORD, ALONE)
        report = benchmark.score(benchmark.load_scorer("cpu"))
        assert {name: report[name] for name in direct} == pytest.approx(direct)
        assert (direct["geneval/overall"] == 1) == (shift == 0)


def test_the_playground_from_the_command_line(
    tmp_path: Path, tiny_illume: Illume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_illume.save_pretrained("model")
    report = run(*PLAYGROUND, "--model", "model", "--images", "i", "--per-category", "1", "--seeds", "1")
    assert report["samples"] == 6 and report["detector"].startswith("playground") and report["lead"] > 0.8


def test_a_limit_takes_the_tasks_in_turn(
    tmp_path: Path, tiny_illume: Illume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A set of its own: numbered from 0, as the official scorer reads it, and scored again by the folder alone."""
    monkeypatch.chdir(tmp_path)
    tiny_illume.save_pretrained("model")
    lines = [{**LINES[0], "prompt": str(i)} for i in range(5)] + [LINES[3]]
    Path("prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    save_mask2former(tmp_path / "m")
    score = ["--suite", "geneval", "--images", "i", "--detector", "m"]
    words = [*score, "--model", "model", "--prompts", "prompts.jsonl", "--seeds", "1"]
    report = run(*words, "--limit", "3")
    assert report["samples"] == report["prompts"] == 3
    kept = [json.loads(path.read_text()) for path in sorted(Path("i").glob("*/metadata.jsonl"))]
    assert kept == [*lines[:2], LINES[3]]
    assert run(*score)["results"] == report["results"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*SCORE, "--prompts", "none.jsonl"], "no prompt file none.jsonl"),
        ([*SCORE, "--images", "none"], "no folder of images none"),
        ([*SCORE, "--seeds", "3"], "lacks 4 of 12 images, the first is 00000/samples/0002: "),
        ([*SCORE, "--seeds", "1"], "one image too many"),
        ([*SCORE, "--model", "x", "--prompts", "prompts.jsonl"], "x is not a model folder"),
        ([*SCORE, "--detector", "no/such/one"], "--detector no/such/one: there is no such"),
        ([*SCORE, "--detector", "c"], "is a clip: give one of mask2former"),
        ([*SCORE, "--detector", "cats"], "cats does not know cow"),
        ([*SCORE, "--detector", "o"], "not for owlv2: give --threshold"),
        ([*SCORE, "--clip", "none"], "--clip none: there is no such folder"),
        ([*SCORE, "--clip", "m"], "--clip m is a mask2former: give a CLIP"),
        ([*SCORE, "--threshold", "2"], "threshold 2.0 is out of range"),
        ([*SCORE[:6], *SIZE], "--clip is missing: 'a photo of a blue cow' asks for a colour"),
    ],
)  # fmt: skip
def test_errors_of_users_are_one_line_before_any_work(
    place: Path,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scored = recorded_images(monkeypatch)
    assert message in error_of(capsys, *words)
    assert not scored and not list(place.glob("**/results-*"))


def test_images_of_somebody_else_are_not_drawn_over(
    place: Path, tiny_illume: Illume, capsys: pytest.CaptureFixture
) -> None:
    tiny_illume.save_pretrained("model")
    words = [*SCORE, "--model", "model", "--prompts", "prompts.jsonl"]
    assert "leave out --model" in error_of(capsys, *words)
    Path("images/00003/samples/0001.png").unlink()
    assert "leave out --model" in error_of(capsys, *words)


def test_an_image_that_cannot_be_read(place: Path, capsys: pytest.CaptureFixture) -> None:
    path = Path("images/00002/samples/0000.png")
    path.write_bytes(path.read_bytes()[:200])
    assert "00002/samples/0000.png is no image that can be read" in error_of(capsys, *SCORE)


def test_another_detector_with_thresholds_of_its_own(place: Path) -> None:
    own = ["--threshold", "0.1", "--counting-threshold", "0.1", "--overlap", "0.5"]
    report = run(*SCORE, "--detector", "o", *own)
    assert report["detector"].startswith("o (") and report["overlap"] == 0.5


def test_drawing_and_scoring_resume_to_the_same_report(tmp_path: Path) -> None:
    """Each cut off once, against once without a cut."""
    cut, whole = (playground(tmp_path / name, 1, batch=2) for name in ("cut", "whole"))
    with pytest.raises(KeyboardInterrupt):
        cut.fill(Painter(5), RECORD, ALONE)
    for benchmark in (cut, whole):
        benchmark.fill(Painter(), RECORD, ALONE)

    class CornerJudge(ExactJudge):
        """Judges a corner of 16 pixels as if it were an image; interrupted after so many."""

        def __init__(self, limit: int = 10**9) -> None:
            self.limit = limit

        def detect(self, image: Image.Image, threshold: float = 0.0) -> list[Any]:
            if not self.limit:
                raise KeyboardInterrupt
            self.limit -= 1
            return super().detect(image.resize((48, 48)))

    def score(benchmark: GenEvalBenchmark, judge: CornerJudge) -> dict[str, Any]:
        return benchmark.score(Scorer(judge, judge, RULES))

    with pytest.raises(KeyboardInterrupt):
        score(cut, CornerJudge(7))
    second = CornerJudge(5)
    assert score(cut, second) == score(whole, CornerJudge()) and second.limit == 0
