"""Scores a model folder: `python -m evals --model DIR --suite playground --out report.json`."""

import argparse
import json
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> None:
    """The command line. A user's error is one line and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m evals", description=__doc__)
    parser.add_argument("--model", required=True, help="a model folder with all parts")
    parser.add_argument("--suite", choices=["playground"], default="playground")
    parser.add_argument("--out", type=Path, help="where the JSON goes (default: standard output)")
    parser.add_argument("--images", type=Path, help="folder for pictures")
    parser.add_argument(
        "--per-category", type=int, default=50, help="GenEval prompts a category (default: %(default)s)"
    )
    parser.add_argument("--seeds", type=int, default=4, help="drawings a prompt (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=600, help="scenes rebuilt (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    from evals.suite import playground_suite
    from models.model_folder import folder_hash
    from models.unified import Illume

    try:
        if options.out is not None and not options.out.parent.is_dir():
            raise FileNotFoundError(f"--out {options.out}: there is no folder {options.out.parent}")
        if min(options.per_category, options.seeds, options.samples) < 1:
            raise ValueError("--per-category, --seeds and --samples are at least 1")
        model = Illume.from_pretrained(options.model)
        missing = [
            n for n in ("encoder", "tokenizer", "detokenizer", "language") if getattr(model, n) is None
        ]
        if missing:
            raise ValueError(
                f"{options.model} has no {', '.join(missing)}: give the folder of the last stage"
            )
        scores: dict[str, float | str] = dict(
            playground_suite(
                model, options.seed, options.per_category, options.seeds, options.samples, options.images
            )
        )
        scores["model"] = folder_hash(options.model)
        text = json.dumps(scores, indent=1) + "\n"
        options.out.write_text(text) if options.out else sys.stdout.write(text)
    except (ValueError, OSError) as error:
        print(f"evals: error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
