"""Two runs on a page: curves of both, what differs, the same prompts by both; and what cannot be compared is one line."""

import json
import re
from pathlib import Path

import pytest
import torch
import yaml

from evals.reports.compare import main
from models.unified import Illume
from tests.evals.page import Page

CONFIG = {
    "name": "one",
    "model": {
        "class_path": "lightning_modules.language.LanguageModule",
        "init_args": {"learning_rates": {"trunk": 0.1}},
    },
    "trainer": {"max_steps": 4},
}
METRICS = "step,epoch,train/loss,val/loss_draw,grad_norm/trunk\n0,0,4.5,,1.5\n1,0,3.25,3.0,1.25\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(name: str, rates: dict[str, float], loss: str = "3.25", model: Illume | None = None) -> None:
    folder = Path(name)
    folder.mkdir()
    config = CONFIG | {"name": name, "model": CONFIG["model"] | {"init_args": {"learning_rates": rates}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "metrics.csv").write_text(METRICS.replace("3.25", loss))
    if model is not None:
        model.save_pretrained(folder / "model")


def error_of(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    lines = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 2 and len(lines) == 1 and not Path("compare.html").exists()
    return lines[0]


def test_the_page_has_curves_scores_settings_and_the_same_prompts(tiny_illume: Illume) -> None:
    torch.manual_seed(1)
    run("one", {"trunk": 0.1}, model=tiny_illume)
    tiny_illume.language.vision_head.data.normal_()
    run("two", {"trunk": 0.2}, loss="2.5", model=tiny_illume)
    report = {"geneval/overall": 0.25, "fid": 7.5, "samples": 8, "suite": "playground", "seconds": 3.0}
    Path("two/report.json").write_text(json.dumps(report))
    main(["one", "two", "--prompts", "6", "--out", "page/both.html"])
    html = Path("page/both.html").read_text()
    page = Page(html)
    assert "3.25 2.5" in page.text and html.count('class="curve"') == 4  # two metrics of two runs
    assert "model.init_args.learning_rates.trunk" in page.text and "0.1" in page.text and "0.2" in page.text
    assert "report: geneval/overall" in page.text and "report: fid" in page.text and "-0.75" in page.text
    assert not re.search("seconds|samples", page.text.split("Settings")[0].split("Scores")[1])
    assert len(page.sources) == 12 and len(set(page.sources)) > 6
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert re.search(r"Right: \d and \d of 6\.", page.text) and 'name="viewport"' in html


def test_the_same_model_twice_draws_the_same(tiny_illume: Illume) -> None:
    run("one", {"trunk": 0.1}, model=tiny_illume)
    run("two", {"trunk": 0.1}, model=tiny_illume)
    main(["one", "two", "--prompts", "2"])
    page = Page(Path("compare.html").read_text())
    assert page.sources[0::2] == page.sources[1::2]
    assert "They do not differ." in page.text


def test_what_cannot_draw_is_said(tiny_illume: Illume) -> None:
    run("one", {"trunk": 0.1}, model=tiny_illume)
    run("two", {"trunk": 0.1})
    main(["one", "two"])
    assert "two has no model folder yet" in Page(Path("compare.html").read_text()).text
    Illume(encoder=tiny_illume.encoder).save_pretrained("two/model")
    main(["one", "two"])
    assert "the model of two cannot draw" in Page(Path("compare.html").read_text()).text


def test_what_is_no_run_or_another_stage_is_one_line(capsys: pytest.CaptureFixture) -> None:
    run("one", {"trunk": 0.1})
    run("two", {"trunk": 0.1, "vision": 0.2})
    Path("more/inner").mkdir(parents=True)
    Path("more/inner/config.yaml").write_text("{}")
    assert "nowhere is not there" in error_of(capsys, "one", "nowhere")
    assert "no config.yaml in it; there are runs in it: inner" in error_of(capsys, "one", "more")
    assert "has logged nothing yet" in error_of(capsys, "one", "more/inner")
    assert "are the same run" in error_of(capsys, "one", "./one")
    line = error_of(capsys, "one", "two")
    assert "different stages" in line and "LanguageModule with trunk, vision" in line
    Path("two/report.json").write_text("{")
    assert "report.json cannot be read" in error_of(capsys, "one", "two", "--across-stages")
    Path("two/report.json").unlink()
    main(["one", "two", "--across-stages"])
    assert Path("compare.html").is_file()


def test_a_run_that_diverged_is_shown_as_such(tiny_illume: Illume) -> None:
    run("one", {"trunk": 0.1})
    run("two", {"trunk": 0.2}, loss="nan")
    Path("two/report.json").write_text('{"geneval/overall": NaN}')
    main(["one", "two", "--prompts", "0"])
    page = Page(Path("compare.html").read_text())
    assert "two ended with values that are no numbers: it diverged." in page.text
    assert "3.25 nan" in page.text.replace("  ", " ") and "4.5" not in page.text.split("Scores")[1]
    run("three", {"trunk": 0.3}, loss="inf")
    main(["one", "three", "--prompts", "0"])
    assert "three ended with" in Page(Path("compare.html").read_text()).text


def test_names_are_never_markup() -> None:
    run("one", {"trunk": 0.1})
    run("<b>two", {"trunk": 0.1})
    text = (Path("<b>two") / "metrics.csv").read_text()
    (Path("<b>two") / "metrics.csv").write_text(text.replace("val/loss_draw", "val/<i>"))
    main(["one", "<b>two"])
    page = Page(Path("compare.html").read_text())
    assert "<b>two" in page.text and "val/<i>" in page.text
