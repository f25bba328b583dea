"""A few hundred damaged images through the one opener; `python -m benchmarks.image_fuzz` takes ten thousand."""

import json

import pytest

from benchmarks import image_fuzz
from benchmarks.image_seeds import seeds
from common.images import UnreadableImage, image_info, open_image


def test_damaged_images_open_as_pil_decodes_them_or_are_refused_by_name():
    found = image_fuzz.fuzz(400, seed=1)
    assert found["faults"] == []
    assert found["equal_to_pil"] > 100 and sum(found["refused"].values()) > 100
    opened = found["equal_to_pil"] + found["opened_where_pil_raises"] + sum(found["refused"].values())
    assert opened == found["images"] == sum(found["formats"].values())


def test_a_fault_is_found_and_reproduced_by_its_number(monkeypatch: pytest.MonkeyPatch, capsys):
    """Exceptions of others, other pixels, and refusals of what PIL decodes."""

    def broken(data: bytes):
        info = image_info(data)
        if info.mode == "L":
            raise KeyError("not the project's own")
        if info.mode == "P":
            raise UnreadableImage("damaged")
        return open_image(data).transpose(0) if info.mode == "RGBA" else open_image(data)

    monkeypatch.setattr(image_fuzz, "open_image", broken)
    monkeypatch.setattr(image_fuzz, "seeds", lambda: [s for s in seeds() if s[0].startswith("PNG")])
    monkeypatch.setattr(image_fuzz, "DAMAGES", {"metadata": image_fuzz.DAMAGES["metadata"]})
    faults = image_fuzz.fuzz(40)["faults"]
    kinds = {fault["fault"].split(":")[0] for fault in faults}
    assert {"KeyError", "other pixels than PIL's", "refused as damaged, and PIL decodes it"} <= kinds
    number = str(faults[0]["number"])
    assert image_fuzz.main(["--first", number, "--images", "1"]) == 1
    assert json.loads(capsys.readouterr().out)["faults"] == faults[:1]
