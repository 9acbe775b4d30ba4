"""What networks cost: parameters of their layers, multiply-adds of an answer and of a training."""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor, nn

from labutils.config.classifier import RunConfig
from labutils.config.data_sets import DATA_SETS
from labutils.models.blocks import Whitening
from labutils.models.modes import eval_mode
from labutils.models.networks import build_model


class LayerSummary(NamedTuple):
    """One row of `describe`."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


def describe(model: nn.Module, image_shape: tuple[int, int, int]) -> list[LayerSummary]:
    """Layers with parameters, in the order of the forward pass, for one image.

    Args:
        image_shape: channels, height, width of one image.

    Returns:
        A row a layer: name, class, output shape without the batch, parameters, and
        multiply-adds (those of convolutions and linear layers; norms count none).
    """
    rows: list[LayerSummary] = []
    names = {module: name for name, module in model.named_modules()}

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        cost = 0
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, Whitening)):
            # each weight is used once a position: of the output, or where that is larger the input
            side = inputs[0] if isinstance(module, nn.ConvTranspose2d) else output
            cost = module.weight.numel() * (side[0].numel() // module.weight.shape[0])
        shape = tuple(output.shape[1:])
        rows.append(LayerSummary(names[module], type(module).__name__, shape, own, cost))

    leaves = [
        module
        for module in model.modules()
        if isinstance(module, Whitening) or any(True for _ in module.parameters(recurse=False))
    ]
    handles = [leaf.register_forward_hook(record) for leaf in leaves]
    try:
        first = next(model.parameters())
        with torch.no_grad(), eval_mode(model):
            model(torch.zeros(1, *image_shape, device=first.device))
    finally:
        for handle in handles:
            handle.remove()
    return rows


def multiply_adds(model: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Multiply-adds of one forward pass of one image."""
    return sum(row.multiply_adds for row in describe(model, image_shape))


@functools.cache
def inference_cost(config: RunConfig) -> int:
    """Multiply-adds of one forward pass of one image through the network of `config`."""
    spec = DATA_SETS[config.data]
    channels, height, width = spec.image_shape
    shape = (channels, height, width)
    return multiply_adds(build_model(config, shape, spec.classes), shape)


def training_cost(config: RunConfig) -> float:
    """Multiply-adds of a whole training: the backward pass costs two forward passes.

    Evaluation after each epoch is not counted.
    """
    spec = DATA_SETS[config.data]
    return 3 * inference_cost(config) * (spec.train - spec.val) * config.epochs
