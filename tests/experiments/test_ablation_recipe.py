"""Mistakes in an ablation's YAML are one line, before anything is trained."""

import pytest

from evals.options import build_parser
from experiments import ablate
from tests.experiments.test_ablate import YAML, folder

__all__ = ["folder"]


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("# none\nextends: [a.yaml]\n", "is no ablation: it needs `arms:`"),
        (YAML.replace("seeds", "sedes"), "has the key 'sedes'"),
        (
            YAML.replace("gain_of: more", "gain_of: less"),
            "gain_of is 'less', which is none of its arms plain, more",
        ),
        (YAML.replace("plain.yaml", "gone.yaml"), "names 'gone.yaml', and there is no such config"),
        (YAML.replace("[3, 5]", "[3, 3]"), "each once"),
        (
            YAML.replace("paper: self-enhancement", "paper: selfies"),
            "paper is 'selfies', which is no section of",
        ),
        (YAML.replace("paper: self-enhancement", "paper: about"), "paper is 'about', which is no section of"),
        (YAML.replace("[3, 5]", "[3, 5"), "is not valid YAML"),
        (YAML.replace("[3, 5]", "3"), "seeds: 1 to 11 whole numbers"),
        (YAML.replace("[3, 5]", "[]"), "seeds: 1 to 11 whole numbers"),
        (YAML.replace("plain: plain.yaml", "plain: null"), "is no ablation: it needs `arms:`"),
        (YAML.replace("{samples: 4, assess: true}", "[samples]"), "evals must hold 'key: value' lines"),
        (YAML.replace("samples: 4", "sampels: 4"), "unrecognized arguments: --sampels 4"),
        (YAML.replace("samples: 4", "samples: many"), "'many' is not a whole number"),
        (YAML.replace("samples: 4", "model: other"), "evals has 'model', which an ablation gives itself"),
        (YAML + "measured: {plain: vqa}\n", "measured, plain: a list of codebook"),
        (YAML + "measured: {plain: [vqaa]}\n", "measured, plain: a list of codebook"),
        (YAML.replace("gain_of: more", "gain_of: [more]"), "gain_of is ['more'], which is none of its arms"),
        (YAML + "measured: {les: [vqa]}\n", "measured names 'les', which is no arm"),
    ],
)
def test_what_is_no_ablation_is_one_line(folder, capsys, text, printed):
    (folder / "small.yaml").write_text(text)
    with pytest.raises(SystemExit) as stop:
        ablate.main([str(folder / "small.yaml")])
    lines = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 2 and len(lines) == 1 and printed in lines[0]


def test_shipped_ablations_can_be_read():
    for name in ("self_enhancement", "joint"):
        found = ablate.read_ablation(ablate.CONFIGS / "ablations" / f"{name}.yaml")
        build_parser().parse_args(["--model", "x", *found.options])
        assert len(found.pairs) == 3 and found.seeds == [0, 1, 2] and ablate.paper_table(found.paper)
