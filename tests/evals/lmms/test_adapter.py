"""The twelve benchmarks' own code asks, and reads the answers, on documents made up in their layouts.

Needs lmms-eval, so it is run in that tool's environment (docs/use/lmms.md).
"""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from evals.lmms.messages import ImageReader
from models.document import See, Text
from models.unified import Illume

TRAINED = Path(__file__).resolve().parents[3] / "pretrained" / "playground"
SCORED = {  # benchmark: a measure that it makes without asking a judge
    "pope": "pope_accuracy,none",
    "seedbench": "seed_all,none",
    "mme": "mme_perception_score,none",
    "mmmu_val": "mmmu_acc,none",
    "ai2d": "exact_match,flexible-extract",
    "textvqa_val": "exact_match,none",
    "chartqa": "relaxed_overall,none",
    "docvqa_val": "anls,none",
    "infovqa_val": "anls,none",
    "ocrbench": "ocrbench_accuracy,none",
}
JUDGED = ("mmbench_en_dev", "mmvet")  # GPT reads these answers: only asked here
PICTURE = Image.new("RGB", (90, 50), "red")
CHOICES = {"choice_a": "red", "choice_b": "blue", "choice_c": "green", "choice_d": "grey"}
KIND = {"category": "color", "L2-category": "perception", "source": "made up", "split": "dev"}
OPTIONS = "['blue', 'red']"


def ask(i: int, **about: Any) -> dict[str, Any]:
    return {"question": "is it red ?", "answer": "yes", "question_id": str(i), "image": PICTURE} | about


DOCUMENTS = {  # by the last part of dataset_path, and dataset_name
    "POPE": lambda i: ask(i),
    "MME": lambda i: ask(i // 2, category="color"),
    "SEED-Bench": lambda i: ask(i, image=[PICTURE] * (i + 1), answer="A", data_type="image", **CHOICES),
    "MMBench en": lambda i: ask(i, index=i, hint="", A="red", B="blue", C="grey", D="green", **KIND),
    "MMVet": lambda i: ask(i, capability="rec"),
    "MMMU": lambda i: {
        "id": f"validation_Art_{i}",
        "question": "which of <image 1> and <image 2> is red ?" if i else "what is in <image 1> ?",
        "question_type": "multiple-choice",
        "options": OPTIONS,
        "answer": "B",
        "image_1": PICTURE,
        "image_2": PICTURE.resize((20, 70)),
    },
    "ai2d": lambda i: ask(i, options=["blue", "red"], answer="1"),
    "textvqa": lambda i: ask(i, answers=["yes"] * 10, ocr_tokens=["stop"]),
    "ChartQA": lambda i: ask(i, type=("human_test", "augmented_test")[i % 2]),
    "DocVQA DocVQA": lambda i: ask(i, questionId=str(i), answers=["yes"]),
    "DocVQA InfographicVQA": lambda i: ask(i, questionId=str(i), answers=["yes"]),
    "OCRBench": lambda i: ask(i, answer=["yes"], dataset="made up", question_type="Regular Text Recognition"),
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Runs tasks of lmms-eval, whose data sets are made up instead of fetched."""
    evaluator = pytest.importorskip("lmms_eval.evaluator", reason="lmms-eval has an environment of its own")
    import datasets
    from lmms_eval.tasks import TaskManager

    def load_dataset(path: str, name: str | None = None, **_: Any) -> datasets.DatasetDict:
        key = " ".join(filter(None, (path.rpartition("/")[2], name)))
        made = datasets.Dataset.from_list([DOCUMENTS[key](i) for i in range(4)])
        return datasets.DatasetDict(dict.fromkeys(("test", "validation", "dev"), made))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.chdir(tmp_path)
    return lambda tasks, **settings: evaluator.simple_evaluate(
        model="illume",
        model_args=f"pretrained={TRAINED}",
        tasks=tasks,
        batch_size=3,
        device="cpu",
        task_manager=TaskManager(model_name="illume"),
        bootstrap_iters=0,
        cli_args=Namespace(output_path=str(tmp_path), process_with_media=False),
        **settings,
    )


def test_benchmarks_ask_and_score(run):
    found = run(list(SCORED))
    for task, measure in SCORED.items():
        assert isinstance(found["results"][task][measure], float), found["results"][task]
        assert len(found["samples"][task]) == 4
    model = Illume.from_pretrained(TRAINED)
    words = "is it red ?\nAnswer the question using a single word or phrase."
    (said,) = model.understand([[See(ImageReader(model.image_input, "pad")(PICTURE)), Text(words)]])
    assert [sample["filtered_resps"] for sample in found["samples"]["pope"]] == [[said]] * 4


def test_benchmarks_that_a_judge_reads_are_asked(run):
    found = run(list(JUDGED), predict_only=True)
    assert all(sample["resps"] for task in JUDGED for sample in found["samples"][task])
    assert {task: len(found["samples"][task]) for task in JUDGED} == dict.fromkeys(JUDGED, 4)
