"""The settings of FID, MJHQ-30K and rFID."""

from dataclasses import dataclass
from pathlib import Path

from evals.settings import DrawingSettings, option


@dataclass(frozen=True, kw_only=True)
class FidelitySettings(DrawingSettings):
    """What every distance to real images takes (docs/use/fidelity.md)."""

    real: Path = option("real images: folder, .zip, .tar, statistics; MJHQ-30K's folder")
    inception: Path | None = option("Inception weights (downloaded)", None, metavar="FILE")
    features: Path | None = option("caches features there, to go on with", None)


@dataclass(frozen=True, kw_only=True)
class FidSettings(FidelitySettings):
    """FID of drawings."""

    prompts: str | None = option("a prompt a line", None, drawing=True, metavar="FILE")
