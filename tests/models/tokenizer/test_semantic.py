"""Quantizers: nearest codes, straight-through gradients, no collapse; the tokenizer learns features."""

import torch

from models.tokenizer.semantic import SemanticTokenizer, feature_loss


def test_feature_loss_is_zero_only_at_the_target():
    target = torch.randn(2, 3, 8)
    assert feature_loss(target, target) < 1e-6 < feature_loss(-target, target)


def test_the_tokenizer_learns_features():
    torch.manual_seed(0)
    tokenizer = SemanticTokenizer(
        feature_width=16, tokens=4, codes=32, code_width=4, decoder_layers=1, heads=2
    )
    kinds = torch.nn.functional.layer_norm(torch.randn(6, 16), (16,))
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=3e-3)
    first = last = None
    for _ in range(150):
        loss = tokenizer(kinds[torch.randint(6, (16, 4))])
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        first, last = first or loss.feature.item(), loss.feature.item()
    assert last < 0.3 * first
    codes = tokenizer.eval().encode(kinds[None, :4])
    assert torch.allclose(tokenizer.decode(codes), tokenizer.decode(codes.clone()))


def test_view_loss_makes_codes_of_views_equal():
    torch.manual_seed(0)
    features = torch.randn(64, 9, 16)
    others = features + torch.tensor([1.0] + [0.0] * 15) * torch.randn(64, 9, 1)  # differ along one channel
    apart = {}
    for weight in (0.0, 4.0):
        torch.manual_seed(1)
        tokenizer = SemanticTokenizer(16, 9, codes=32, code_width=4, decoder_layers=1, heads=2)
        optimizer = torch.optim.Adam(tokenizer.parameters(), lr=3e-3)
        for _ in range(150):
            loss = tokenizer(features).total + weight * tokenizer.view_loss(features, others)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        tokenizer.eval()
        apart[weight] = (tokenizer.encode(features) != tokenizer.encode(others)).float().mean()
    assert apart[4.0] < 0.7 * apart[0.0]
