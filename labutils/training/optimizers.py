"""Optimisers and learning-rate schedules by name."""

import math

import torch
from torch import nn

from labutils.config import FitConfig
from labutils.training.muon import MuonAndSGD


def learning_rate_at(config: FitConfig, step: int, total_steps: int) -> float:
    """Learning rate of one step, counted from 0: a pure function, so that resuming is exact.

    `one-cycle` is that of Smith and Topin (2018) as PyTorch's OneCycleLR draws it: from 1/25 of
    the highest rate up to it in the first 30 % of the steps, then down to a ten-thousandth of the
    first, both along a cosine.
    """
    highest = config.learning_rate
    if config.schedule == "constant":
        return highest
    if config.schedule == "linear":
        return highest * (1 - step / total_steps)
    if config.schedule == "cosine":
        return highest * 0.5 * (1 + math.cos(math.pi * step / total_steps))
    peak = 0.3 * total_steps - 1
    first, final = highest / 25, highest / 25 / 1e4
    if step <= peak:
        start, end, share = first, highest, step / peak
    else:
        start, end, share = highest, final, (step - peak) / max(total_steps - 1 - peak, 1e-9)
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


def set_learning_rate(optimizer: torch.optim.Optimizer | MuonAndSGD, rate: float) -> None:
    """Set the rate of the main weights; those with a rate of their own keep its ratio to it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("ratio", 1.0)


def make_optimizer(model: nn.Module, config: FitConfig) -> torch.optim.Optimizer | MuonAndSGD:
    """The optimiser that `config` names, over all parameters; fused, which pays on a CPU too."""
    if config.optimizer == "muon":
        return MuonAndSGD(model, config)
    shared = {"lr": config.learning_rate, "weight_decay": config.weight_decay, "fused": True}
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            model.parameters(), momentum=config.momentum, nesterov=True, **shared
        )
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[config.optimizer](model.parameters(), **shared)
