"""A model folder's README: what it is, what it is made of, how it is loaded, and figures that were measured of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from common.json_files import read_json
from models.folder_hash import folder_hash
from models.model_folder import COMPONENTS

if TYPE_CHECKING:
    from models.unified import Illume

HEAD = """---
license: apache-2.0
library_name: {library}
pipeline_tag: {task}
tags: [illume, open-illume]
---
"""
WHOLE = """
# {name}

A model that sees and draws, after ILLUME ([arXiv 2412.06673](https://arxiv.org/abs/2412.06673)),
trained with open-illume.

```python
from models.unified import Illume

model = Illume.from_pretrained("{name}")
images = model.draw_batch(["a red circle"], seeds=[0])  # (1, 3, H, W) uint8
```

`python generate.py draw "a red circle" --model {name}` does the same from a terminal.
"""
LANGUAGE = """
# {name}

The language half of a model that sees and draws, after ILLUME
([arXiv 2412.06673](https://arxiv.org/abs/2412.06673)), trained with open-illume: a
causal LM whose vocabulary ends in special tokens and image codes.

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model, tokenizer = AutoModelForCausalLM.from_pretrained("{name}"), AutoTokenizer.from_pretrained("{name}")
turns = [{{"role": "user", "content": "hello"}}]
ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
```

It reads and writes text, and writes image codes after `<|begin_image|>`, {tokens} of them. It does not see: images enter
the whole model as features, through an adapter that is not here{places}.
Words of others are to be tokenized with `split_special_tokens=True`, or they can spell special tokens.
"""


def card(model: "Illume", folder: Path, source: Path, figures: Mapping[str, float], language: bool) -> str:
    """The README of an exported folder.

    Args:
        model: what was exported.
        folder: where it lies.
        source: the model folder that it was made from.
        figures: measured of it, by name.
        language: whether it is the language half alone.
    """
    task, library = ("text-generation", "transformers") if language else ("any-to-any", "open-illume")
    text = HEAD.format(library=library, task=task)
    lm = model.language
    about = {"name": folder.resolve().name}
    if language:
        places = "" if lm.position_embedding is None else ", nor are the learned rows for places in an image"
        text += LANGUAGE.format(**about, tokens=lm.draw_tokens, places=places)
    else:
        text += WHOLE.format(**about)
    text += "\n## Parts\n\n| part | class | parameters |\n|---|---|---|\n"
    for name in ("language",) if language else COMPONENTS:
        if (part := getattr(model, name)) is not None:
            count = sum(parameter.numel() for parameter in part.parameters())
            text += f"| {name} | `{type(part).__name__}` | {count:,} |\n"
    if lm is not None:
        vocabulary = lm.vocabulary
        text += (
            f"\nVocabulary: {vocabulary.text_size:,} pieces of text and {vocabulary.codes:,} image codes. An image "
            f"enters as {lm.see_tokens} features and leaves as {lm.draw_tokens} codes.\n"
        )
    text += _asked(model)
    text += f"\nMade from a model folder with the hash `{folder_hash(source)}`.\n"
    if figures:
        rows = "".join(f"| {name} | {value:.4g} |\n" for name, value in figures.items())
        text += f"\n## Measured\n\n| | |\n|---|---|\n{rows}"
    return text


def _asked(model: "Illume") -> str:
    """The words of its tasks, and how its codes are chosen; nothing where there is no language model."""
    if model.language is None:
        return ""
    prompts = "".join(f"| {task} | `{words}` |\n" for task, words in model.prompts.to_dict().items())
    tasks = {name: getattr(model.generation, name) for name in ("draw", "edit", "chat")}
    rows = "".join(f"| {name} | {one} |\n" for name, one in tasks.items())
    return (
        "\n## Prompts\n\nThe words of its training; `draw_null` and `reconstruct` are what guidance is away from.\n\n"
        f"| task | words |\n|---|---|\n{prompts}"
        f"\n## Sampling\n\nUnless a command says otherwise (`generation` in illume.json).\n\n| | |\n|---|---|\n{rows}"
    )


def read_figures(report: Path) -> dict[str, float]:
    """The measures in a report of `python -m evals`.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is no such report.
    """
    if not report.is_file():
        raise FileNotFoundError(f"--report {report}: there is no such file")
    said = read_json(report, allow_nan=True)
    measured = said.items() if isinstance(said, dict) else ()
    figures = {key: value for key, value in measured if "/" in key and isinstance(value, int | float)}
    figures = {key: value for key, value in figures.items() if not key.startswith("seconds/")}
    if not figures:
        raise ValueError(f"--report {report} is no report of `python -m evals`: it names no measure")
    return figures
