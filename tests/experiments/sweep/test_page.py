"""The page of a sweep."""

from math import inf

from experiments.sweep.page import write_sweep
from experiments.sweep.recipe import read_recipe
from experiments.sweep.result import table
from tests.evals.page import Page
from tests.experiments.sweep.test_result import EVIL, RECIPE, study_of


def test_hostile_choices_stay_text(tmp_path):
    path = tmp_path / "evil.yaml"
    path.write_text(RECIPE.format(choice=EVIL.replace("\x1b", "\\e"), objective="{val/loss: minimize}"))
    recipe, study = read_recipe(path), study_of(["minimize"], [1.0], [inf], [2.0], [3.0], [4.0], choice=EVIL)
    page = Page((write_sweep(tmp_path / "report.html", study, recipe)).read_text())
    assert EVIL[:48] in page.text  # as text: had it been a tag, its brackets would be gone
    printed = table(study, recipe)
    assert (
        "\x1b" not in printed
        and len({line.replace("\\|", "").count("|") for line in printed.splitlines()}) == 1
    )
