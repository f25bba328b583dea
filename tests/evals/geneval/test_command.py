"""The whole path from the command line: real classes from disk, the playground's judge, and what a user gets wrong."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from evals.__main__ import main
from evals.geneval import exact_judge, suite
from evals.geneval.mask2former import Mask2FormerDetector
from evals.playground.geneval import draw_and_judge, geneval_scores
from models.unified import Illume
from tests.evals.geneval.painter import Painter
from tests.evals.geneval.tiny_networks import save_clip, save_mask2former, save_owlv2
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
    """Folders of a detector that sees cows everywhere, one that is told in words, one that knows no cow, and CLIP."""
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


def run(*words: str) -> dict[str, Any]:
    main(["--suite", "geneval", "--out", "r.json", *words])
    return json.loads(Path("r.json").read_text())


def error_of(capsys: pytest.CaptureFixture, *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["--out", "r.json", *words])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert not Path("r.json").exists()
    return line


SCORE = ["--images", "images", "--detector", "m", "--clip", "c", *SIZE]


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
    again = run(*SCORE)  # its prompts are in the folder, too
    assert {**again, "seconds": 0} == {**report, "seconds": 0}


def counted(monkeypatch: pytest.MonkeyPatch, most: int = 10**9) -> list[Image.Image]:
    """Every image that is looked at from now on; after so many, Ctrl-C."""
    looked: list[Image.Image] = []
    detect = Mask2FormerDetector.detect

    def watched(self: Mask2FormerDetector, image: Image.Image, least: float) -> list[Any]:
        if len(looked) == most:
            raise KeyboardInterrupt
        looked.append(image)
        return detect(self, image, least)

    monkeypatch.setattr(Mask2FormerDetector, "detect", watched)
    return looked


def test_scoring_goes_on_where_it_was_killed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree("images", "other")
    whole = run(*SCORE, "--images", "other")
    with monkeypatch.context() as patch:
        first = counted(patch, most=3)
        with pytest.raises(SystemExit) as stop:
            run(*SCORE)
        assert stop.value.code == 130 and len(first) == 3
    (results,) = Path("images").glob("results-*.jsonl")
    results.write_bytes(results.read_bytes()[:-40])  # and the last line was not written whole
    with monkeypatch.context() as patch:
        second = counted(patch)
        report = run(*SCORE)
    assert len(second) == 8 - 2
    assert {**report, "seconds": 0} == {**whole, "seconds": 0}
    assert results.read_bytes() == (Path("other") / whole["results"]).read_bytes()


def test_only_what_is_stale_is_scored_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(*SCORE)
    looked = counted(monkeypatch)
    run(*SCORE)
    assert len(looked) == 0
    Image.new("RGB", (48, 40)).save("images/00001/samples/0001.png")
    report = run(*SCORE)
    assert len(looked) == 1 and len(results_of(report)) == 8
    stricter = run(*SCORE, "--threshold", "0.9")
    assert len(looked) == 9 and stricter["results"] != report["results"]
    assert stricter["geneval/single_object"] == 0 and report["geneval/single_object"] == 1
    run(*SCORE)
    assert len(looked) == 9  # both are kept


def test_a_model_draws_what_is_missing_and_is_scored(
    place: Path, tiny_illume: Illume, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_illume.save_pretrained("model")
    words = [*SCORE, "--model", "model", "--prompts", "prompts.jsonl", "--images", "new", "--seed", "3"]
    drawn: list[int] = []
    draw = Illume.draw

    def watched(self: Illume, prompts: Sequence[str], seeds: list[int], **sampling: float) -> Tensor:
        if len(drawn) == 4:
            raise KeyboardInterrupt
        drawn.extend(seeds)
        return draw(self, prompts, seeds, **sampling)

    with monkeypatch.context() as patch:
        patch.setattr(Illume, "draw", watched)
        with pytest.raises(SystemExit):
            run(*words, "--batch", "4")
        drawn.append(-1)
        report = run(*words, "--batch", "4")
    assert sorted(drawn) == [-1, *(3_000_009 + i for i in range(8))]
    assert report["seed"] == 3 and report["samples"] == 8 and report["cfg"] == 1.25 and report["model"]
    whole = run(*words, "--images", "whole", "--batch", "4")
    assert {**report, "seconds": 0} == {**whole, "seconds": 0}
    alone = run(
        "--images", "new", "--detector", "m", "--clip", "c"
    )  # the folder knows how many, and the seed
    assert {**report, "seconds": 0} == {**alone, "seconds": 0}


def test_the_playground_scores_the_same_through_genevals_rules(tmp_path: Path) -> None:
    for shift in (0, 7):  # drawings that are right, and those of other prompts
        oracle = Oracle(0, shift)
        direct = geneval_scores(draw_and_judge(oracle, 8, 2))
        prompts, folder = exact_judge.playground_prompts(8), tmp_path / str(shift)
        record = {"seed": 0, "samples": 2, "cfg": 1.25, "temperature": 0.6, "top_k": 0, "top_p": 1.0}
        suite.draw(Oracle(0, shift), folder, prompts, record, 100)
        judge = exact_judge.ExactJudge()
        report = suite.score(folder, prompts, 2, suite.Scorer(judge, judge, exact_judge.RULES))
        assert {name: report[name] for name in direct} == pytest.approx(direct)
        assert (direct["geneval/overall"] == 1) == (shift == 0)


def test_the_playground_from_the_command_line(
    tmp_path: Path, tiny_illume: Illume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_illume.save_pretrained("model")
    words = ["--images", "i", "--prompts", "playground", "--detector", "playground", "--per-category", "1"]
    report = run("--model", "model", *words, "--seeds", "1")
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
    words = [
        "--model",
        "model",
        "--prompts",
        "prompts.jsonl",
        "--images",
        "i",
        "--detector",
        "m",
        "--seeds",
        "1",
    ]
    report = run(*words, "--limit", "3")
    assert report["samples"] == report["prompts"] == 3
    kept = [json.loads(path.read_text()) for path in sorted(Path("i").glob("*/metadata.jsonl"))]
    assert kept == [*lines[:2], LINES[3]]
    assert run("--images", "i", "--detector", "m")["results"] == report["results"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--suite", "playground"], "--model"),
        (["--model", "x", "--clip", "c"], "--clip is an option of --suite geneval, not of playground"),
        (["--suite", "geneval", *SCORE, "--assess"], "--assess is an option of --suite playground, not of geneval"),
        (["--suite", "geneval", *SCORE, "--quick"], "--quick is an option of --suite playground"),
        (["--suite", "geneval", "--detector", "m"], "needs --images"),
        (["--suite", "geneval", *SCORE, "--model", "x"], "needs --prompts"),
        (["--suite", "geneval", *SCORE, "--cfg", "2"], "--cfg is of drawing"),
        (["--suite", "geneval", *SCORE, "--limit", "2"], "--limit takes some of the prompts of a file"),
        (["--suite", "geneval", *SCORE, "--per-category", "2"], "--prompts playground"),
        (["--suite", "geneval", *SCORE, "--prompts", "playground"], "give --detector playground"),
        (["--suite", "geneval", *SCORE, "--detector", "playground"], "leave out --clip"),
        (["--suite", "geneval", *SCORE, "--prompts", "none.jsonl"], "no prompt file none.jsonl"),
        (["--suite", "geneval", *SCORE, "--images", "none"], "no folder of images none"),
        (["--suite", "geneval", *SCORE, "--images", "prompts.jsonl"], "is a file: name a folder"),
        (["--suite", "geneval", *SCORE, "--seeds", "3"], "lacks 4 of 12 images, the first is 00000/samples/0002.png"),
        (["--suite", "geneval", *SCORE, "--seeds", "1"], "one image too many"),
        (["--suite", "geneval", *SCORE, "--model", "x", "--prompts", "prompts.jsonl"], "x is not a model folder"),
        (["--suite", "geneval", *SCORE, "--detector", "no/such/one"], "--detector no/such/one: there is no such"),
        (["--suite", "geneval", *SCORE, "--detector", "c"], "is a clip: give one of mask2former"),
        (["--suite", "geneval", *SCORE, "--detector", "cats"], "cats does not know cow"),
        (["--suite", "geneval", *SCORE, "--detector", "o"], "not for owlv2: give --threshold"),
        (["--suite", "geneval", *SCORE, "--clip", "none"], "--clip none: there is no such folder"),
        (["--suite", "geneval", *SCORE, "--clip", "m"], "--clip m is a mask2former: give a CLIP"),
        (["--suite", "geneval", *SCORE, "--threshold", "2"], "threshold 2.0 is out of range"),
        (["--suite", "geneval", *SCORE[:4], *SIZE], "--clip is missing: 'a photo of a blue cow' asks for a colour"),
        (["--suite", "geneval", *SCORE, "--out", "no/r.json"], "there is no folder no"),
    ],
)  # fmt: skip
def test_what_a_user_gets_wrong_is_one_line_before_work(
    place: Path, words: list[str], says: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = counted(monkeypatch)
    assert says in error_of(capsys, *words)
    assert not looked and not list(place.glob("**/results-*"))


def test_images_of_somebody_else_are_not_drawn_over(
    place: Path, tiny_illume: Illume, capsys: pytest.CaptureFixture
) -> None:
    tiny_illume.save_pretrained("model")
    words = ["--suite", "geneval", *SCORE, "--model", "model", "--prompts", "prompts.jsonl"]
    assert "leave out --model" in error_of(capsys, *words)
    Path("images/00003/samples/0001.png").unlink()
    assert "leave out --model" in error_of(capsys, *words)


def test_an_image_that_cannot_be_read(place: Path, capsys: pytest.CaptureFixture) -> None:
    path = Path("images/00002/samples/0000.png")
    path.write_bytes(path.read_bytes()[:200])
    assert "00002/samples/0000.png is no image that can be read" in error_of(
        capsys, "--suite", "geneval", *SCORE
    )


def test_another_detector_with_thresholds_of_its_own(place: Path) -> None:
    own = ["--threshold", "0.1", "--counting-threshold", "0.1", "--overlap", "0.5"]
    report = run(*SCORE, "--detector", "o", *own)
    assert report["detector"].startswith("o (") and report["overlap"] == 0.5


def test_a_painter_is_resumed_to_the_same_report(tmp_path: Path) -> None:
    """Drawing and scoring, each cut off once, against once without a cut."""
    prompts = exact_judge.playground_prompts(1)
    record = {"seed": 0, "samples": 2, "cfg": 1.25, "temperature": 0.6, "top_k": 0, "top_p": 1.0}
    with pytest.raises(KeyboardInterrupt):
        suite.draw(Painter(5), tmp_path / "cut", prompts, record, 2)
    suite.draw(Painter(), tmp_path / "cut", prompts, record, 2)
    suite.draw(Painter(), tmp_path / "whole", prompts, record, 2)

    class Sees(exact_judge.ExactJudge):
        """Looks at a corner of 16 pixels as if it were an image; gives up after so many."""

        def __init__(self, most: int = 10**9) -> None:
            self.most = most

        def detect(self, image: Image.Image, least: float = 0.0) -> list[Any]:
            if not self.most:
                raise KeyboardInterrupt
            self.most -= 1
            return super().detect(image.resize((48, 48)))

    def report(folder: str, judge: Sees) -> dict[str, Any]:
        return suite.score(tmp_path / folder, prompts, 2, suite.Scorer(judge, judge, exact_judge.RULES))

    with pytest.raises(KeyboardInterrupt):
        report("cut", Sees(7))
    second = Sees(5)
    assert report("cut", second) == report("whole", Sees()) and second.most == 0
