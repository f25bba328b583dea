"""GenAI-Bench from the command line: a real class from disk, the playground's judge, and errors of users."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evals.genai_bench.benchmark import GenAIBenchmark
from evals.genai_bench.vqa_score import VlmScorer
from evals.ranks import ALONE
from evals.settings import GenAIBenchSettings
from models.unified import Illume
from tests.evals.command_line import error_of, record_calls, run, run_interrupted
from tests.evals.genai_bench.test_prompts import save_prompts
from tests.evals.genai_bench.tiny_vlms import save_llava
from tests.evals.painter import RECORD, Painter

TEXTS = {f"{i:05d}": text for i, text in enumerate(["a red cow", "two cat", "a dog", "all red", "not a cat"])}
SKILLS = {"basic": [0, 2], "attribute": [0], "advanced": [1, 3], "counting": [1], "universal": [3]}
SUITE = ["--suite", "genai_bench"]
SCORE = [*SUITE, "--prompts", "prompts", "--images", "images", "--vlm", "llava"]


@pytest.fixture(scope="module")
def vlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llava(tmp_path_factory.mktemp("vlm") / "llava")


@pytest.fixture
def place(tmp_path: Path, vlm: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with prompts, a VLM, and images of the prompts by somebody else."""
    monkeypatch.chdir(tmp_path)
    save_prompts(tmp_path / "prompts", TEXTS, SKILLS)
    (tmp_path / "llava").symlink_to(vlm)
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in TEXTS:
        image = Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8))
        image.save(tmp_path / f"images/{number}.jpeg")
    return tmp_path


def scored_texts(patch: pytest.MonkeyPatch, limit: int = 10**9) -> list[str]:
    """Every text that the VLM is asked about from now on; after so many, Ctrl-C."""
    return record_calls(patch, VlmScorer, "score", lambda image, text: [text], limit)


def test_images_are_scored_without_a_model(place: Path) -> None:
    report = run(*SCORE)
    rows = [json.loads(line) for line in (place / "images" / report["results"]).read_text().splitlines()]
    own = {row["name"].removesuffix(".jpeg"): row["scores"]["vqa_score"] for row in rows}
    scorer = VlmScorer("llava")
    for number, text in TEXTS.items():
        with Image.open(f"images/{number}.jpeg") as image:
            assert own[number] == pytest.approx(scorer.score(image.convert("RGB"), text), abs=0)
    assert report["genai/basic"] == pytest.approx((own["00000"] + own["00002"]) / 2)
    assert report["genai/advanced"] == pytest.approx((own["00001"] + own["00003"]) / 2)
    assert report["genai/counting"] == pytest.approx(own["00001"])
    assert report["genai/overall"] == pytest.approx(np.mean([own[f"{i:05d}"] for i in range(4)]))
    assert report["genai/overall/low"] < report["genai/overall"] < report["genai/overall/high"]
    assert report["samples"] == 5 and report["without_skill"] == 1 and report["suite"] == "genai_bench"
    assert report["vlm"] == scorer.name and "VQAScore" in report["protocol"] and report["seed"] is None


def test_scoring_goes_on_where_it_was_killed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree("images", "other")
    whole = run(*SCORE, "--images", "other")
    with monkeypatch.context() as patch:
        first = scored_texts(patch, limit=2)
        run_interrupted(*SCORE)
        assert len(first) == 2
    (results,) = Path("images").glob("scores-*.jsonl")
    results.write_bytes(results.read_bytes()[:-10])  # and the last line was not written whole
    second = scored_texts(monkeypatch)
    assert run(*SCORE) == whole
    assert len(second) == 5 - 1
    Image.new("RGB", (48, 40)).save("images/00001.jpeg")
    run(*SCORE)
    assert second[4:] == ["two cat"]  # only what is stale is scored again


def test_a_limit_takes_the_first(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = scored_texts(monkeypatch)
    report = run(*SCORE, "--limit", "2")
    assert report["samples"] == 2 and report["of_prompts"] == 5 and texts == ["a red cow", "two cat"]
    assert "genai/universal" not in report
    run(*SCORE)
    assert len(texts) == 5
    run(*SCORE, "--limit", "1")
    run(*SCORE)
    assert len(texts) == 5  # the smaller run removed nothing


def test_a_model_draws_what_is_missing_and_is_scored(
    place: Path, tiny_illume: Illume, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_illume.save_pretrained("model")
    words = [*SCORE, "--model", "model", "--images", "new", "--seed", "3", "--batch", "2"]
    with monkeypatch.context() as patch:
        first = record_calls(patch, Illume, "draw_batch", lambda prompts, seeds, _: seeds, limit=2)
        run_interrupted(*words)
    with monkeypatch.context() as patch:
        second = record_calls(patch, Illume, "draw_batch", lambda prompts, seeds, _: seeds)
        report = run(*words)
    assert len(first) == 2 and sorted(first + second) == [3_000_009 + i for i in range(5)]
    assert report["seed"] == 3 and report["cfg"] == 1.25 and report["temperature"] == 0.6 and report["model"]
    assert run(*words, "--images", "whole") == report
    assert sorted(p.name for p in Path("new").glob("*.jpeg")) == [f"{number}.jpeg" for number in TEXTS]
    assert run(*SCORE, "--images", "new") == report  # the folder's record says who drew


def test_200_images_are_each_drawn_once_however_often_it_is_killed(tmp_path: Path) -> None:
    texts = {f"{i:05d}": f"prompt {'x' * i}" for i in range(200)}
    prompts = save_prompts(tmp_path / "prompts", texts, {"basic": list(range(200))})
    settings = GenAIBenchSettings(prompts=str(prompts), vlm="fair", batch=7)
    cut, whole = (GenAIBenchmark(settings, tmp_path / name) for name in ("cut", "whole"))

    class Brightness:
        name, protocol = "brightness", "none"

        def score(self, image: Image.Image, text: str) -> float:
            return float(np.array(image).mean()) / 255

    seeds: list[int] = []
    for limit in (30, 100, 10**9):
        painter = Painter(limit)
        try:
            cut.fill(painter, RECORD, ALONE)
        except KeyboardInterrupt:
            assert limit < 200
        seeds += painter.seeds
    whole.fill(Painter(), RECORD, ALONE)
    assert sorted(seeds) == list(range(200))
    reports = [one.score(Brightness()) for one in (cut, whole)]
    assert reports[0] == reports[1] and reports[0]["samples"] == 200


def test_the_playground_from_the_command_line(
    tmp_path: Path, tiny_illume: Illume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_illume.save_pretrained("model")
    names = ["--prompts", "playground", "--vlm", "playground", "--per-category", "1"]
    report = run(*SUITE, "--model", "model", "--images", "i", *names)
    assert report["samples"] == 6 and report["vlm"].startswith("playground")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*SCORE, "--vlm-tokenizer", "llava"], "--vlm-tokenizer is CLIP-FlanT5's, which llava is not"),
        ([*SCORE, "--prompts", "none"], "none/genai_image.json is not there"),
        ([*SCORE, "--images", "none"], "none lacks 5 of 5 images"),
        ([*SCORE, "--vlm", "no/such/one"], "--vlm no/such/one: there is no such folder"),
        ([*SCORE, "--vlm", "llava@0123456789ab"], "and not 0123456789ab"),
        ([*SCORE, "--vlm", "llava@0123"], "after @ come the twelve hex digits"),
        ([*SCORE, "--vlm", "prompts"], "--vlm prompts: does not load"),
        ([*SCORE, "--model", "x"], "x is not a model folder"),
    ],
)
def test_errors_of_users_are_one_line_before_any_work(
    place: Path,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = scored_texts(monkeypatch)
    assert message in error_of(capsys, *words)
    assert not texts and not list(place.glob("**/scores-*"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: Path("images/00003.jpeg").unlink(), "lacks 1 of 5 images, the first is 00003:"),
        (lambda: shutil.copy("images/00003.jpeg", "images/00009.jpeg"), "00009.jpeg is one image too many"),
        (lambda: shutil.copy("images/00003.jpeg", "images/00003.png"), "00003.png is there twice"),
        (lambda: Path("images/00003.jpeg").write_bytes(b"x"), "00003.jpeg is no image that can be read"),
        (lambda: save_prompts(Path("prompts"), TEXTS, {"basics": [0]}), "'basics' is not known: did you mean basic?"),
        (lambda: save_llava(Path("llava2"), yes=("Ja",)), 'llava2 has no token "Yes"'),
    ],
)  # fmt: skip
def test_files_that_do_not_fit_are_one_line(
    place: Path, change: Any, message: str, capsys: pytest.CaptureFixture
) -> None:
    change()
    words = [*SCORE, "--vlm", "llava2"] if Path("llava2").exists() else SCORE
    assert message in error_of(capsys, *words)


def test_images_of_somebody_else_are_not_drawn_over(
    place: Path, tiny_illume: Illume, capsys: pytest.CaptureFixture
) -> None:
    tiny_illume.save_pretrained("model")
    assert "leave out --model" in error_of(capsys, *SCORE, "--model", "model")
