"""Sample grids in a real fit."""

from pathlib import Path

import pytest

from callbacks.samples import SampleGrids, drawing_sheet
from models.generation import SamplingConfig
from models.unified import Illume
from tests.callbacks.test_evaluation import Decoding, Stage, fit


@pytest.mark.parametrize("stage", [Stage, Decoding])
def test_a_sheet_is_written_at_each_end_of_validation(
    stage: type[Stage], tiny_illume: Illume, tmp_path: Path
) -> None:
    fit(stage(tiny_illume), tmp_path, SampleGrids(), epochs=1)
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["step-0000002.png"]


def test_a_stage_that_lacks_a_component_is_refused_before_training(
    tiny_illume: Illume, tmp_path: Path
) -> None:
    text = Illume(language=tiny_illume.language, text_tokenizer=tiny_illume.text_tokenizer)
    with pytest.raises(ValueError, match="no encoder and no tokenizer and no detokenizer"):
        fit(Stage(text), tmp_path, SampleGrids(), epochs=1)
    assert not (tmp_path / "samples").exists()


def test_a_sheet_is_fixed_by_its_seed_and_sampling(tiny_illume: Illume) -> None:
    tiny_illume.eval()
    sheets = [
        drawing_sheet(tiny_illume, seed, SamplingConfig(top_k=k)) for seed, k in ((0, 9), (0, 9), (1, 9))
    ]
    assert sheets[0].tobytes() == sheets[1].tobytes() != sheets[2].tobytes()
