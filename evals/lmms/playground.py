"""Writes the playground's questions as a task of lmms-eval: `python -m evals.lmms.playground --out runs/task`.

They are those of `--suite playground`, so that the two scores can be compared:

    lmms-eval --model illume --model_args pretrained=pretrained/playground --tasks playground_vqa --include_path runs/task

The folder holds PNG files beside a `metadata.jsonl`, the layout that `datasets` calls imagefolder; no hub is asked.
"""

import argparse
import json
from pathlib import Path

import yaml
from PIL import Image

from common.errors import Parser, user_errors
from common.files import write_bytes, write_text
from common.images import encode_image
from common.paths import user_path
from evals.options import count
from worlds.playground.questions import KINDS, evaluation_questions
from worlds.playground.render import render

TASK = "playground_vqa"
ANSWER_TOKENS = 16  # as `Illume.ask` takes
SPLIT = "test"


def write_task(folder: Path, samples: int = 500, seed: int = 0) -> Path:
    """Writes questions, images and the task's YAML, which comes last; returns it.

    Raises ValueError if the folder is not empty, or the kinds of questions would not be asked equally often, so that the
    mean over questions would not be the mean over kinds.
    """
    if samples % len(KINDS):
        raise ValueError(
            f"--samples {samples}: there are {len(KINDS)} kinds of questions, give a multiple of it"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"--out {folder} is there already: take it away, or name another folder")
    images = folder / "data" / SPLIT
    lines = []
    for number, (scene, question) in enumerate(evaluation_questions(samples, seed)):
        name = f"{number:06d}.png"
        write_bytes(images / name, encode_image(Image.fromarray(render(scene))))
        about = {"question": question.text, "answer": question.answer, "kind": question.kind}
        lines.append(json.dumps({"file_name": name, **about}) + "\n")
    write_text(images / "metadata.jsonl", "".join(lines))
    target = folder / f"{TASK}.yaml"
    write_text(target, yaml.safe_dump(task(folder), sort_keys=False))
    return target


def task(folder: Path) -> dict[str, object]:
    """The task's YAML."""
    return {
        "task": TASK,
        "dataset_path": "imagefolder",
        "dataset_kwargs": {"data_dir": str(folder.resolve() / "data")},
        "test_split": SPLIT,
        "output_type": "generate_until",
        "doc_to_visual": "image",
        "doc_to_text": "question",
        "doc_to_target": "answer",
        "generation_kwargs": {"max_new_tokens": ANSWER_TOKENS, "do_sample": False},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1},
    }


def main(argv: list[str] | None = None) -> None:
    """The command line. A user's error is one line and exit code 2."""
    parser = Parser(prog="python -m evals.lmms.playground", description=__doc__.partition(":")[0] + ".",
                    allow_abbrev=False)  # fmt: skip
    parser.add_argument(
        "--out", type=user_path, required=True, metavar="DIR", help="the task's folder, made anew"
    )
    parser.add_argument("--samples", type=count, default=500, metavar="N", help="questions (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    options: argparse.Namespace = parser.parse_args(argv)
    with user_errors("evals.lmms.playground"):
        print(write_task(options.out, options.samples, options.seed))


if __name__ == "__main__":
    main()
