"""generate.py with a tiny random model: what it makes, and what it says to bad input."""

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import demo
import generate
from common.image_grid import CELL, GAP
from judges.assessment import DIMENSIONS, Assessment, Verdict, to_text
from judges.self_refinement import MAX_TRIES, try_seeds
from models.detokenizer.diffusion import DiffusionDetokenizer
from models.generation import SamplingConfig
from models.language.text_tokenizer import train_text_tokenizer
from models.language.unified_lm import UnifiedLM
from models.tokenizer.encoder import VisionEncoder
from models.tokenizer.semantic import SemanticTokenizer
from models.unified import Illume

ROOT = Path(generate.__file__).parent
SIZES = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder whose model has learned nothing."""
    torch.manual_seed(0)
    text = train_text_tokenizer(["draw : two red circles", "describe the image"], 280)
    trunk = {"model_type": "llama", "num_key_value_heads": 2, "max_position_embeddings": 768, **SIZES}
    language = UnifiedLM(trunk, len(text), 1024, 128, 36, 36)
    folder = tmp_path_factory.mktemp("model")
    Illume(VisionEncoder(), SemanticTokenizer(), DiffusionDetokenizer(), language, text).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder with a wide image, and no model that came with the repository."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACEBACK", raising=False)
    monkeypatch.setattr(generate, "PRETRAINED", tmp_path / "pretrained")
    Image.new("RGBA", (130, 70), "red").save("wide.webp")
    return tmp_path


def pixels(path: str) -> np.ndarray:
    return np.array(Image.open(path)).astype(int)


def error_of(capsys: pytest.CaptureFixture, *argv: str) -> str:
    """The one line that a wrong command line ends with."""
    capsys.readouterr()
    before = sorted(Path().rglob("*"))
    with pytest.raises(SystemExit) as stop:
        generate.main(list(argv))
    assert stop.value.code == 2
    assert sorted(Path().rglob("*")) == before
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("generate.py: error: ")
    return err


def test_an_image_depends_on_its_seed_not_its_neighbours(model: Path, capsys: pytest.CaptureFixture) -> None:
    generate.main(
        ["draw", "two red circles", "-n", "3", "--seed", "4", "--model", str(model), "--out", "three.png"]
    )
    generate.main(["draw", "two red circles", "--seed", "5", "--model", str(model), "--out", "one.png"])
    assert capsys.readouterr().out.split() == ["three.png", "one.png"]
    three, one = pixels("three.png"), pixels("one.png")
    cell, step = CELL, CELL + GAP
    assert three.shape == (cell + step, cell + step, 3) and one.shape == (cell, cell, 3)
    assert np.abs(three[:cell, step:] - one).max() <= 2  # another batch adds in another order
    assert np.abs(three[:cell, :cell] - one).max() > 2
    assert (three[step:, step:] == 255).all() and (three[:, cell:step] == 255).all()
    assert (one[::4, ::4] == one[3::4, 3::4]).all()  # enlarged pixel by pixel


def test_describe_ask_and_edit(model: Path, capsys: pytest.CaptureFixture) -> None:
    generate.main(["describe", "wide.webp", "--detail", "--model", str(model)])
    generate.main(["ask", "wide.webp", "what ?", "--model", str(model)])
    generate.main(["edit", "wide.webp", "make it blue", "--model", str(model), "--out", "edited.jpg"])
    assert capsys.readouterr().out.splitlines()[-1] == "edited.jpg"
    assert Image.open("edited.jpg").size == (CELL, CELL)
    assert sorted(path.name for path in Path().iterdir()) == ["edited.jpg", "wide.webp"]


def test_chat_from_a_pipe(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked = []

    def talk(self: Illume, parts: list, seed: int) -> list:
        asked.append([part if isinstance(part, str) else tuple(part.shape) for part in parts])
        return ["hel", "lo", torch.zeros(3, 48, 48, dtype=torch.uint8), "there", " it is"]

    monkeypatch.setattr(Illume, "stream_chat", talk)
    Path("drawn-001.png").write_bytes(b"mine")
    monkeypatch.setattr(sys, "stdin", io.StringIO("hi\n\n/image wide.webp\nwhat ?\n/new\nbye\n/quit\nno\n"))
    generate.main(["chat", "--model", str(model)])
    assert asked == [["hi"], [(3, 48, 48), "what ?"], ["bye"]]
    said = [("hello", f"drawn-{i:03d}.png", "there it is") for i in (2, 3, 4)]
    assert capsys.readouterr().out.splitlines() == [line for lines in said for line in lines]
    assert Path("drawn-001.png").read_bytes() == b"mine" and Image.open("drawn-004.png").size == (192, 192)


def test_chat_stops_at_a_bad_line(model: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\n"))
    generate.main(["chat", "--model", str(model)])
    monkeypatch.setattr(sys, "stdin", io.StringIO("/image absent.png\n"))
    assert "absent.png is not there" in error_of(capsys, "chat", "--model", str(model))
    monkeypatch.setattr(sys, "stdin", io.StringIO("/imagine x\n"))
    assert "/imagine" in error_of(capsys, "chat", "--model", str(model))


def test_bad_input(model: Path, capsys: pytest.CaptureFixture) -> None:
    of = ("--model", str(model))
    Path("not.png").write_text("no image")
    Path("cut.webp").write_bytes(Path("wide.webp").read_bytes()[:60])
    assert "make demo" in error_of(capsys, "draw", "a")
    assert "no illume.json" in error_of(capsys, "draw", "a", "--model", "absent")
    assert "not.png is no image that can be read (not a readable image" in error_of(
        capsys, "describe", "not.png", *of
    )
    assert "cut.webp is no image that can be read (not a readable image" in error_of(
        capsys, "ask", "cut.webp", "what ?", *of
    )
    assert "absent.png is not there" in error_of(capsys, "edit", "absent.png", "make", *of)
    assert "tokens long" in error_of(capsys, "draw", "red " * 900, *of)
    assert "tokens long" in error_of(capsys, "ask", "wide.webp", "red " * 900, *of)
    assert "--cfg: -1 is out of range" in error_of(capsys, "draw", "a", "--cfg", "-1", *of)
    assert "--cfg: nan is out of range" in error_of(capsys, "edit", "wide.webp", "a", "--cfg", "nan", *of)
    assert "--temperature: 11" in error_of(capsys, "draw", "a", "--temperature", "11", *of)
    assert "-n: 0 is out of range" in error_of(capsys, "draw", "a", "-n", "0", *of)
    assert "-n: '1.5' is not a whole number" in error_of(capsys, "draw", "a", "-n", "1.5", *of)
    assert "the folder absent is not there" in error_of(capsys, "draw", "a", "--out", "absent/grid.png", *of)
    assert "not the name of an image" in error_of(capsys, "draw", "a", "--out", "grid.txt", *of)
    assert "prompt" in error_of(capsys, "draw", " ", *of)
    assert "invalid choice: 'paint'" in error_of(capsys, "paint", "a")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none(model: Path, capsys: pytest.CaptureFixture) -> None:
    assert "no CUDA device" in error_of(capsys, "draw", "a", "--device", "cuda", "--model", str(model))


def test_a_model_that_lacks_a_component(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    Illume(VisionEncoder()).save_pretrained(str(tmp_path / "part"))
    assert "this model has no language and no text_tokenizer" in error_of(
        capsys, "describe", "wide.webp", "--model", "part"
    )


def test_newest_model(monkeypatch: pytest.MonkeyPatch) -> None:
    for age, folder in enumerate((*generate.TRAINED, generate.PRETRAINED)):
        folder.mkdir(parents=True)
        (folder / "illume.json").write_text("{}")
        os.utime(folder / "illume.json", (1000 + age, 1000 + age))
    assert generate.newest_model() == generate.TRAINED[-1]
    os.utime(generate.TRAINED[0] / "illume.json", (2000, 2000))
    assert generate.newest_model() == generate.TRAINED[0]
    for folder in generate.TRAINED:
        (folder / "illume.json").unlink()
    assert generate.newest_model() == generate.PRETRAINED


def test_the_last_stage_of_every_chain_is_found() -> None:
    """`make reference` ends with edits, which comes after stage 3."""
    for scale in demo.SCALES.values():
        last = [stage for _, stage in demo.chain(scale)][demo.STAGES.index("stage3") :]
        assert {scale.runs / stage / "model" for stage in last} <= set(generate.TRAINED)
    folder = Path("runs/reference")
    for stage in ("stage3", "edits"):
        (folder / stage / "model").mkdir(parents=True)
        (folder / stage / "model" / "illume.json").write_text("{}")
        os.utime(folder / stage / "model" / "illume.json", (1000, 1000))  # as a copy leaves them
    assert generate.newest_model() == folder / "edits" / "model"


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    script = "import sys, generate\ntry: generate.main(['--help'])\nfinally: print({'torch', 'PIL'} & {*sys.modules})"
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("set()\n") and time.monotonic() - start < 5


def taught(monkeypatch: pytest.MonkeyPatch, content_at: int, sure: list[float]) -> list[list[str]]:
    """The model says what a taught one would: content from the `content_at`-th look on, sure as given."""
    verdicts = {d.name: Verdict(ok=False, reason="a star is missing") for d in DIMENSIONS}
    bad = Assessment(rationale="nothing", verdicts=verdicts, score=2, overall=False)
    good = bad.model_copy(update={"overall": True, "score": 10})
    looks: list[list[str]] = []

    def assess_batch(self: Illume, images: torch.Tensor, prompts: list[str]) -> list[str]:
        looks.append([f"{images[i].float().mean():.3f}" for i in range(len(images))])
        return [to_text(good if len(looks) >= content_at else bad)] * len(prompts)

    monkeypatch.setattr(Illume, "assess_batch", assess_batch)
    monkeypatch.setattr(Illume, "confidence", lambda self, images, *rest: sure[: len(images)])
    return looks


def test_best_of_takes_the_most_confident_drawing(model, monkeypatch, capsys):
    taught(monkeypatch, 1, [0.2, 0.9, 0.4])
    generate.main(["draw", "two red circles", "--model", str(model), "--best-of", "3", "--out", "a.png"])
    assert "took try 2 of 3, sure by 0.20, 0.90, 0.40" in capsys.readouterr().out
    seed = str(try_seeds(0, 2)[1])
    generate.main(["draw", "two red circles", "--model", str(model), "--seed", seed, "--out", "b.png"])
    assert np.abs(pixels("a.png") - pixels("b.png")).max() <= 2  # a batch rounds otherwise than one image


def test_reflect_redraws_until_satisfied(model, monkeypatch, capsys):
    looks = taught(monkeypatch, 3, [])
    generate.main(["draw", "a star", "--model", str(model), "--reflect", "--out", "a.png"])
    lines = [line for line in capsys.readouterr().out.splitlines() if "try" in line]
    assert len(looks) == len(lines) == 3 and len({look[0] for look in looks}) == 3
    assert "a star is missing" in lines[0] and "overall : yes" in lines[2]
    looks = taught(monkeypatch, 99, [])
    generate.main(["draw", "a star", "--model", str(model), "--reflect", "--out", "a.png"])
    assert len(looks) == MAX_TRIES


def test_assess_prints_every_verdict(model, monkeypatch, capsys):
    taught(monkeypatch, 1, [0.75])
    generate.main(["assess", "wide.webp", "a star", "--model", str(model)])
    out = capsys.readouterr().out
    assert "object    no, a star is missing" in out and "score     10 of 10" in out and "by 0.75" in out


@pytest.mark.parametrize(
    "words", [["assess", "wide.webp", "a star"], ["draw", "x", "--best-of", "2"], ["draw", "x", "--reflect"]]
)
def test_a_model_without_assessment_training_is_refused(model, words, capsys):
    assert "does not assess" in error_of(capsys, *words, "--model", str(model))


def test_best_of_and_reflect_exclude_each_other(model, capsys):
    words = ["draw", "x", "--reflect", "--best-of", "2", "--model", str(model)]
    assert "one of the two" in error_of(capsys, *words)


@pytest.mark.parametrize(
    "words", ["what shape ?\nA. circle\nB. star", "a\tb", "می\u200cخواهم", "a\u00a0b", "全\u3000角"]
)
def test_any_printable_text_is_accepted(words: str, model: Path) -> None:
    generate.main(["ask", "wide.webp", words, "--model", str(model)])
    generate.main(["draw", words, "--model", str(model), "--out", "d.png"])
    generate.main(["edit", "wide.webp", words, "--model", str(model), "--out", "e.png"])


def test_unprintable_text_is_refused(model: Path, capsys: pytest.CaptureFixture) -> None:
    of = ("--model", str(model))
    assert "it holds U+001B (escape)" in error_of(capsys, "draw", "a\x1b[2J", *of)
    assert "half of a surrogate pair" in error_of(capsys, "ask", "wide.webp", "a\udcff", *of)


def test_options_are_laid_over_the_folders_settings(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    used: list = []
    drawn = Illume.draw_documents
    monkeypatch.setattr(
        Illume, "draw_documents", lambda self, *given: used.append(given[3]) or drawn(self, *given)
    )
    of = ("--model", str(model))
    generate.main(["draw", "a", *of])
    generate.main(["draw", "a", "--cfg", "2", "--temperature", "1", "--top-k", "64", "--top-p", "0.5", *of])
    generate.main(["edit", "wide.webp", "a", "--top-k", "3", *of])
    assert used == [
        SamplingConfig(1.25, 0.6, 0, 1.0),
        SamplingConfig(2.0, 1.0, 64, 0.5),
        SamplingConfig(1.0, 0.3, 3, 1.0),
    ]
    assert "edited with cfg 1, temperature 0.3, top_k 3, top_p 1" in capsys.readouterr().err
    assert "top_k 2000 is out of range: this model has 1024 codes" in error_of(
        capsys, "draw", "a", "--top-k", "2000", *of
    )


def test_chat_takes_paths_as_they_are_typed(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(Illume, "stream_chat", lambda self, parts, seed: [str(len(parts))])
    Path("wide.webp").rename("my pic.webp")
    lines = ['/image "my pic.webp"', "a", "/image my\\ pic.webp", "a", "/image\tmy pic.webp", "a", "/quit"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines) + "\n"))
    generate.main(["chat", "--model", str(model)])
    assert capsys.readouterr().out.split() == ["2", "2", "2"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("/image\n"))
    assert "a path is missing" in error_of(capsys, "chat", "--model", str(model))
