"""A model to share: `python -m models.export --model DIR --out FOLDER [--detokenizer DIR] [--language] [--report FILE]`.

FOLDER then holds the model's components, which `Illume.from_pretrained` reads, and a README that describes it. With
--language it holds the language half as a plain Hugging Face causal LM with its tokenizer.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from common.errors import Parser, user_errors
from common.files import atomic, write_text
from common.folder_lock import FolderLock
from common.json_files import read_json
from common.paths import path_or_name, user_path
from models.generation import read_generation
from models.sampling_options import add_sampling, given_sampling


def export(options: argparse.Namespace) -> None:
    """Writes the folder, whole or not at all; nothing that is there is written over.

    Raises:
        FileExistsError: FOLDER holds something.
        FileNotFoundError: the model folder or the report is not there.
        ValueError: the model has no language half, or another process writes FOLDER.
    """
    out: Path = options.out
    with FolderLock(out), atomic(out, replace=False) as scratch:
        scratch.mkdir()
        _write(options, scratch)


def _write(options: argparse.Namespace, folder: Path) -> None:
    figures = read_figures(options.report) if options.report else {}
    given = {"draw": given_sampling(options).given, "edit": given_sampling(options, "edit_").given}
    generation = read_generation(options.model).override(given)  # fails before torch is imported
    from transformers.utils import logging

    from models.causal_lm import to_causal_lm, to_tokenizer
    from models.model_card import make_card
    from models.unified import Illume
    from models.weights import open_to_readers

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model = Illume.from_pretrained(options.model, as_stored=not options.language)
    model.generation = generation
    if options.detokenizer:
        drawing = Illume.from_pretrained(options.detokenizer, ("encoder", "tokenizer", "detokenizer"))
        if drawing.fingerprint("encoder", "tokenizer") != model.fingerprint("encoder", "tokenizer"):
            raise ValueError(
                f"{options.detokenizer} draws the codes of another tokenizer than {options.model}'s: "
                "both must start from one tokenizer's folder"
            )
        model.detokenizer = drawing.detokenizer
    if options.language:
        language, text_tokenizer = model.language, model.text_tokenizer
        if language is None or text_tokenizer is None:
            raise ValueError(
                f"{options.model} has no language half: it needs a language and a text_tokenizer"
            )
        to_causal_lm(language).save_pretrained(folder)
        to_tokenizer(text_tokenizer, language.vocabulary, language.turns).save_pretrained(folder)
    else:
        model.save_pretrained(folder)
    text = make_card(model, options.out, options.model, figures, options.language)
    write_text(folder / "README.md", text)
    open_to_readers(folder, "README.md")


def read_figures(report: Path) -> dict[str, float]:
    """The measures in a report of `python -m evals`.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is no such report.
    """
    if not report.is_file():
        raise FileNotFoundError(f"--report {report}: there is no such file")
    content = read_json(report, allow_nan=True)
    items = content.items() if isinstance(content, dict) else ()
    numbers = {key: value for key, value in items if "/" in key and isinstance(value, int | float)}
    figures = {key: value for key, value in numbers.items() if not key.startswith("seconds/")}
    if not figures:
        raise ValueError(f"--report {report} is no report of `python -m evals`: it names no measure")
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. A user's error is one line and exit code 2."""
    parser = Parser(prog="python -m models.export", description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--model", type=user_path, required=True, metavar="DIR", help="model folder")
    out = "where to; not there yet"
    parser.add_argument("--out", type=user_path, required=True, metavar="FOLDER", help=out)
    detokenizer = "model folder whose detokenizer is put in, where stages went without"
    parser.add_argument("--detokenizer", type=path_or_name, metavar="DIR", help=detokenizer)
    parser.add_argument("--language", action="store_true", help="the language half alone, as a causal LM")
    add_sampling(parser, "drawings, for who takes the folder")
    add_sampling(parser, "edits, the same", "edit-")
    parser.add_argument("--report", type=user_path, metavar="FILE", help="of python -m evals, for the README")
    options = parser.parse_args(arguments)
    with user_errors("export"):
        export(options)
    print(f"export: {options.out} is ready, its README says what it is")


if __name__ == "__main__":
    main()
