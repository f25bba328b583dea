"""The vocabulary of GenEval: COCO's 80 classes, three of them renamed, and ten colours.

Detectors are mapped to it by name, never by index: label files differ in order and in spelling.
"""

from collections.abc import Mapping
from dataclasses import dataclass

TAGS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
RELATIONS = ("left of", "right of", "above", "below")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
COCO = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
    *("traffic light", "fire hydrant", "stop sign", "parking meter", "bench"),
    *("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"),
    *("backpack", "umbrella", "handbag", "tie", "suitcase"),
    *("frisbee", "skis", "snowboard", "sports ball", "kite"),
    *("baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket"),
    *("bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl"),
    *("banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake"),
    *("chair", "couch", "potted plant", "bed", "dining table", "toilet"),
    *("tv", "laptop", "mouse", "remote", "keyboard", "cell phone"),
    *("microwave", "oven", "toaster", "sink", "refrigerator"),
    *("book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush"),
)
RENAMED = {"mouse": "computer mouse", "remote": "tv remote", "keyboard": "computer keyboard"}
SPELLINGS = {  # how some label files spell COCO's names: those of Pascal VOC, and American ones
    "motorbike": "motorcycle",
    "aeroplane": "airplane",
    "sofa": "couch",
    "pottedplant": "potted plant",
    "diningtable": "dining table",
    "tvmonitor": "tv",
    "hair dryer": "hair drier",
    "doughnut": "donut",
}
OBJECTS = tuple(RENAMED.get(name, name) for name in COCO)


@dataclass(frozen=True)
class Vocabulary:
    """The classes and colours that prompts may ask for."""

    classes: tuple[str, ...]
    colours: tuple[str, ...]


GENEVAL = Vocabulary(OBJECTS, COLOURS)


def class_of(label: str) -> str:
    """GenEval's name of a detector's label."""
    label = label.strip().lower().replace("_", " ").replace("-", " ")
    label = SPELLINGS.get(label, label)
    return RENAMED.get(label, label)


def classes_of(labels: Mapping[int, str]) -> dict[int, str]:
    """GenEval's names of a detector's labels by their ids."""
    return {int(i): class_of(label) for i, label in labels.items()}
