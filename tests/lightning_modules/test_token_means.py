"""Means per token: of text, of codes and of each task, where there are tokens of it."""

import torch

from lightning_modules.token_means import SUMS, token_means, token_sums
from models.language.unified_lm import TASKS, LanguageLoss


def test_a_kind_or_task_without_tokens_has_no_mean():
    tasks = torch.zeros(2, len(TASKS))
    tasks[:, 0] = torch.tensor([6.0, 3.0])
    text, none = torch.tensor(6.0, requires_grad=True), torch.tensor(0.0)
    sums = token_sums(LanguageLoss(text, none, torch.tensor(3), torch.tensor(0), tasks))
    assert sums.shape == (2, len(SUMS)) and not sums.requires_grad
    assert token_means("val/", sums) == {"val/loss_text": 2.0, f"val/by_task/{TASKS[0]}": 2.0}
    both = sums + token_sums(LanguageLoss(none, text, torch.tensor(0), torch.tensor(2), tasks * 0))
    assert token_means("", both)["loss_draw"] == 3.0 and token_means("", both)["loss_text"] == 2.0
