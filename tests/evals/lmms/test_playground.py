"""The playground's questions as a task of lmms-eval; where lmms-eval is installed, it gives our own suite's accuracy."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from evals.lmms.playground import TASK, main, write_task
from evals.playground.vqa import vqa_scores
from models.unified import Illume
from worlds.playground.questions import evaluation_questions
from worlds.playground.render import render

ROOT = Path(__file__).resolve().parents[3]
TRAINED = ROOT / "pretrained" / "playground"


def test_the_task_holds_the_suites_questions_and_images(tmp_path: Path, capsys: pytest.CaptureFixture):
    main(["--out", str(tmp_path / "task"), "--samples", "8", "--seed", "5"])
    assert capsys.readouterr().out.strip() == str(tmp_path / "task" / f"{TASK}.yaml")
    task = yaml.safe_load((tmp_path / "task" / f"{TASK}.yaml").read_text())
    images = Path(task["dataset_kwargs"]["data_dir"]) / task["test_split"]
    lines = [json.loads(line) for line in (images / "metadata.jsonl").read_text().splitlines()]
    asked = evaluation_questions(8, 5)
    assert [(li["question"], li["answer"], li["kind"]) for li in lines] == [
        (q.text, q.answer, q.kind) for _, q in asked
    ]
    for line, (scene, _) in zip(lines, asked, strict=True):
        assert np.array_equal(np.asarray(Image.open(images / line["file_name"])), render(scene))


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--out", "full"], "--out full is there already: take it away, or name another folder"),
        (["--out", "new", "--samples", "10"], "--samples 10: there are 4 kinds of questions"),
    ],
)
def test_wrong_options_are_one_line(
    argv: list[str], line: str, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture
):
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full/something").touch()
    with pytest.raises(SystemExit) as stop:
        main(argv)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and line in said and said.count("\n") == 1


def test_lmms_eval_gives_our_own_accuracy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    evaluator = pytest.importorskip("lmms_eval.evaluator", reason="lmms-eval has an environment of its own")
    from lmms_eval.tasks import TaskManager

    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    write_task(tmp_path / "task", samples=40)
    manager = TaskManager(include_path=str(tmp_path / "task"), model_name="illume")
    found = evaluator.simple_evaluate(
        model="illume",
        model_args=f"pretrained={TRAINED}",
        tasks=[TASK],
        batch_size=7,
        device="cpu",
        task_manager=manager,
        bootstrap_iters=0,
    )
    scores = vqa_scores(Illume.from_pretrained(TRAINED), samples=40)
    assert found["results"][TASK]["exact_match,none"] == pytest.approx(scores["vqa/accuracy"], abs=1e-12)


@pytest.mark.parametrize("given", ["pretrained=no/such", "pretraind=x"])
def test_lmms_eval_ends_a_users_error_in_one_line(given: str, capsys: pytest.CaptureFixture):
    pytest.importorskip("lmms_eval", reason="lmms-eval has an environment of its own")
    from lmms_eval.models import get_model

    with pytest.raises(SystemExit) as stop:
        get_model("illume").create_from_arg_string(given, {"batch_size": 1})
    message = capsys.readouterr().err
    assert stop.value.code == 2 and message.startswith("illume: error: ") and message.count("\n") == 1
