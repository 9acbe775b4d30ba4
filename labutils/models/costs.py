"""What networks cost: parameters of their layers, multiply-adds of an image and of a training."""

import contextlib
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd  # of every dimension

from labutils.config import DATA_SETS, RunConfig
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
        A row a layer that is used: name, class, output shape without the batch, parameters that
        no row before has, and multiply-adds of all its calls (norms count none).
    """
    rows: dict[nn.Module, LayerSummary] = {}
    names = {module: name for name, module in model.named_modules()}
    counted: set[Tensor] = set()

    def record(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        first = _first_tensor(output)
        cost = _layer_cost(module, next(iter((*args, *kwargs.values())), None), first)
        if module in rows:  # called once more
            cost += rows[module].multiply_adds
            rows[module] = rows[module]._replace(multiply_adds=cost)
            return
        new = set(module.parameters(recurse=False)) - counted
        counted.update(new)
        own = sum(parameter.numel() for parameter in new)
        shape = () if first is None else tuple(first.shape[1:])
        rows[module] = LayerSummary(names[module], type(module).__name__, shape, own, cost)

    floats = (parameter for parameter in model.parameters() if parameter.is_floating_point())
    like = next(floats, torch.zeros(0))
    with torch.no_grad(), eval_mode(model), contextlib.ExitStack() as hooks:
        for module in names:
            if isinstance(module, Whitening) or list(module.parameters(recurse=False)):
                hooks.enter_context(module.register_forward_hook(record, with_kwargs=True))
        model(torch.zeros(1, *image_shape, dtype=like.dtype, device=like.device))
    return list(rows.values())


def _first_tensor(output: Any) -> Tensor | None:
    """The output of a module, or the first of the tensors that it returns together."""
    if isinstance(output, Tensor):
        return output
    parts = output.values() if isinstance(output, Mapping) else output
    found = map(_first_tensor, parts) if isinstance(output, (Mapping, list, tuple)) else ()
    return next((tensor for tensor in found if tensor is not None), None)


def _layer_cost(module: nn.Module, given: Any, output: Tensor | None) -> int:
    """Multiply-adds of one call, for one image."""
    if isinstance(module, (nn.Linear, _ConvNd, Whitening)):
        # each weight is used once a position of the output, or where that is larger of the input
        larger = given if isinstance(module, _ConvTransposeNd) else output
        return module.weight.numel() * (larger[0].numel() // module.weight.shape[0])
    if isinstance(module, nn.RNNBase):
        weights = sum(p.numel() for p in module.parameters() if p.ndim > 1)
        return weights * (output.numel() // output.shape[-1])
    return 0


def multiply_adds(model: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Multiply-adds of one forward pass of one image."""
    return sum(row.multiply_adds for row in describe(model, image_shape))


@functools.cache
def inference_cost(config: RunConfig) -> int:
    """Multiply-adds of one forward pass of one image through the network of `config`."""
    spec = DATA_SETS[config.data]
    model = build_model(config, spec.image_shape, spec.classes)
    return multiply_adds(model, spec.image_shape)


def training_cost(config: RunConfig) -> float:
    """Multiply-adds of a whole training: the backward pass costs two forward passes.

    Evaluation after each epoch is not counted.
    """
    return 3 * inference_cost(config) * config.training_images * config.epochs
