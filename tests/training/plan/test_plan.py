"""Plans of the 7B recipes, number by number, as they are printed; a change here is a change of what is planned."""

import re

import pytest

from tests.training.plan.planned import plan_of
from training.plan.report import report

PEAKS = ("activations", "at most")
NUMBERS = {  # of each line that has any, but for those of the device's peak and of hours
    "tokenizer": {
        "encoder": "630,763,520 0",
        "tokenizer": "69,288,800 69,288,800",
        "all": "700,052,320 69,288,800",
        "weights": "2.61",
        "gradients": "0.26",
        "optimizer": "0.52",
        "DDP's buckets": "0.26",
        "copies of weights": "0.13",
        "activations": "1.78",
        "at most": "5.55",
        "images": "256 32",
        "TFLOP per device": "14.2",
        "forward": "11.9",
        "backward": "2.3",
        "in float32": "10.8",
    },
    "detokenizer": {
        "encoder": "630,763,520 0",
        "tokenizer": "69,288,800 0",
        "vae": "83,653,863 0",
        "unet": "2,567,648,004 2,567,648,004",
        "condition": "327,936 327,936",
        "all": "3,351,682,123 2,567,975,940",
        "weights": "12.49",
        "gradients": "9.57",
        "optimizer": "19.13",
        "DDP's buckets": "9.57",
        "copies of weights": "(4.78)",
        "activations": "(2.78)",
        "optimizer's step": "9.57",
        "at most": "60.32",
        "images": "128 16",
        "TFLOP per device": "115.9",
        "forward": "48.3",
        "backward": "49.3",
        "recomputed": "18.3",
        "in float32": "5.9",
    },
    "stage1": {
        "encoder": "630,763,520 0",
        "tokenizer": "69,288,800 0",
        "trunk": "6,476,271,616 0",
        "text": "262,144,000 0",
        "adapter": "22,028,288 22,028,288",
        "vision": "134,275,072 134,275,072",
        "trunk (unused)": "4,096 0",
        "all": "7,594,775,392 156,303,360",
        "weights": "5.89",
        "gradients": "0.14",
        "optimizer": "0.29",
        "gathered by FSDP2": "1.74",
        "copies of weights": "0.03",
        "activations": "6.53",
        "at most": "14.63",
        "tokens": "114,688 2,048",
        "samples": "247",
        "images seen": "248",
        "images drawn": "120",
        "TFLOP per device": "600.7",
        "forward": "215.8",
        "backward": "225.3",
        "recomputed": "159.7",
        "in float32": "10.4",
    },
    "stage2": {
        "encoder": "630,763,520 0",
        "tokenizer": "69,288,800 0",
        "trunk": "6,476,271,616 6,476,271,616",
        "text": "262,144,000 262,144,000",
        "adapter": "22,028,288 22,028,288",
        "vision": "134,275,072 134,275,072",
        "trunk (unused)": "4,096 0",
        "all": "7,594,775,392 6,894,718,976",
        "weights": "5.89",
        "gradients": "3.28",
        "optimizer": "6.56",
        "gathered by FSDP2": "3.36",
        "copies of weights": "0.03",
        "activations": "6.97",
        "at most": "26.10",
        "tokens": "344,064 2,048",
        "samples": "1,037",
        "images seen": "360",
        "images drawn": "576",
        "TFLOP per device": "2,382.0",
        "forward": "672.5",
        "backward": "1,230.4",
        "recomputed": "479.1",
        "in float32": "39.2",
    },
    "stage3": {
        "encoder": "630,763,520 0",
        "tokenizer": "69,288,800 0",
        "trunk": "6,476,271,616 6,476,271,616",
        "text": "262,144,000 262,144,000",
        "adapter": "22,028,288 22,028,288",
        "vision": "134,275,072 134,275,072",
        "trunk (unused)": "4,096 0",
        "understanding_encoder": "630,763,520 630,763,520",
        "all": "8,225,538,912 7,525,482,496",
        "weights": "8.24",
        "gradients": "5.63",
        "optimizer": "11.26",
        "gathered by FSDP2": "3.36",
        "copies of weights": "1.21",
        "activations": "8.71",
        "at most": "38.43",
        "tokens": "983,040 4,096",
        "samples": "1,083",
        "images seen": "2,880",
        "images drawn": "480",
        "TFLOP per device": "9,240.3",
        "forward": "2,415.3",
        "backward": "4,952.7",
        "recomputed": "1,872.3",
        "in float32": "20.1",
    },
}


@pytest.mark.parametrize("stage", NUMBERS)
def test_a_plan_counts_what_it_always_has(stage):
    lines = report(plan_of("--config", f"illume_7b/{stage}.yaml"), None).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("component"))
    end = next(number for number, line in enumerate(lines) if line.startswith("Fits"))
    found = {}
    for line in lines[start:end]:
        name, *numbers = re.split(r"\s{2,}|(?<=[a-z)]) (?=\d)", line.strip())
        if values := [number for number in numbers if re.fullmatch(r"\(?[\d,.]+\)?", number)]:
            found[name] = " ".join(values)
    wanted = dict(NUMBERS[stage])
    for name in PEAKS:  # what the loss holds at its peak hangs on a copy of features more or less
        peak, usual = (float(numbers.pop(name).strip("()")) for numbers in (found, wanted))
        assert peak == pytest.approx(usual, rel=5e-3, abs=0.011)
    assert found == wanted
