"""What reaches the layers of an untrained network, and how alike gradients of like images are."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from labutils.models.modes import probing
from labutils.training.execution import full_precision
from labutils.training.statistics import recorded_layers


@torch.no_grad()
def variance_shares(
    model: nn.Module, images: Shaped[Tensor, "batch channels height width"]
) -> list[float]:
    """Of the variance of each hidden layer's activations, the share that is across images.

    The variance of a unit at a position over the images, averaged over both, divided by the
    variance over all three: 1 where all units have one mean, 0 where all images look alike, or
    nothing varies. In eval mode, but batch norm uses the images' own statistics.
    """
    with probing(model), recorded_layers(model) as layers:
        model(images)
    found = []
    for layer in layers:
        if layer.activation is not None:
            values = full_precision(layer.activation).double().flatten(1)
            whole = values.var(correction=0)
            found.append((values.var(0, correction=0).mean() / whole).item() if whole > 0 else 0.0)
    return found


def gradient_correlations(
    model: nn.Module,
    first: Float[Tensor, "pairs channels height width"],
    second: Float[Tensor, "pairs channels height width"],
    reference: Shaped[Tensor, "batch channels height width"],
    points: int,
) -> list[float]:
    """How alike the gradients of the first logit are along lines between two images.

    On each line there are `points` images at equal distance. Of the gradients with respect to two
    of them the correlation over pixels is taken. With depth it falls until gradients are like
    white noise; with skips it falls less.

    Args:
        first, second: images from 0 to 1.
        reference: images whose statistics batch norm uses at each point of each line.

    Returns:
        For each distance, from 1 to `points` - 1 steps, the mean over lines and over pairs of
        points. A gradient that is zero is like no other: its correlations are 0.

    Source: Balduzzi et al. 2017, "The Shattered Gradients Problem", section 2.
    """
    steps = torch.linspace(0, 1, points).view(-1, 1, 1, 1)
    total = torch.zeros(points, dtype=torch.float64)
    with _statistics_of(model, reference):
        for start, end in zip(first, second, strict=True):
            line = (start + steps * (end - start)).requires_grad_()
            (gradient,) = torch.autograd.grad(model(line)[:, 0].sum(), line)
            rows = gradient.flatten(1).double()
            rows = rows - rows.mean(1, keepdim=True)
            rows = torch.nan_to_num(rows / rows.norm(dim=1, keepdim=True))
            alike = rows @ rows.T
            total += torch.stack([alike.diagonal(distance).mean() for distance in range(points)])
    return (total[1:] / len(first)).tolist()


@contextmanager
def _statistics_of(model: nn.Module, images: Tensor) -> Iterator[None]:
    """Eval mode with batch norm by the statistics of these images; then all is as it was."""
    with probing(model), torch.no_grad():
        norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 1.0
        model(images)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
        with torch.enable_grad():
            yield
