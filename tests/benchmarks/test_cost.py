"""The benchmark of an image's cost."""

import json
from xml.etree import ElementTree

import pytest

from benchmarks import cost
from benchmarks.harness import run


def test_the_cost_of_images_is_drawn(monkeypatch, capsys, tmp_path):
    for name, value in (("SMALL", (64, 1, 32)), ("MODELS", ((64, 1, 32), (64, 2, 32))), ("COUNT", 4)):
        monkeypatch.setattr(cost, name, value)
    options = f"--batches 1 2 --tokens 2 3 --rounds 1 --json --svg {tmp_path / 'cost.svg'}"
    run(cost.measure, arguments=options.split())
    found = json.loads(capsys.readouterr().out)
    assert set(found["batch"]) == {"1", "2"} and len(found["parameters"]) == 2
    for at in found["tokens"].values():  # how large it is, on a busy machine, is nobody's to say
        assert at["share"] == pytest.approx(
            at["allowed_an_image"] / at["seconds_an_image"], rel=0.05, abs=2e-3
        )
    assert len(curves((tmp_path / "cost.svg").read_text())) == 6
    assert cost.parameters((64, 2, 32)) == 2 * (4 * 64 * 64 + 3 * 64 * 32) + cost.CODES * 64


def curves(svg: str) -> dict[str, list[float]]:
    """The heights of each curve's points, by its name."""
    groups = [group for group in ElementTree.fromstring(svg).findall(".//{*}g") if " " in group.get("id", "")]
    paths = {group.get("id"): group.find("{*}path").get("d").split() for group in groups}
    return {name: [float(y) for y in path[2::3]] for name, path in paths.items()}


def test_panels_share_a_scale_upwards():
    def at(seconds):
        return {"seconds_an_image": seconds, "allowed_an_image": seconds / 2}

    heights = curves(cost.plot_costs({"batch": {1: at(0.1), 10: at(1.0)}, "tokens": {1: at(1.0)}}))
    assert heights["batch measured"][1] == heights["tokens measured"][0] < heights["batch measured"][0]
