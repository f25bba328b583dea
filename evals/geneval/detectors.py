"""The kinds of detectors, and whether one can find what the prompts name."""

from collections.abc import Collection, Sequence

from evals.geneval.detection import Detector
from evals.geneval.mask2former import Mask2FormerDetector
from evals.geneval.open_vocabulary import GroundingDinoDetector, Owlv2Detector
from evals.published_weights import WeightSource

OFFICIAL = "mask2former"  # the family that the official thresholds are made for
KINDS = (OFFICIAL, "owlv2", "grounding-dino")


def detector_kind(source: str) -> str:
    """The kind of a detector, by its config alone.

    Raises FileNotFoundError if there is no such folder; ValueError if it has no config, or is none of `KINDS`.
    """
    weights = WeightSource.parse(source, "--detector")
    kind = weights.load_config().model_type
    if kind not in KINDS:
        raise ValueError(f"{weights} is a {kind}: give one of {', '.join(KINDS)}")
    return kind


def load_detector(
    source: str, classes: Sequence[str], needed: Collection[str], device: str = "cpu"
) -> Detector:
    """A detector of the needed classes; one of open vocabulary is prompted with `classes`.

    Raises ValueError if it does not load, or does not know some of the classes.
    """
    kind = detector_kind(source)
    if kind == OFFICIAL:
        detector: Detector = Mask2FormerDetector(source, device)
    else:
        detector = (Owlv2Detector if kind == "owlv2" else GroundingDinoDetector)(source, classes, device)
    if unknown := sorted(set(needed) - detector.classes):
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise ValueError(
            f"--detector {source} does not know {', '.join(unknown[:5])}{more}: "
            "give one that was trained on COCO's classes"
        )
    return detector
