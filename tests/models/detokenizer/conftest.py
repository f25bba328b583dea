"""Features and images of one tiny size."""

import pytest
import torch


@pytest.fixture
def features() -> torch.Tensor:
    """Of three images."""
    return torch.randn(3, 9, 8, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def pixels() -> torch.Tensor:
    """As many images in -1 to 1."""
    return torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(3)) * 2 - 1
