"""Optimisers and learning-rate schedules by name."""

from __future__ import annotations

import math

import torch
from torch import nn

from labutils.config.fit import FitConfig
from labutils.models.blocks import weight_layers

SGD_MOMENTUM = 0.85  # of what Muon leaves to it
NEWTON_SCHULZ_STEPS = 3  # enough for filters (Jordan 2024); torch's default is 5


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


def set_learning_rate(optimizer: torch.optim.Optimizer | Muon, rate: float) -> None:
    """Set the rate of the main weights; those with a rate of their own keep its ratio to it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("ratio", 1.0)


def make_optimizer(model: nn.Module, config: FitConfig) -> torch.optim.Optimizer | Muon:
    """The optimiser that `config` names, over all parameters; fused, which pays on a CPU too."""
    if config.optimizer == "muon":
        return Muon(model, config)
    shared = {"lr": config.learning_rate, "weight_decay": config.weight_decay, "fused": True}
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            model.parameters(), momentum=config.momentum, nesterov=True, **shared
        )
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[config.optimizer](model.parameters(), **shared)


class Muon:
    """Muon for the filters of convolutions, Nesterov SGD for biases, norms and the head.

    Muon's step is the gradient's momentum made orthogonal: each filter is a row of a matrix, and
    all directions that the matrix can take are moved equally far. Before a step each matrix is
    scaled to the norm sqrt(filters), so that the rate is the step relative to the weights.

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"
    (torch.optim.Muon); the scaling and the split are those of Jordan's airbench94_muon.
    """

    def __init__(self, model: nn.Module, config: FitConfig) -> None:
        *hidden, head = weight_layers(model).values()
        hidden = [layer for layer in hidden if layer.weight.requires_grad]
        self.filters = [layer.weight for layer in hidden if isinstance(layer, nn.Conv2d)]
        if not self.filters or len(self.filters) < len(hidden):
            raise ValueError(
                "muon trains convolutions: its network has linear layers before the head"
                if hidden
                else "muon trains convolutions: all layers before the head are frozen, take sgd"
            )
        self.matrices = [nn.Parameter(_matrix(weight.detach())) for weight in self.filters]
        self.muon = torch.optim.Muon(
            self.matrices,
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            ns_steps=NEWTON_SCHULZ_STEPS,
        )
        taken = {id(weight) for weight in [*self.filters, *head.parameters()]}
        rest = [p for p in model.parameters() if p.requires_grad and id(p) not in taken]
        groups = [
            {"params": params, "lr": rate, "ratio": rate / config.learning_rate}
            for params, rate in (
                (rest, config.bias_learning_rate),
                (list(head.parameters()), config.head_learning_rate),
            )
        ]
        self.sgd = torch.optim.SGD(groups, momentum=SGD_MOMENTUM, nesterov=True, fused=True)

    @property
    def param_groups(self) -> list[dict]:
        """The groups of both, the filters first."""
        return self.muon.param_groups + self.sgd.param_groups

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        self.sgd.zero_grad(set_to_none)
        for weight in self.filters:
            weight.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One step of both."""
        for weight, matrix in zip(self.filters, self.matrices, strict=True):
            matrix.mul_(math.sqrt(len(matrix)) / matrix.norm())
            matrix.grad = _matrix(weight.grad.to(memory_format=_format(weight)))
        self.muon.step()
        self.sgd.step()

    def state_dict(self) -> dict[str, dict]:
        """The state of both."""
        return {"muon": self.muon.state_dict(), "sgd": self.sgd.state_dict()}

    def load_state_dict(self, state: dict[str, dict]) -> None:
        """Take what `state_dict` returned."""
        self.muon.load_state_dict(state["muon"])
        self.sgd.load_state_dict(state["sgd"])


def _format(weight: torch.Tensor) -> torch.memory_format:
    contiguous = weight.is_contiguous()
    return torch.contiguous_format if contiguous else torch.channels_last


def _matrix(weight: torch.Tensor) -> torch.Tensor:
    """Filters as rows, in the same memory: the order of columns is that of the memory format."""
    ordered = weight if weight.is_contiguous() else weight.permute(0, 2, 3, 1)
    return ordered.view(len(weight), -1)
