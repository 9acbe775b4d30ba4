"""3x3 convolutions of many channels in a quarter of the multiplications, for CPUs in fp32."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

TILE = 4  # outputs of a tile, a side: 36 products a channel instead of 144
CHUNK = 32  # images at a time, so that what one step hands to the next stays in the cache
FEWEST_CHANNELS = 128  # below, transforming costs about what multiplying less saves

# Lavin and Gray 2016, F(4x4, 3x3): output = A [(G filter G') * (B image B')] A'
_B = [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
]
_G = [
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
]
_A = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]


def _both_axes(rows: list[list[float]]) -> Float[Tensor, "out2 in2"]:
    """The transform of rows and columns as one matrix, on flattened tiles."""
    matrix = torch.tensor(rows, dtype=torch.float64)
    return torch.kron(matrix, matrix).float()


IMAGE, FILTER, OUTPUT = _both_axes(_B), _both_axes(_G), _both_axes(_A)


def conv2d(
    input: Float[Tensor, "*batch inputs height width"],
    weight: Float[Tensor, "outputs group_inputs kernel_height kernel_width"],
    bias: Float[Tensor, " outputs"] | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | str | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> Float[Tensor, "*batch outputs height2 width2"]:
    """torch.nn.functional.conv2d, by Winograd's algorithm where that is the quicker one.

    That is for 3x3 filters of stride 1 and padding 1, in fp32 on a CPU, with `FEWEST_CHANNELS` or
    more in and out, and maps whose sides are multiples of `TILE` (benchmarks/winograd.py). Its
    result lies in channels-last memory and has first derivatives only. Its error is some 2e-6 of
    the deviation, five times PyTorch's and a hundredth or less of that of rounding to bf16.

    Source: Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4.
    """
    setting = (_pair(stride), _pair(padding), _pair(dilation), groups)
    if setting == ((1, 1), (1, 1), (1, 1), 1) and _pays(input, weight):
        output = _Conv3x3.apply(input, weight)
        return output if bias is None else output + bias.view(-1, 1, 1)
    return F.conv2d(input, weight, bias, stride, padding, dilation, groups)


def _pair(value: Any) -> Any:
    return (value, value) if isinstance(value, int) else value


def _pays(x: Tensor, weight: Tensor) -> bool:
    return (
        x.dim() == 4
        and weight.shape[2:] == (3, 3)
        and weight.shape[1] == x.shape[1]
        and min(weight.shape[:2]) >= FEWEST_CHANNELS
        and x.numel() > 0
        and all(side % TILE == 0 for side in x.shape[2:])
        and all(tensor.device.type == "cpu" for tensor in (x, weight))
        and all(tensor.dtype == torch.float32 for tensor in (x, weight))
    )


class _Conv3x3(torch.autograd.Function):
    """The convolution and its gradients, both a product for each of the 36 places of a tile."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        kept: list[Tensor] | None = [] if ctx.needs_input_grad[1] else None
        output = _convolve(x, weight, kept)
        ctx.save_for_backward(weight, *(kept or []))
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        weight, *tiles = ctx.saved_tensors
        to_input = to_weight = None
        with torch.autocast("cpu", enabled=False):
            if ctx.needs_input_grad[0]:
                to_input = _convolve(gradient, weight.flip(2, 3).transpose(0, 1))
            if ctx.needs_input_grad[1]:
                to_weight = _weight_gradient(gradient, tiles, weight.shape[1])
        return to_input, to_weight


def _convolve(
    x: Float[Tensor, "batch inputs height width"],
    weight: Float[Tensor, "outputs inputs 3 3"],
    kept: list[Tensor] | None = None,
) -> Float[Tensor, "batch outputs height width"]:
    """The convolution; appends the transformed tiles of each chunk to `kept` where that is given.

    The result lies in channels-last memory.
    """
    batch, inputs, height, width = x.shape
    outputs, down, across = len(weight), height // TILE, width // TILE
    filters = (FILTER @ weight.permute(2, 3, 1, 0).reshape(9, -1)).view(36, inputs, outputs)
    result = x.new_empty(batch, down, TILE, across, TILE, outputs)
    framed = x.new_zeros(min(CHUNK, batch), height + 2, width + 2, inputs)
    pixels = x.permute(0, 2, 3, 1)
    for start in range(0, batch, CHUNK):
        chunk = pixels[start : start + CHUNK]
        framed[: len(chunk), 1:-1, 1:-1] = chunk
        windows = framed[: len(chunk)].unfold(1, 6, TILE).unfold(2, 6, TILE)
        windows = windows.permute(4, 5, 0, 1, 2, 3).reshape(36, -1)
        tiles = (IMAGE @ windows).view(36, -1, inputs)
        if kept is not None:
            kept.append(tiles)
        products = OUTPUT @ torch.bmm(tiles, filters).view(36, -1)
        products = products.view(TILE, TILE, len(chunk), down, across, outputs)
        result[start : start + CHUNK] = products.permute(2, 3, 0, 4, 1, 5)
    return result.view(batch, height, width, outputs).permute(0, 3, 1, 2)


def _weight_gradient(
    gradient: Float[Tensor, "batch outputs height width"], tiles: list[Tensor], inputs: int
) -> Float[Tensor, "outputs inputs 3 3"]:
    """The gradient of the filters, from what `_convolve` kept."""
    batch, outputs, height, width = gradient.shape
    total = gradient.new_zeros(36, inputs, outputs)
    pixels = gradient.permute(0, 2, 3, 1)
    for chunk, transformed in zip(pixels.split(CHUNK), tiles, strict=True):
        cells = chunk.reshape(len(chunk), height // TILE, TILE, width // TILE, TILE, outputs)
        cells = cells.permute(2, 4, 0, 1, 3, 5).reshape(TILE**2, -1)
        cells = (OUTPUT.T @ cells).view(36, -1, outputs)
        total.baddbmm_(transformed.transpose(1, 2), cells)
    filters = (FILTER.T @ total.view(36, -1)).view(3, 3, inputs, outputs).permute(3, 2, 0, 1)
    return filters.contiguous(memory_format=torch.channels_last)
