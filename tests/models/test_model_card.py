"""The README of an exported folder."""

import json

import torch

from models import export
from models.unified import Illume


def run(folder, *words):
    out = folder.parent / "out"
    export.main(["--model", str(folder), "--out", str(out), *words])
    return out


def test_the_readme_describes_an_exported_model(illume, folder, tmp_path):
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"geneval/overall": 0.61, "seed": 0, "seconds/evals": 3, "suite": "x"}))
    out = run(folder, "--report", str(report))
    again = Illume.from_pretrained(str(out))
    assert torch.equal(again.draw_batch(["red"], [3]), illume.draw_batch(["red"], [3]))
    said = (out / "README.md").read_text()
    parameters = sum(p.numel() for p in illume.language.parameters())
    assert f"| language | `UnifiedLM` | {parameters:,} |" in said and "| geneval/overall | 0.61 |" in said
    assert "seconds" not in said and said.startswith("---\nlicense: apache-2.0\n")
