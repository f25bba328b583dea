"""A model folder's README: what it is, what it is made of, how it is loaded, and figures that were measured of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from models.folder_hash import folder_hash
from models.model_folder import COMPONENTS
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
image = model.draw("a red circle", seed=0)  # a PIL image
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
the whole model as features, through an adapter that is not here{positions}.
Text of others is to be tokenized with `split_special_tokens=True`, or it can spell special tokens.
"""


def make_card(model: Illume, folder: Path, source: Path, figures: Mapping[str, float], language: bool) -> str:
    """The README of an exported folder.

    Args:
        model: what was exported.
        folder: where it lies.
        source: the model folder that it was made from.
        figures: measured of it, by name.
        language: whether it is the language half alone.
    """
    task, library = ("text-generation", "transformers") if language else ("any-to-any", "open-illume")
    text, lm, name = HEAD.format(library=library, task=task), model.language, folder.resolve().name
    if language:
        positions = "" if lm.position_embedding is None else ", nor is the position embedding within an image"
        text += LANGUAGE.format(name=name, tokens=lm.draw_tokens, positions=positions)
    else:
        text += WHOLE.format(name=name)
    names = ("language",) if language else COMPONENTS
    components = {name: component for name in names if (component := getattr(model, name)) is not None}
    rows = [
        (name, f"`{type(own).__name__}`", f"{sum(p.numel() for p in own.parameters()):,}")
        for name, own in components.items()
    ]
    text += "\n## Components\n\n" + _table(("component", "class", "parameters"), rows)
    if lm is not None:
        tasks = [(task, str(getattr(model.generation, task))) for task in ("draw", "edit", "chat")]
        prompts = [(task, f"`{prompt}`") for task, prompt in model.prompts.to_dict().items()]
        text += (
            f"\nVocabulary: {lm.vocabulary.text_size:,} pieces of text and {lm.vocabulary.codes:,} image codes. An image "
            f"enters as {lm.see_tokens} features and leaves as {lm.draw_tokens} codes.\n"
            "\n## Prompts\n\nThose of its training; `draw_null` and `reconstruct` are the null prompts of guidance.\n\n"
            f"{_table(('task', 'prompt'), prompts)}"
            "\n## Sampling\n\nThe defaults of every command (`generation` in illume.json).\n\n"
            f"{_table(('task', 'settings'), tasks)}"
        )
    text += f"\nMade from a model folder with the hash `{folder_hash(source)}`.\n"
    if figures:
        measured = [(name, f"{value:.4g}") for name, value in figures.items()]
        text += "\n## Measured\n\n" + _table(("measure", "value"), measured)
    return text


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
