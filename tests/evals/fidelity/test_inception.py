"""Weights are what their name says and plain tensors, or are not opened; where there are none, one line says which."""

import hashlib
import pickle
import sys
from pathlib import Path
from urllib.error import URLError

import pytest
import torch

from evals.fidelity import inception
from evals.fidelity.inception import PUBLISHED, check_weights, find_weights, load_inception


class Evil:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple:
        return (open, ("evil-was-here", "w"))


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))


def save_named(name: str) -> Path:
    torch.save({"a": torch.zeros(2)}, "weights.pth")
    digest = hashlib.sha256(Path("weights.pth").read_bytes()).hexdigest()
    return Path("weights.pth").rename(name.format(digest[:8]))


def test_weights_are_tensors_or_are_not_opened() -> None:
    Path("evil.pth").write_bytes(pickle.dumps(Evil()))
    torch.save({"a": Evil()}, "evil2.pth")
    Path("empty.pth").touch()
    for name in ("evil.pth", "evil2.pth", "empty.pth"):
        with pytest.raises(ValueError, match=name):
            check_weights(Path(name))
    assert not Path("evil-was-here").exists()
    with pytest.raises(FileNotFoundError, match="none.pth"):
        check_weights(Path("none.pth"))


def test_weights_are_what_the_hash_in_their_name_says() -> None:
    good = save_named("inception-{}.pth")
    assert check_weights(good) == hashlib.sha256(good.read_bytes()).hexdigest()
    other = good.rename("inception-00000000.pth")
    with pytest.raises(
        ValueError, match="inception-00000000.pth is not what its name says: its SHA-256 begins"
    ):
        check_weights(other)
    torch.save({"a": torch.ones(2)}, PUBLISHED)
    with pytest.raises(ValueError, match="is not what its name says"):
        check_weights(Path(PUBLISHED))
    assert check_weights(save_named("no-hash-at-all.pth"))


def test_without_a_network_a_line_names_the_file_and_where_it_may_be_put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(FileNotFoundError) as error:
        find_weights(None)
    place = tmp_path / "hub/checkpoints" / PUBLISHED
    said = str(error.value)
    assert "\n" not in said and str(place) in said and "--inception FILE" in said and inception.URL in said
    place.write_bytes(b"")
    assert find_weights(None) == place and find_weights(Path("mine.pth")) == Path("mine.pth")


def test_a_download_is_held_against_its_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(
        torch.hub, "download_url_to_file", lambda url, place, prefix, progress: asked.append((url, prefix))
    )
    find_weights(None)
    assert asked == [(inception.URL, "6726825d")]


def test_without_torch_fidelity_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(ValueError, match=r"pip install 'torch-fidelity>=0.4,<0.5' torchvision"):
        load_inception(save_named("inception-{}.pth"))
