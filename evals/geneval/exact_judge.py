"""GenEval's own path on the playground: its prompts as GenEval metadata, its exact judge as detector and colour reader.

The verdicts equal those of the playground's direct judge (`worlds.playground.judge.satisfies`), which asks for more than
GenEval does. What makes them equal, and where they would differ without it:

- GenEval allows what nobody asked for. Here `exclude` names one more of each class than is asked for, each other
  shape, and objects that the judge cannot identify.
- GenEval looks for each request among all objects of its class, so that one object may meet two requests. Where one
  shape is asked for in several ways ("a red circle and a blue circle"), the colour is a part of the class, under which
  the judge reports each object as well.
- GenEval takes a diagonal for both of its relations, the playground for none. `RULES` has the playground's measure: no
  slack, and one axis 1.5 times the other. With GenEval's own measure some diagonals would count as right.
- The playground also finds no relation between centres that are less than half a cell apart. Shapes do not overlap, so
  that there are none such; no rule here says so.
"""

from collections import Counter
from collections.abc import Sequence
from math import hypot
from typing import Any

import numpy as np
from PIL import Image

from evals.geneval.detection import Detection
from evals.geneval.metadata import Prompt, parse_prompt
from evals.geneval.rules import Rules
from evals.geneval.vocabulary import Vocabulary
from worlds.playground.judge import UNKNOWN, Reading, SeenObject, read
from worlds.playground.prompts import PromptSpec, evaluation_prompts
from worlds.playground.scene import COLOURS, IMAGE_SIZE, SHAPES

LEAD = 1.5 / hypot(1.5, 1)  # of an axis that is 1.5 times the other, which is still enough
RULES = Rules(slack=0, lead=LEAD - 1e-9)
VOCABULARY = Vocabulary((*SHAPES, UNKNOWN, *(f"{c} {s}" for c in COLOURS for s in SHAPES)), tuple(COLOURS))


class ExactJudge:
    """Detects the playground's shapes and reads their colours, exactly: each score is 1."""

    name = "playground (its exact judge)"
    classes = frozenset(VOCABULARY.classes)

    def detect(self, image: Image.Image, threshold: float = 0.0) -> list[Detection]:
        """Every object in an RGB image under its shape, and under its colour and shape together."""
        return [
            Detection(name, 1.0, _box(item))
            for item in read_scene(image).objects
            for name in {item.shape, UNKNOWN if item.shape == UNKNOWN else f"{item.colour} {item.shape}"}
        ]

    def read_colours(self, image: Image.Image, objects: Sequence[Detection], name: str) -> list[str]:
        """The colours of some detected objects."""
        colours = {_box(item): item.colour for item in read_scene(image).objects}
        return [colours[one.box] for one in objects]


def read_scene(image: Image.Image) -> Reading:
    """What the playground's judge reads in an RGB image. Raises ValueError if its size is not the playground's."""
    if image.size != (IMAGE_SIZE, IMAGE_SIZE):
        raise ValueError(
            f"the playground's judge reads images of {IMAGE_SIZE} pixels a side, not {image.width} x {image.height}"
        )
    return read(np.array(image)[None])[0]


def _box(item: SeenObject) -> tuple[float, float, float, float]:
    return item.x - item.radius, item.y - item.radius, item.x + item.radius, item.y + item.radius


def playground_prompts(per_category: int, seed: int = 0) -> list[Prompt]:
    """The playground's evaluation prompts in GenEval's format."""
    prompts = evaluation_prompts(per_category, seed)
    return [parse_prompt({"prompt": p.text, **metadata_of(p.spec)}, p.text, VOCABULARY) for p in prompts]


def metadata_of(spec: PromptSpec) -> dict[str, Any]:
    """A prompt as GenEval's metadata. Raises ValueError if it relates two objects that are described alike."""
    wanted: Counter[tuple[str | None, str]] = Counter()
    for count, colour, shape in spec.objects:
        wanted[colour, shape] += count
    totals: Counter[str] = Counter()
    for (_, shape), count in wanted.items():
        totals[shape] += count
    mixed = {shape for shape in totals if sum(shape == other for _, other in wanted) > 1}
    include = [_request(kind, count, totals, mixed) for kind, count in wanted.items()]
    counts = {item["class"]: item["count"] for item in include}
    counts |= {shape: totals[shape] for shape in (*SHAPES, UNKNOWN)}
    if spec.relation is not None:
        if len(include) != 2:
            raise ValueError(f"the two objects of {spec.objects} are described alike")
        include = [include[1], include[0] | {"position": [spec.relation, 0]}]
    exclude = [{"class": name, "count": count + 1} for name, count in counts.items()]
    return {"tag": spec.category, "include": include, "exclude": exclude}


def _request(
    kind: tuple[str | None, str], count: int, totals: Counter[str], mixed: set[str]
) -> dict[str, Any]:
    """One requirement; of a shape that is asked for in several colours, by class alone."""
    colour, shape = kind
    if shape not in mixed:
        return {"class": shape, "count": count} | ({"color": colour} if colour else {})
    return (
        {"class": f"{colour} {shape}", "count": count} if colour else {"class": shape, "count": totals[shape]}
    )
