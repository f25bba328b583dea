"""A model to share: `python -m models.export --model DIR --out FOLDER [--detokenizer DIR] [--language] [--report FILE]`.

FOLDER then holds the model's parts, which `Illume.from_pretrained` reads, and a README that says what it is. With
--language it holds the language half as a plain Hugging Face causal LM with its tokenizer.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from common.errors import Parser, user_errors
from models.causal_lm import to_causal_lm, to_tokenizer
from models.model_card import card, read_figures
from models.unified import Illume


def export(options: argparse.Namespace) -> None:
    """Writes the folder; nothing that is there is written over.

    Raises:
        FileNotFoundError: the model folder or the report is not there.
        ValueError: FOLDER holds something, or the model has no language half.
    """
    out: Path = options.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"--out {out} is there already: name a folder that is not, or an empty one")
    figures = read_figures(options.report) if options.report else {}
    model = Illume.from_pretrained(options.model)
    if options.detokenizer:
        drawing = Illume.from_pretrained(options.detokenizer, ("encoder", "tokenizer", "detokenizer"))
        if drawing.stamp("encoder", "tokenizer") != model.stamp("encoder", "tokenizer"):
            raise ValueError(
                f"{options.detokenizer} draws the codes of another tokenizer than {options.model}'s: "
                "both must start from one tokenizer's folder"
            )
        model.detokenizer = drawing.detokenizer
    if options.language:
        if model.language is None or model.text_tokenizer is None:
            raise ValueError(
                f"{options.model} has no language half: it needs a language and a text_tokenizer"
            )
        to_causal_lm(model.language).save_pretrained(out)
        language = model.language
        to_tokenizer(model.text_tokenizer, language.vocabulary, language.turns).save_pretrained(out)
    else:
        model.save_pretrained(str(out))
    text = card(model, out, options.model, figures, options.language)
    (out / "README.md").write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. A user's error is one line and exit code 2."""
    parser = Parser(prog="python -m models.export", description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="model folder")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where to; not there yet")
    parser.add_argument(
        "--detokenizer",
        metavar="DIR",
        help="model folder whose detokenizer is put in, where stages went without",
    )
    parser.add_argument("--language", action="store_true", help="the language half alone, as a causal LM")
    parser.add_argument("--report", type=Path, metavar="FILE", help="of python -m evals, for the README")
    options = parser.parse_args(arguments)
    with user_errors("export"):
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        export(options)
    print(f"export: {options.out} is ready, its README says what it is")


if __name__ == "__main__":
    main()
