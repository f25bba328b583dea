"""The tokenizer's loss: smooth-L1 plus cosine distance, on features and never on pixels (ILLUME section 3.1)."""

import torch.nn.functional as F
from torch import Tensor


def feature_loss(rebuilt: Tensor, target: Tensor, cosine_weight: float = 1.0) -> Tensor:
    """Smooth-L1 + weight * (1 - cosine) between features (B, N, D). The relative weight is assumed."""
    cosine = 1 - F.cosine_similarity(rebuilt, target, dim=-1).mean()
    return F.smooth_l1_loss(rebuilt, target) + cosine_weight * cosine
