"""Optimisers and learning-rate schedules by name: PyTorch's, and Muon as it trains filters."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labutils.config import FitConfig
from labutils.models.blocks import weight_layers
from labutils.training.execution import multiplies_bf16

NEWTON_SCHULZ_STEPS = 3  # enough for filters (Jordan 2024); torch.optim.Muon makes 5
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # a, b, c of Jordan 2024
SGD_MOMENTUM = 0.85  # of what Muon leaves to it


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


def orthogonalized(
    matrix: Float[Tensor, "rows columns"], dtype: torch.dtype
) -> Float[Tensor, "rows columns"]:
    """The matrix with its singular values moved towards 1, in products of `dtype`.

    A step of the Newton-Schulz iteration is X <- a X + (b A + c A^2) X with A = X X^T. It begins
    with the matrix over its norm, so that no singular value is above 1. A few steps leave them
    between about 0.7 and 1.2, small ones lower, which is enough for an optimiser.

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
    """
    a, b, c = NEWTON_SCHULZ
    tall = len(matrix) > matrix.shape[1]
    x = (matrix.T if tall else matrix).to(dtype)  # A is the smaller of the two products
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.T
        polynomial = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.addmm(x, polynomial, x, beta=a)
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, made orthogonal: a matrix moves equally far in all its directions.

    M <- mu M + (1 - mu) G;  W <- (1 - lr decay) W - lr sqrt(max(1, rows / columns)) O, where O is
    `orthogonalized` of mu M + (1 - mu) G. It is torch.optim.Muon, but that computes O in bf16
    everywhere; here it is in fp32 where the processor does not multiply bf16.

    Source: Jordan et al. 2024.
    """

    def __init__(
        self, matrices: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        """One step of all matrices that have a gradient."""
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(matrix.grad)
                mean = state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
                dtype = torch.bfloat16 if multiplies_bf16(matrix.device) else torch.float32
                update = orthogonalized(matrix.grad.lerp(mean, momentum), dtype)
                matrix.mul_(1 - rate * group["weight_decay"])
                rows, columns = matrix.shape
                matrix.add_(update, alpha=-rate * math.sqrt(max(1, rows / columns)))


class MuonAndSGD:
    """Muon for the filters of convolutions, Nesterov SGD for biases, norms and the head.

    Each filter is a row of a matrix. Before a step each matrix is scaled to the norm
    sqrt(filters), so that the rate is the step relative to the weights.

    Source: the scaling and the split are those of Jordan's airbench94_muon.
    """

    def __init__(self, model: nn.Module, config: FitConfig) -> None:
        *hidden, head = weight_layers(model).values()
        hidden = [layer for layer in hidden if layer.weight.requires_grad]
        self.filters = [layer.weight for layer in hidden if isinstance(layer, nn.Conv2d)]
        if not self.filters or len(self.filters) < len(hidden):
            frozen = "all layers before the head are frozen, take sgd"
            linear = "its network has linear layers before the head"
            raise ValueError(f"muon trains convolutions: {linear if hidden else frozen}")
        self.matrices = [nn.Parameter(_matrix(weight.detach())) for weight in self.filters]
        self.muon = Muon(self.matrices, config.learning_rate, config.momentum, config.weight_decay)
        taken = {id(weight) for weight in [*self.filters, *head.parameters()]}
        rest = [p for p in model.parameters() if p.requires_grad and id(p) not in taken]
        rates = config.bias_learning_rate, config.head_learning_rate
        groups = [
            {"params": params, "lr": rate, "ratio": rate / config.learning_rate}
            for params, rate in zip((rest, list(head.parameters())), rates, strict=True)
        ]
        self.sgd = torch.optim.SGD(groups, momentum=SGD_MOMENTUM, nesterov=True, fused=True)

    @property
    def param_groups(self) -> list[dict]:
        """The groups of both, the filters first."""
        return self.muon.param_groups + self.sgd.param_groups

    def zero_grad(self) -> None:
        """Forget all gradients."""
        self.sgd.zero_grad()
        for weight in self.filters:
            weight.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One step of both."""
        for weight, matrix in zip(self.filters, self.matrices, strict=True):
            matrix.mul_(math.sqrt(len(matrix)) / matrix.norm())
            form = torch.contiguous_format if weight.is_contiguous() else torch.channels_last
            matrix.grad = _matrix(weight.grad.to(memory_format=form))
        self.muon.step()
        self.sgd.step()

    def state_dict(self) -> dict[str, dict]:
        """The state of both."""
        return {"muon": self.muon.state_dict(), "sgd": self.sgd.state_dict()}

    def load_state_dict(self, state: dict[str, dict]) -> None:
        """Take what `state_dict` returned."""
        self.muon.load_state_dict(state["muon"])
        self.sgd.load_state_dict(state["sgd"])


def _matrix(weight: Tensor) -> Tensor:
    """Filters as rows, in the same memory: the order of columns is that of the memory format."""
    ordered = weight if weight.is_contiguous() else weight.permute(0, 2, 3, 1)
    return ordered.view(len(weight), -1)
