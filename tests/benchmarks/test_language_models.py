"""Language models of benchmarks, and their peers of the same weights."""

import torch

from benchmarks.language_models import AllowedTokens, causal_lm, llama, random_model


def test_a_peer_has_the_same_logits():
    model = random_model(llama(64, 2, 96), 50, 16, 8, 4).eval().requires_grad_(False)
    again = random_model(llama(64, 2, 96), 50, 16, 8, 4)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    peer, ids = causal_lm(model), torch.randint(0, 50, (2, 7))
    hidden = model.trunk(inputs_embeds=model.text_embedding[ids]).last_hidden_state
    assert torch.allclose(model.logits(hidden), peer(ids).logits, atol=1e-5)


def test_only_allowed_tokens_are_left():
    scores = AllowedTokens([1, 3], 5)(torch.zeros(1, 1), torch.arange(5.0)[None])
    assert scores.argmax() == 3 and scores[0, [0, 2, 4]].eq(-torch.inf).all()
