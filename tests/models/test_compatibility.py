"""Components of different runs are refused."""

import json

import pytest

from models.unified import Illume


def test_another_codebook_is_refused(illume, tmp_path):
    illume.save_pretrained(str(tmp_path))
    config = json.loads((tmp_path / "tokenizer/config.json").read_text())
    (tmp_path / "tokenizer/config.json").write_text(json.dumps(config | {"codes": 32}))
    with pytest.raises(ValueError, match="tokenizer has misshapen 2 tensors: quantizer.table"):
        Illume.from_pretrained(str(tmp_path))
    with pytest.raises(ValueError, match="writes 64 codes, the tokenizer has 32"):
        tokenizer = type(illume.tokenizer)(
            feature_width=32, codes=32, code_width=8, decoder_layers=1, heads=2
        )
        Illume(illume.encoder, tokenizer, illume.detokenizer, illume.language, illume.text_tokenizer)
