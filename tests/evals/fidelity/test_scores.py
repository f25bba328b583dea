"""Our scores and torch-fidelity's own on the same images: a small network in its registry, and its real Inception."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from benchmarks import fidelity as benchmark
from evals.fidelity import inception
from evals.fidelity.inception import load_inception
from tests.evals.command_line import run
from tests.evals.fidelity.small_network import LAYERS, Small, paint, small_extractor

torch_fidelity = pytest.importorskip("torch_fidelity", reason="make test has it in .venv/fidelity")
from torch_fidelity.feature_extractor_base import FeatureExtractorBase  # noqa: E402

ORIENTATION = 0x0112  # of EXIF
PAIRS = {
    "fid": torch_fidelity.KEY_METRIC_FID,
    "kid": torch_fidelity.KEY_METRIC_KID_MEAN,
    "kid/std": torch_fidelity.KEY_METRIC_KID_STD,
    "is": torch_fidelity.KEY_METRIC_ISC_MEAN,
    "is/std": torch_fidelity.KEY_METRIC_ISC_STD,
}


class Registered(FeatureExtractorBase):
    """The small network as torch-fidelity takes one."""

    def __init__(self, name: str, features_list: list[str], **_: Any) -> None:
        super().__init__(name, features_list)
        self.network = Small()

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return LAYERS

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = dict(zip(LAYERS, self.network(images), strict=True))
        return tuple(found[name] for name in self.features_list)


torch_fidelity.register_feature_extractor("small", Registered)


def theirs(drawn: Path, real: Path, layers: tuple[str, str], size: int, **settings: Any) -> dict[str, float]:
    """torch-fidelity's own answer."""
    found = torch_fidelity.calculate_metrics(
        input1=str(drawn), input2=str(real), cuda=False, fid=True, kid=True, isc=True, feature_layer_fid=layers[0],
        feature_layer_kid=layers[0], feature_layer_isc=layers[1], kid_subset_size=size, samples_find_deep=True,
        cache=False, save_cpu_ram=True, verbose=False, **settings,
    )  # fmt: skip
    return {name: found[key] for name, key in PAIRS.items()}


@pytest.mark.parametrize(("drawn", "real"), [(80, 60), (60, 12), (12, 80), (12, 14)])
def test_the_same_figures_on_a_small_network(
    drawn: int, real: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More images than features, and fewer on one side or on both."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(inception, "load_inception", lambda *_: small_extractor())
    paint(Path("drawn"), [f"{i:03d}.png" for i in range(drawn)], 1)
    paint(Path("real"), [f"{i % 2}/{i:03d}.jpg" for i in range(real)], 2)
    turned = Image.Exif()
    turned[ORIENTATION] = 6
    with Image.open("real/0/002.jpg") as image:
        image.save("real/0/002.png", exif=turned)
    Path("real/0/002.jpg").unlink()
    report = run("--suite", "fid", "--images", "drawn", "--real", "real")
    with Image.open("real/0/002.png") as image:  # there the turn is passed over, so it is made for it
        image.transpose(Image.Transpose.ROTATE_270).save("real/0/002.png")
    wanted = theirs(Path("drawn"), Path("real"), LAYERS, min(drawn, real), feature_extractor="small")
    assert {name: report[name] for name in PAIRS} == pytest.approx(wanted, rel=1e-4)


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of torch-fidelity's Inception that nobody trained, under a hash of their own."""
    torch.manual_seed(0)
    base = torch_fidelity.FeatureExtractorInceptionV3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "load_state_dict", lambda *_: None)
        patch.setattr(
            "torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", lambda *_, **__: {}
        )
        network = base("random", ["2048"])
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.weight.fill_(2.0)  # or else what differs between images dies out on its way
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(network.state_dict(), path)
    return path.rename(path.with_name(f"inception-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"))


@pytest.mark.slow
def test_the_same_figures_on_the_real_inception(
    random_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every layer of it is passed; FID is of one with 192 features, as 2,048 take torch-fidelity a minute."""
    monkeypatch.chdir(tmp_path)
    layers = ("192", "logits_unbiased")
    monkeypatch.setattr(
        inception, "load_inception", lambda given, device: load_inception(given, device, layers)
    )
    paint(Path("drawn"), [f"{i:03d}.png" for i in range(10)], 1, sizes=(64,))
    paint(Path("real"), [f"{i:03d}.png" for i in range(12)], 2, sizes=(96,))
    words = ["--images", "drawn", "--real", "real", "--inception", str(random_weights)]
    report = run("--suite", "fid", *words)
    weights = {"feature_extractor_weights_path": str(random_weights)}
    wanted = theirs(Path("drawn"), Path("real"), layers, 10, **weights)
    assert {name: report[name] for name in PAIRS} == pytest.approx(wanted, rel=1e-4)
    assert report["weights_sha256"][:8] in random_weights.name == report["weights"]
    assert report["torch_fidelity"] == torch_fidelity.__version__ and "299 x 299" in report["resize"]


def test_weights_of_another_network(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="other.pth holds other weights than torch-fidelity's Inception has"):
        load_inception(tmp_path / "other.pth")


def test_the_benchmark_compares_the_same_features() -> None:
    for images in ((50, 40), (9, 40)):
        pair = [benchmark.random_features(count, 12, seed) for seed, count in enumerate(images)]
        found = benchmark.compare(*pair, rounds=1)
        assert found["relative_difference"] < 1e-4 and found["ours"] > 0 and found["images"] == list(images)
