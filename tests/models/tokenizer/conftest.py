"""Images of one tiny size."""

import pytest
import torch


@pytest.fixture
def pictures():
    """Two random images."""
    return torch.randint(
        0, 256, (2, 3, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
