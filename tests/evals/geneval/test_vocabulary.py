"""Labels of detectors are mapped to GenEval's classes."""

from evals.geneval.vocabulary import COCO, OBJECTS, class_of, classes_of


def test_labels_are_mapped_by_name_whatever_their_order_and_spelling() -> None:
    assert len(set(OBJECTS)) == 80
    backwards = classes_of({i: name.title() for i, name in enumerate(reversed(COCO))})
    assert [backwards[79 - i] for i in range(80)] == list(OBJECTS)
    labels = {"mouse": "computer mouse", "remote": "tv remote", "keyboard": "computer keyboard"}
    labels |= {"tvmonitor": "tv", "Potted_Plant": "potted plant", "pottedplant": "potted plant"}
    labels |= {"motorbike": "motorcycle", "zeppelin": "zeppelin"}
    assert [class_of(label) for label in labels] == list(labels.values())
    assert [class_of(name) for name in OBJECTS] == list(OBJECTS)  # GenEval's own names stay
