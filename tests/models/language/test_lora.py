"""Low-rank additions: they begin as nothing, learn alone, and a model folder holds them added up."""

import pytest
import torch

from models.language.lora import add_lora
from models.language.pretrained import PretrainedLanguage
from models.unified import Illume
from tests.models.language.tiny_models import SIZES, publish

pytest.importorskip("peft")


def test_low_rank_additions_learn_and_the_folder_holds_them_added_up(tmp_path):
    publish(tmp_path)
    language, text_tokenizer = PretrainedLanguage(str(tmp_path), **SIZES).load()
    ids = torch.randint(0, 200, (2, 12))

    def logits(model):
        hidden = model.trunk(inputs_embeds=model.embed(ids), use_cache=False).last_hidden_state
        return model.logits(hidden)

    before = logits(language.eval())
    add_lora(language, {"r": 4, "target_modules": ["q_proj", "down_proj"]})
    assert torch.equal(logits(language), before)  # they begin as nothing
    part = language.param_groups()["trunk"]
    assert len(part) == 2 * 2 * 2 and all(p.requires_grad for p in part)  # two matrices, two layers, A and B
    assert not any(p.requires_grad for n, p in language.trunk.named_parameters() if "lora_" not in n)
    with torch.no_grad():
        for parameter in part:
            parameter.add_(0.1 * torch.randn_like(parameter))
    after = logits(language)
    assert not torch.allclose(after, before, atol=1e-3)
    Illume(language=language, text_tokenizer=text_tokenizer).save_pretrained(str(tmp_path / "model"))
    again = Illume.from_pretrained(str(tmp_path / "model")).language
    assert torch.allclose(logits(again), after, atol=1e-5)
    assert not any("lora" in name for name in again.state_dict())
    with pytest.raises(ValueError, match="model.init_args.lora: .*nothing_proj"):
        add_lora(again, {"r": 4, "target_modules": ["nothing_proj"]})


@pytest.mark.parametrize("targets", [["q_proj", "down_proj"], "all-linear"])
def test_additions_on_the_meta_device_have_the_same_shapes(tmp_path, targets):
    publish(tmp_path)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": targets}
    shapes = []
    for device in ("cpu", "meta"):
        published = PretrainedLanguage(str(tmp_path), **SIZES)
        language, _ = published.load() if device == "cpu" else published.without_weights()
        with torch.device(device):
            add_lora(language, settings)
        named = language.trunk.named_parameters()
        shapes.append(sorted(tuple(p.shape) for name, p in named if "lora_" in name and p.requires_grad))
        assert all(p.device.type == device for p in language.trunk.parameters())
    assert shapes[0] == shapes[1] and len(shapes[0]) >= 8
