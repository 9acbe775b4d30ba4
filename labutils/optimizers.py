"""Optimisers and learning-rate schedules by name."""

from __future__ import annotations

import math

import torch
from torch import nn

from labutils.config import FitConfig


def learning_rate_at(config: FitConfig, step: int, total_steps: int) -> float:
    """Learning rate of one step, counted from 0: a pure function, so that resuming is exact.

    `one-cycle` is that of Smith and Topin (2018) as PyTorch's OneCycleLR draws it: from 1/25 of
    the highest rate up to it in the first 30 % of the steps, then down to a ten-thousandth of the
    first, both along a cosine.
    """
    highest = config.learning_rate
    if config.schedule == "constant":
        return highest
    if config.schedule == "cosine":
        return highest * 0.5 * (1 + math.cos(math.pi * step / total_steps))
    peak = 0.3 * total_steps - 1
    first, final = highest / 25, highest / 25 / 1e4
    if step <= peak:
        start, end, share = first, highest, step / peak
    else:
        start, end, share = highest, final, (step - peak) / max(total_steps - 1 - peak, 1e-9)
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


def make_optimizer(model: nn.Module, config: FitConfig) -> torch.optim.Optimizer:
    """The optimiser that `config` names, over all parameters; fused, which pays on a CPU too."""
    shared = {"lr": config.learning_rate, "weight_decay": config.weight_decay, "fused": True}
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            model.parameters(), momentum=config.momentum, nesterov=True, **shared
        )
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[config.optimizer](model.parameters(), **shared)
