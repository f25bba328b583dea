"""A wrong setting of a component is one line that names it and what there is."""

from dataclasses import fields
from inspect import signature

import pytest

from lightning_modules import component_configs as configs
from models.detokenizer.diffusion import DiffusionDetokenizer
from models.detokenizer.stable_diffusion import StableDiffusionDetokenizer
from models.language.pretrained import PretrainedLanguage
from models.language.unified_lm import UnifiedLM
from models.tokenizer.encoder import VisionEncoder
from models.tokenizer.pretrained_encoder import PretrainedEncoder
from models.tokenizer.semantic import SemanticTokenizer
from tests.tiny import error_of


@pytest.mark.parametrize(
    ("config", "option", "line"),
    [
        ("language.yaml", "language.codez=5", "model.language has no setting 'codez': did you mean codes?"),
        ("language.yaml", "text_tokenizer.sise=5", "has no setting 'sise': did you mean size?"),
        ("tokenizer.yaml", "tokenizer.code_widths=5", "did you mean code_width?"),
        ("tokenizer.yaml", "tokenizer.codes=many", "codes"),
        ("tokenizer.yaml", "tokenizer.quantizer=vq", "simvq"),
        ("encoder.yaml", "encoder={layer: 2}", "did you mean layers?"),
        ("detokenizer.yaml", "detokenizer.patches=2", "did you mean patch?"),
        ("stage2.yaml", "slicing.most=9", "has no setting 'most': there is max_slices"),
        ("stage2.yaml", "understanding={image_size: 448, reduces: 2}", "did you mean reduce?"),
        ("stage2.yaml", "lora.rank=2", "has no setting 'rank': there is lora_alpha"),
    ],
)
def test_a_wrong_setting_is_one_line(config, option, line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = error_of(capsys, "--config", config, f"--model.init_args.{option}")
    assert line in found and option.partition(".")[0].partition("=")[0] in found


@pytest.mark.parametrize(
    ("config", "components"),
    [
        (configs.LanguageConfig, (UnifiedLM, PretrainedLanguage)),
        (configs.TokenizerConfig, (SemanticTokenizer,)),
        (configs.VisionEncoderConfig, (VisionEncoder,)),
        (configs.PublishedEncoderConfig, (PretrainedEncoder,)),
        (configs.DetokenizerConfig, (DiffusionDetokenizer, StableDiffusionDetokenizer)),
    ],
)
def test_settings_are_those_of_the_components(config, components):
    known = {name for component in components for name in signature(component).parameters}
    reading = {"path", "pickled", "revision", "variant", "heads"}  # of published weights
    assert {field.name for field in fields(config)} <= known | reading


def test_settings_that_are_not_given_are_left_to_the_component():
    config = configs.DetokenizerConfig(path="sd", steps=3)
    assert config.given == {"path": "sd", "steps": 3} and config.settings == {"steps": 3}
