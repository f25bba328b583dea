"""Features reach the UNet by cross-attention or beside the latents, are guided by and masked to the null condition."""

import pytest
import torch

from tests.models.detokenizer.test_stable_diffusion import SEEDS, WAYS, detokenizer, seeded


@pytest.mark.parametrize("way", WAYS)
def test_guidance(way, tmp_path, features, monkeypatch):
    made = detokenizer(tmp_path, "xl", way, guidance=1.0)
    rows = []
    predict = made._predict
    monkeypatch.setattr(made, "_predict", lambda x, *rest: rows.append(len(x)) or predict(x, *rest))
    none = made.decode(features, SEEDS)
    assert rows == [3, 3, 3], "without guidance nothing is doubled"
    made.guidance = 1 + 1e-9
    assert (made.decode(features, SEEDS).int() - none.int()).abs().max() <= 1
    assert rows[3:] == [6, 6, 6], "with guidance there is one batch a step"
    made.guidance = 4.0
    assert (made.decode(features, SEEDS).int() - none.int()).abs().max() > 1
    made.guidance = 0.0
    assert made.decode(features, SEEDS).equal(made.decode(-features, SEEDS)), "of the null condition alone"


@pytest.mark.parametrize("way", WAYS)
def test_masked_conditions_have_no_effect(way, tmp_path, features, pixels):
    made = detokenizer(tmp_path, "xl", way, drop=0.9999999).train()

    def losses() -> list[float]:
        return [made.loss(x, pixels, seeded()).item() for x in (features, -features)]

    assert losses()[0] == losses()[1]
    made.eval()
    assert losses()[0] != losses()[1], "validation drops nothing"


def test_the_share_of_masked_conditions(tmp_path, monkeypatch):
    made = detokenizer(tmp_path, "xl", "cross_attention", drop=0.25).train()
    dropped = []

    def looks(noisy, steps, condition):
        assert condition.tokens.flatten(1).any(1).equal(condition.pooled.any(1)), "both or neither"
        dropped.extend(~condition.tokens.flatten(1).any(1))
        return noisy

    monkeypatch.setattr(made, "_predict", looks)
    monkeypatch.setattr("models.detokenizer.stable_diffusion.to_latents", lambda _, x, __: x[:, :, :12, :12])
    made.loss(torch.randn(400, 9, 8), torch.zeros(400, 3, 24, 24), seeded())
    assert 70 <= sum(dropped) <= 130
