"""Inception, whose features FID, KID and IS are defined on: torch-fidelity's network and its published weights.

The end of the file's name is the beginning of its SHA-256, which is checked. The weights are read as plain tensors, and
only those are handed to torch-fidelity, which itself reads less carefully.
"""

import hashlib
import io
import logging
import pickle
import re
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from common.foreign_files import check_file
from evals.fidelity.extractor import Extractor

log = logging.getLogger(__name__)

PUBLISHED = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{PUBLISHED}"
NAMED_HASH = re.compile(r"-([0-9a-f]{8,64})\.pth$")
NAME = "inception-v3-compat"  # what torch-fidelity calls the network
LAYERS = ("2048", "logits_unbiased")  # of FID and KID, and of IS
RESIZE = "to 299 x 299 as TensorFlow 1 did: bilinear, no antialiasing (torch-fidelity's)"


def torch_fidelity() -> ModuleType:
    """The package. Raises ValueError if it is not there, or does not import."""
    try:
        import torch_fidelity
    except (ImportError, RuntimeError) as error:  # a torchvision of another torch is a RuntimeError
        reason = " ".join(str(error).split())[:120]
        raise ValueError(
            f"FID needs torch-fidelity and a torchvision of torch's own build ({reason}): see docs/use/fidelity.md, or "
            "pip install 'torch-fidelity>=0.4,<0.5' torchvision"
        ) from error
    return torch_fidelity


def check_weights(path: Path) -> str:
    """Checks that a file holds plain tensors and has the hash of its name; returns its SHA-256.

    Raises FileNotFoundError if there is no such file; ValueError if it is another.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"there are no Inception weights at {path}: give the path of {PUBLISHED}, or leave it out"
        )
    check_file(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    named = NAMED_HASH.search(path.name)
    if named and not digest.startswith(named[1]):
        raise ValueError(
            f"{path} is not what its name says: its SHA-256 begins with {digest[: len(named[1])]}; get it again"
        )
    _load_tensors(path)
    return digest


def _load_tensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(f"{path} does not load as plain tensors, so it is not opened") from error
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise ValueError(f"{path} holds no Inception weights: give a file of tensors by name")
    return tensors


def find_weights(given: Path | None = None) -> Path:
    """The file of weights: the one given, or else torch-fidelity's own, downloaded once.

    Raises FileNotFoundError if it cannot be downloaded.
    """
    if given is not None:
        return given
    path = Path(torch.hub.get_dir()) / "checkpoints" / PUBLISHED
    if path.is_file():
        return path
    log.info("getting %s", URL)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(URL, str(path), NAMED_HASH.search(PUBLISHED)[1], progress=False)
    except (OSError, RuntimeError) as error:  # no network; or what came is another file
        raise FileNotFoundError(
            f"{PUBLISHED} is not here and cannot be downloaded ({error}): get it from {URL} where there is a "
            f"network, and put it at {path}, or give --inception FILE"
        ) from error
    return path


def load_inception(
    given: Path | None = None, device: str = "cpu", layers: tuple[str, ...] = LAYERS
) -> Extractor:
    """Inception as an extractor, of a file of weights or torch-fidelity's own.

    Raises FileNotFoundError if the weights are not there; ValueError if they are others, or torch-fidelity is missing.
    """
    module = torch_fidelity()
    path = find_weights(given)
    digest = check_weights(path)
    plain = io.BytesIO()
    torch.save(_load_tensors(path), plain)
    plain.seek(0)
    try:
        network = module.FeatureExtractorInceptionV3(NAME, list(layers), feature_extractor_weights_path=plain)
    except (RuntimeError, KeyError) as error:
        raise ValueError(
            f"{path} holds other weights than torch-fidelity's Inception has: give {PUBLISHED}"
        ) from error
    if not digest.startswith(NAMED_HASH.search(PUBLISHED)[1]):
        log.warning("%s is not %s: its figures cannot be held against published ones", path, PUBLISHED)
    about = {"extractor": f"{NAME} of torch-fidelity, layers {' and '.join(layers)}", "weights": path.name}
    about |= {"weights_sha256": digest, "resize": RESIZE, "torch_fidelity": version("torch-fidelity")}
    return Extractor(network.eval().to(device), layers, about, device)
