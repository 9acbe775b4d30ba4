"""Gradient and activation statistics of the layers of any network."""

import math
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Int64, Shaped, UInt8
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd  # of every dimension, transposed or not
from torch.nn.utils import parametrize

from labutils.config import RunConfig
from labutils.data.sets import pixel_statistics
from labutils.models.blocks import CReLU
from labutils.models.modes import probing
from labutils.models.networks import build_model, fit_to_images
from labutils.training.execution import full_precision

STATISTICS = (
    "gradient_norm", "weight_norm", "activation_gradient_norm", "activation_mean",
    "activation_std", "activation_image_std", "dead_units",
)  # fmt: skip
WEIGHT_LAYERS = (nn.Linear, _ConvNd)
ACTIVATIONS = (
    nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.Hardtanh, CReLU,
    nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Softplus, nn.GLU,
    nn.Tanh, nn.Sigmoid, nn.Hardsigmoid, nn.Softsign,
)  # fmt: skip


class LayerStatistics(NamedTuple):
    """What the layers of a network do with one batch.

    Attributes:
        names: the weight layers that ran, in the order of the forward pass.
        values: for each of `STATISTICS` one number a layer, nan where it could not be measured.
        not_measured: why there are nan, or layers without a row: a line a reason.
    """

    names: list[str]
    values: dict[str, list[float]]
    not_measured: list[str]


@dataclass
class RanLayer:
    """A weight layer that took part in a forward pass, and the loss's gradients there.

    Attributes:
        weight: as it was used: with weight norm and the like, what they made of the parameters.
        activation: output of the last activation module between this layer and the next.
    """

    name: str
    module: nn.Module
    weight: Tensor
    runs: int
    activation: Tensor | None = None
    gradient: Tensor | None = None
    activation_gradient: Tensor | None = None


@contextmanager
def recorded_layers(model: nn.Module) -> Iterator[list[RanLayer]]:
    """Collect the weight layers in the order in which they run, each with its activation.

    A layer that runs several times stands where it ran last.
    """
    ran: list[RanLayer] = []

    def enter(name: str, module: nn.Module, inputs: tuple) -> None:
        before = next((layer for layer in ran if layer.module is module), None)
        if before:
            ran.remove(before)
        ran.append(RanLayer(name, module, module.weight, before.runs + 1 if before else 1))

    def leave(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        if ran:
            ran[-1].activation = output
        return output.clone()  # what comes next may change it in place

    with ExitStack() as hooks:
        for name, module in named_weight_layers(model).items():
            hooks.enter_context(module.register_forward_pre_hook(partial(enter, name)))
        for module in model.modules():
            if isinstance(module, ACTIVATIONS):
                hooks.enter_context(module.register_forward_hook(leave))
        yield ran


def named_weight_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers that statistics are about, by the names that they have uncompiled."""
    return {
        ".".join(part for part in name.split(".") if part != "_orig_mod"): module
        for name, module in model.named_modules()
        if isinstance(module, WEIGHT_LAYERS)
    }


def _uncompiled() -> AbstractContextManager:
    """Context in which compiled modules run as they are written, so that hooks see them."""
    compiling = "torch._dynamo" in sys.modules  # it takes seconds to import
    return torch.compiler.set_stance("force_eager") if compiling else nullcontext()


def _run(model: nn.Module, images: Tensor, labels: Tensor) -> list[RanLayer]:
    """The layers that one forward and backward pass went through, in the modes of `probing`."""
    with probing(model), torch.enable_grad(), parametrize.cached(), _uncompiled():
        with recorded_layers(model) as layers:
            logits = model(images)
        count = len(layers)
        tensors = [*(layer.weight for layer in layers), *(layer.activation for layer in layers)]
        found = _gradients(F.cross_entropy(logits, labels), [*tensors, logits])
    for i, layer in enumerate(layers):
        layer.gradient, layer.activation_gradient = found[i], found[count + i]
    for layer in reversed(layers):
        if layer.gradient is not None or not layer.weight.requires_grad:  # not so a head of no use
            layer.activation, layer.activation_gradient = logits, found[-1]
            break
    return layers


def _gradients(loss: Tensor, tensors: list[Tensor | None]) -> list[Tensor | None]:
    """Gradient of the loss by each tensor, None where there is none."""
    asked = {i: t for i, t in enumerate(tensors) if t is not None and t.requires_grad}
    found = torch.autograd.grad(loss, list(asked.values()), allow_unused=True) if asked else ()
    by_number = dict(zip(asked, found, strict=True))
    return [by_number.get(i) for i in range(len(tensors))]


def weight_gradient(
    model: nn.Module,
    images: Shaped[Tensor, "batch channels height width"],
    labels: Int64[Tensor, " batch"],
    layer: int = 0,
) -> Tensor | None:
    """Gradient of the mean cross-entropy by one layer's weight, computed as by `layer_statistics`.

    None where the weight is frozen, or the loss does not depend on it.

    Args:
        layer: number of the weight layer in the order of the forward pass, from 0.
    """
    return _run(model, images, labels)[layer].gradient


def untrained_statistics(
    config: RunConfig,
    images: UInt8[Tensor, "batch channels height width"],
    labels: Int64[Tensor, " batch"],
    count: int | None = None,
) -> dict[str, list[float]]:
    """Layer statistics of the network that `config` describes, as it is before training.

    Args:
        images: of one batch, whose mean and deviation the network normalises by.
        labels: class indices; the network has as many classes as the largest says.
        count: measure on the first so many images alone.
    """
    classes = int(labels.max()) + 1
    model = build_model(config, tuple(images.shape[1:]), classes, pixel_statistics(images))
    fit_to_images(model, images, config.init)
    return layer_statistics(model, images[:count], labels[:count]).values


def layer_statistics(
    model: nn.Module,
    images: Shaped[Tensor, "batch channels height width"],
    labels: Int64[Tensor, " batch"],
) -> LayerStatistics:
    """What each weight layer gets back and hands on, for the mean cross-entropy of one batch.

    In fp32 or, if the weights are in that, in fp64; batch norm in train mode without touching its
    statistics, dropout off. The model's weights, gradients, buffers and modes are left as they
    were. A layer hands on the output of the last activation module before the next layer runs,
    after norm and skip; the last layer hands on the logits.

    Returns:
        The values are:
        `gradient_norm`, `weight_norm`: L2 norms, of the weight alone, not of the bias.
        `activation_gradient_norm`: L2 norm of the loss's gradient at what the layer hands on.
        `activation_mean`, `activation_std`: over units, positions and images.
        `activation_image_std`: a unit's deviation across images, averaged over units: near zero
            where the layer hands on the same for every image, whatever its biases make of it.
        `dead_units`: share of units (channels, over all positions) that are zero for every image.
    """
    layers = _run(model, images, labels)
    ran, concerned = [layer.module for layer in layers], defaultdict(list)  # layers by reason
    for name, module in named_weight_layers(model).items():
        if module not in ran:
            concerned["never called"].append(name)
    rows = []
    for layer in layers:
        row, reasons = _row(layer, len(labels))
        rows.append(row)
        for reason in reasons:
            concerned[reason].append(layer.name)
    lines = [f"{reason}: {', '.join(names)}" for reason, names in concerned.items()]
    return LayerStatistics(
        [layer.name for layer in layers],
        {name: [row.get(name, math.nan) for row in rows] for name in STATISTICS},
        lines if layers else [*lines, "no weight layer ran"],
    )


@torch.no_grad()
def _row(layer: RanLayer, images: int) -> tuple[dict[str, float], list[str]]:
    """What can be measured of one layer, and why the rest cannot."""
    found, reasons = {"weight_norm": layer.weight.norm()}, []
    if layer.runs > 1:
        reasons.append("runs several times, shown where it ran last")
    if layer.gradient is not None:
        found["gradient_norm"] = layer.gradient.norm()
    else:
        frozen = not layer.weight.requires_grad
        reasons.append("no gradient, it is frozen" if frozen else "no effect on the loss")
    if layer.activation_gradient is not None:
        found["activation_gradient_norm"] = layer.activation_gradient.norm()
    if layer.activation is None:
        reasons.append("no activation module before the next layer")
    elif layer.activation.ndim < 2 or len(layer.activation) != images:
        reasons.append("its activation is not a row an image")
    else:
        activation = full_precision(layer.activation)
        by_image = activation.flatten(1)
        last = getattr(layer.module, "out_features", None) == activation.shape[-1]
        by_unit = activation.movedim(-1 if last else 1, 0).flatten(1)
        found["activation_mean"] = by_image.mean()
        if by_image.numel() > 1:
            found["activation_std"] = by_image.std()
        if images > 1:
            found["activation_image_std"] = by_image.std(0).mean()
        found["dead_units"] = (by_unit == 0).all(1).float().mean()
    return {name: value.item() for name, value in found.items()}, reasons
