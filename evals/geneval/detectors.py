"""Which detector a folder or a hub name holds, and whether it can find what the prompts name."""

from collections.abc import Collection, Sequence

from transformers import AutoConfig

from evals.geneval.detection import Detector
from evals.geneval.mask2former import Mask2FormerDetector
from evals.geneval.open_vocabulary import GroundingDinoDetector, Owlv2Detector
from evals.published_weights import load

OFFICIAL = "mask2former"  # the family that the official thresholds are made for
KINDS = (OFFICIAL, "owlv2", "grounding-dino")


def kind_of(source: str) -> str:
    """Which of the known detectors it is, by its config alone.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: it has no config, or is none of them.
    """
    kind = load(AutoConfig.from_pretrained, source, "--detector").model_type
    if kind not in KINDS:
        raise ValueError(f"--detector {source} is a {kind}: give one of {', '.join(KINDS)}")
    return kind


def load_detector(
    source: str, classes: Sequence[str], needed: Collection[str], device: str = "cpu"
) -> Detector:
    """A detector that finds the classes which are needed.

    Args:
        source: folder or hub name.
        classes: what one that is told in words looks for.
        needed: what the prompts name.
        device: where it runs.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: it does not load, or does not know some of the classes.
    """
    kind = kind_of(source)
    if kind == OFFICIAL:
        detector: Detector = Mask2FormerDetector(source, device)
    else:
        detector = (Owlv2Detector if kind == "owlv2" else GroundingDinoDetector)(source, classes, device)
    if lost := sorted(set(needed) - detector.classes):
        more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
        raise ValueError(
            f"--detector {source} does not know {', '.join(lost[:5])}{more}: give one that was trained on COCO's classes"
        )
    return detector
