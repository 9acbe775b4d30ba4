"""Gradient and activation statistics of every layer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from jaxtyping import Int64, Shaped, UInt8
from torch import Tensor, nn

from labutils.config.classifier import RunConfig
from labutils.data.sets import pixel_statistics
from labutils.models.blocks import weight_layers
from labutils.models.modes import probing
from labutils.models.networks import build_model

STATISTICS = (
    "gradient_norm",
    "weight_norm",
    "activation_gradient_norm",
    "activation_mean",
    "activation_std",
    "activation_image_std",
    "dead_units",
)
ACTIVATIONS = (nn.ReLU, nn.GELU)


@contextmanager
def recorded_activations(model: nn.Module) -> Iterator[list[Tensor]]:
    """Collect, in forward order, the output of each ReLU or GELU, and at the end the logits.

    One entry for each layer that `depth` counts: what the layer hands on, after norm, skip and
    nonlinearity. No hook is left behind, even after an error.
    """
    outputs: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        outputs.append(output)

    watched = [module for module in model.modules() if isinstance(module, ACTIVATIONS)] + [model]
    handles = [module.register_forward_hook(keep) for module in watched]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def weight_gradient(
    model: nn.Module,
    images: Shaped[Tensor, "batch channels height width"],
    labels: Int64[Tensor, " batch"],
    layer: int = 0,
) -> Tensor:
    """Gradient of the mean cross-entropy of one batch with respect to one layer's weight.

    Computed as `layer_statistics` does; the model is left as it was.

    Args:
        layer: number of the weight layer, as `depth` counts them, from 0.
    """
    weight = list(weight_layers(model).values())[layer].weight
    with probing(model), torch.enable_grad():
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(images), labels), weight)
    return gradient


def untrained_statistics(
    config: RunConfig,
    images: UInt8[Tensor, "batch channels height width"],
    labels: Int64[Tensor, " batch"],
    count: int | None = None,
) -> dict[str, list[float]]:
    """`layer_statistics` of the network that `config` describes, as it is before training.

    Args:
        images: those of one batch, whose mean and deviation the network normalises by.
        labels: class indices; the network has as many classes as the largest says.
        count: measure on the first so many images alone; by default on all.
    """
    classes = int(labels.max()) + 1
    model = build_model(config, tuple(images.shape[1:]), classes, pixel_statistics(images))
    return layer_statistics(model, images[:count], labels[:count])


def layer_statistics(
    model: nn.Module,
    images: Shaped[Tensor, "batch channels height width"],
    labels: Int64[Tensor, " batch"],
) -> dict[str, list[float]]:
    """What each weight layer gets back and hands on, for the mean cross-entropy of one batch.

    In fp32, batch norm in train mode without touching its statistics, dropout off. The model's
    weights, gradients, buffers and modes are left as they were.

    Returns:
        A list of one value a weight layer, first to last, for each of:
        `gradient_norm`, `weight_norm`: L2 norms, of the weight alone, not of the bias.
        `activation_gradient_norm`: L2 norm of the loss's gradient at what the layer hands on;
            the last is that at the logits.
        `activation_mean`, `activation_std`: over units, positions and images.
        `activation_image_std`: a unit's deviation across images, averaged over units: near zero
            where the layer hands on the same for every image, whatever its biases make of it.
        `dead_units`: share of units (channels, over all positions) that are zero for every image.
    """
    weights = [layer.weight for layer in weight_layers(model).values()]
    with probing(model), recorded_activations(model) as activations, torch.enable_grad():
        loss = F.cross_entropy(model(images), labels)
        if len(activations) != len(weights):
            raise ValueError(
                f"{len(weights)} weight layers but {len(activations)} activations: give every "
                "hidden weight layer a ReLU or GELU module of its own (functions are not seen)"
            )
        gradients = torch.autograd.grad(loss, [*weights, *activations])
    found: dict[str, list[Tensor]] = {name: [] for name in STATISTICS}
    with torch.no_grad():
        for layer, (weight, activation) in enumerate(zip(weights, activations, strict=True)):
            by_unit = activation.float().transpose(0, 1).flatten(1)
            by_image = activation.float().flatten(1)
            found["gradient_norm"].append(gradients[layer].norm())
            found["weight_norm"].append(weight.norm())
            found["activation_gradient_norm"].append(gradients[len(weights) + layer].norm())
            found["activation_mean"].append(by_image.mean())
            found["activation_std"].append(by_image.std())
            found["activation_image_std"].append(by_image.std(0).mean())
            found["dead_units"].append((by_unit == 0).all(1).float().mean())
    return {name: torch.stack([v.cpu() for v in values]).tolist() for name, values in found.items()}
