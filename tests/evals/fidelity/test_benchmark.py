"""FID, MJHQ-30K and rFID from the command line, on a small network in Inception's place."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evals import benchmark
from evals.fidelity import benchmark as fidelity
from evals.fidelity import extractor, inception
from evals.fidelity.extractor import features_of
from evals.fidelity.frechet import frechet_distance
from evals.fidelity.mjhq import CATEGORIES
from evals.image_sets import image_files
from models.folder_hash import folder_hash
from models.unified import Illume
from tests.evals import command_line
from tests.evals.command_line import error_of, record_calls, run_interrupted
from tests.evals.fidelity.small_network import Small, paint, small_extractor, write_mjhq
from tests.evals.painter import Painter

pytest.importorskip(
    "torch_fidelity", reason="KID and IS are torch-fidelity's; make test has it in .venv/fidelity"
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two sets of images, prompts, MJHQ-30K in small, and something like a model folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(inception, "load_inception", lambda *_: small_extractor())
    paint(tmp_path / "drawn", [f"{i:03d}.png" for i in range(40)], 1)
    paint(tmp_path / "real", [f"{i % 3}/{i:03d}.png" for i in range(30)], 2, sizes=(24, 36))
    Path("prompts.txt").write_text("".join(f"a photo of {i} cows\n" for i in range(12)))
    write_mjhq(tmp_path / "mjhq", CATEGORIES, 20)
    Path("model").mkdir()
    Path("model/illume.json").write_text("{}")
    return tmp_path


def run(suite: str, *words: str) -> dict[str, Any]:
    return command_line.run("--suite", suite, *words)


def paint_with(monkeypatch: pytest.MonkeyPatch, limit: int = 10**9) -> Painter:
    """Has a painter draw in a model's place."""
    painter = Painter(limit)
    monkeypatch.setattr(benchmark, "load_model", lambda *_: painter)
    return painter


FID = ["--images", "drawn", "--real", "real"]
MJHQ = ["--model", "model", "--images", "new", "--real", "mjhq", "--batch", "8"]


def test_images_that_are_there_are_scored(place: Path) -> None:
    report = run("fid", *FID)
    ours, theirs = (
        features_of(image_files(Path(name)), small_extractor())["16"] for name in ("drawn", "real")
    )
    assert report["fid"] == pytest.approx(frechet_distance(ours, theirs), rel=1e-9)
    assert (report["samples"], report["real_samples"]) == (40, 30)
    assert (report["kid/subsets"], report["kid/subset_size"], report["is/splits"]) == (100, 30, 10)
    assert report["is"] > 1 and report["kid"] > 0 and report["suite"] == "fid" and report["seed"] is None
    assert "30 images" in report["warning"]
    assert {"extractor", "weights_sha256", "resize", "real", "version", "torch", "pillow"} <= report.keys()
    few = run("fid", *FID, "--limit", "8")
    assert (few["samples"], few["real_samples"], few["is/splits"]) == (8, 8, 8)


def test_images_are_held_against_statistics(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fidelity, "WIDTH", 16)
    whole = run("fid", *FID)
    features = features_of(image_files(Path("real")), small_extractor())["16"].double().numpy()
    np.savez("real.npz", mu=features.mean(0), sigma=np.cov(features, rowvar=False))
    report = run("fid", *FID, "--real", "real.npz")
    assert report["fid"] == pytest.approx(whole["fid"], rel=1e-6) and report["is"] == whole["is"]
    assert report["real_samples"] is None and "kid" not in report and "not known" in report["resize"]


@pytest.mark.parametrize("after", [0, 72, 199])
def test_a_killed_evaluation_resumes_to_the_same_report_and_draws_none_twice(
    place: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    words = [*MJHQ, "--features", "kept", "--seed", "3"]
    whole_painter = paint_with(monkeypatch)
    whole = run("mjhq", *words, "--images", "whole", "--features", "elsewhere")
    first = paint_with(monkeypatch, after)
    run_interrupted("--suite", "mjhq", *words)
    assert not Path("kept").exists()
    second = paint_with(monkeypatch)
    with monkeypatch.context() as patch:
        record_calls(patch, Small, "forward", list, limit=96)  # at the fourth batch of 32
        run_interrupted("--suite", "mjhq", *words)
    third, small = paint_with(monkeypatch), small_extractor()
    monkeypatch.setattr(inception, "load_inception", lambda *_: small)
    report = run("mjhq", *words)
    assert third.seeds == [] and sorted(first.seeds + second.seeds) == sorted(whole_painter.seeds)
    assert (
        len(set(whole_painter.seeds)) == 200 and small.network.seen == 400 - 96
    )  # three batches of 32 were kept
    assert report == whole


def test_mjhq_is_scored_whole_and_by_category_in_its_own_layout(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    painter = paint_with(monkeypatch)
    report = run("mjhq", *MJHQ)
    metadata = json.loads(Path("mjhq/meta_data.json").read_text())
    drawn = {path.relative_to("new").as_posix() for path in Path("new").rglob("*.png")}
    assert drawn == {f"{one['category']}/{key}.png" for key, one in metadata.items()}
    assert (
        painter.seeds == list(range(200))
        and report["samples"] == 200
        and report["model"] == folder_hash("model")
    )
    small = small_extractor()
    for name in CATEGORIES:
        sides = (f"new/{name}", f"mjhq/mjhq30k_imgs/{name}")
        ours, theirs = (features_of(image_files(Path(side)), small)["16"] for side in sides)
        assert report[f"fid/{name}"] == pytest.approx(frechet_distance(ours, theirs), rel=1e-6)
        assert report[f"samples/{name}"] == 20
    alone = run("mjhq", "--images", "new", "--real", "mjhq")
    assert alone == report


def test_a_limited_run_is_part_of_the_whole(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few, more = paint_with(monkeypatch), None
    report = run("mjhq", *MJHQ, "--limit", "30")
    assert (report["samples"], report["real_samples"], report["samples/art"]) == (30, 30, 3)
    more = paint_with(monkeypatch)
    run("mjhq", *MJHQ, "--limit", "60")
    assert sorted(few.seeds + more.seeds) == list(range(60))
    again = run("mjhq", *MJHQ, "--limit", "30")
    assert again == report


def test_a_models_drawings_of_prompts(place: Path, tiny_illume: Illume) -> None:
    shutil.rmtree("model")
    tiny_illume.save_pretrained("model")
    score = ["--images", "new", "--real", "real", "--limit", "6"]
    report = run("fid", *score, "--model", "model", "--prompts", "prompts.txt", "--seed", "1")
    assert sorted(path.name for path in Path("new").glob("*.png")) == [
        f"{i:05d}.png" for i in range(0, 12, 2)
    ]
    with Image.open("new/00004.png") as image:
        drawn = tiny_illume.draw_batch(["a photo of 4 cows"], [1_000_003 + 4])[0].permute(1, 2, 0).numpy()
        apart = np.abs(np.asarray(image).astype(int) - drawn)
        assert apart.max() <= 1, "another batch rounds otherwise"
    assert (report["seed"], report["cfg"], report["model"]) == (1, 1.25, folder_hash("model"))
    assert run("fid", *score) == report


def test_reconstructions(place: Path, tiny_illume: Illume, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree("model")
    tiny_illume.save_pretrained("model")
    monkeypatch.setattr(extractor, "BATCH", 7)
    words = ["--model", "model", "--images", "rebuilt", "--real", "real"]
    report = run("rfid", *words)
    assert {path.relative_to("rebuilt").as_posix() for path in Path("rebuilt").rglob("*.png")} == {
        f"{i % 3}/{i:03d}.png" for i in range(30)
    }
    small, side = small_extractor(), tiny_illume.encoder.image_size
    theirs = features_of(image_files(Path("real")), small, side=side)["16"]
    ours = features_of(image_files(Path("rebuilt")), small)["16"]
    assert report["rfid"] == pytest.approx(frechet_distance(ours, theirs), rel=1e-6) and "fid" not in report
    assert f"centre square at {side} pixels" in report["resize"] and report["samples"] == 30
    monkeypatch.setattr(Illume, "decode", lambda *_: pytest.fail("rebuilt twice"))
    assert run("rfid", *words) == report


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fid", *FID, "--model", "model", "--prompts", "none.txt"], "no prompt file none.txt"),
        (["fid", *FID, "--model", "model", "--prompts", "gap.txt"], "gap.txt:2 is empty"),
        (["fid", *FID, "--model", "real", "--prompts", "prompts.txt"], "real is not a model folder"),
        (["fid", *FID, "--model", "model", "--prompts", "prompts.txt"], "000.png is one image too many"),
        (["fid", *FID, "--images", "none"], "there is no none"),
        (["fid", *FID, "--real", "none"], "there is no none"),
        (["fid", *FID, "--real", "prompts.txt"], "is no folder, no .zip and no plain .tar"),
        (["fid", *FID, "--real", "none.npz"], "no statistics none.npz"),
        (["mjhq", "--images", "drawn", "--real", "mjhq"], "000.png is one image too many"),
        (["mjhq", "--images", "empty", "--real", "mjhq"], "empty lacks 200 of 200 images"),
        (["mjhq", "--images", "empty", "--real", "real"], "real/meta_data.json is not there"),
        (["mjhq", *MJHQ, "--limit", "1"], "a distance takes 2 images or more on each side, not 1 and 1"),
    ],
)
def test_errors_of_users_are_one_line_before_any_work(
    place: Path,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("empty").mkdir()
    Path("gap.txt").write_text("a cow\n\na cat\n")
    painter = paint_with(monkeypatch)
    monkeypatch.setattr(extractor, "features_of", lambda *_: pytest.fail("scored"))
    assert message in error_of(capsys, "--suite", *words) and painter.seeds == []


def test_images_of_another_model_or_seed_are_not_mixed(
    place: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint_with(monkeypatch)
    run("mjhq", *MJHQ, "--limit", "20")
    assert "seed 0 and not 1" in error_of(capsys, "--suite", "mjhq", *MJHQ, "--seed", "1")
    metadata = json.loads(Path("mjhq/meta_data.json").read_text())
    next(iter(metadata.values()))["prompt"] = "other words"
    Path("mjhq/meta_data.json").write_text(json.dumps(metadata))
    assert "prompts_hash" in error_of(capsys, "--suite", "mjhq", *MJHQ)
    Path("new/drawn.json").unlink()
    assert "leave out --model" in error_of(capsys, "--suite", "mjhq", *MJHQ)


def test_an_image_that_is_missing_among_drawings(
    place: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint_with(monkeypatch)
    run("fid", "--model", "model", "--prompts", "prompts.txt", "--images", "new", "--real", "real")
    Path("new/00007.png").unlink()
    line = error_of(capsys, "--suite", "fid", "--images", "new", "--real", "real")
    assert "new lacks 1 of 12 images, the first is 00007" in line
