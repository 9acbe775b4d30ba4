"""Where in the image each cell of a feature map looks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

from labutils.models.blocks import Block

Pair = tuple[int, int]


class Geometry(NamedTuple):
    """Where the cells of a map look, in pixels, the same in both directions.

    Attributes:
        size: side of the receptive field.
        stride: between neighbouring cells.
        offset: centre of the first cell; that of the first pixel is 0.
    """

    size: int
    stride: int
    offset: float

    def box(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Receptive field of a cell: left, top, right, bottom edges, a pixel being 1 wide.

        Where the network pads, it may reach beyond the image.
        """
        top, left = (self.offset + self.stride * at - (self.size - 1) / 2 for at in (row, column))
        return left, top, left + self.size, top + self.size

    def after(self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Geometry:
        """Where the cells look that a convolution or pooling makes of these.

        Source: Araujo, Norris and Sim 2019, "Computing Receptive Fields of Convolutional Neural
        Networks", Distill.
        """
        reach = dilation * (kernel - 1)
        size, offset = reach * self.stride, (reach / 2 - padding) * self.stride
        return Geometry(self.size + size, self.stride * stride, self.offset + offset)


PIXELS = Geometry(1, 1, 0.0)  # a pixel looks at itself


def receptive_field(network: nn.Module) -> Geometry:
    """Size, stride and offset of the cells of a network of convolutions and poolings.

    In a block with a skip the longer path counts.
    """
    geometry = PIXELS
    for layer in sliding_layers(network):
        sides = layer.kernel_size, layer.stride, layer.padding, getattr(layer, "dilation", 1)
        geometry = geometry.after(*(as_pair(side)[0] for side in sides))
    return geometry


def sliding_layers(network: nn.Module) -> Iterator[nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d]:
    """Convolutions and poolings in the order of the forward pass, without shortcuts."""
    blocks = [module for module in network.modules() if isinstance(module, Block)]
    shortcuts = {inner for block in blocks for inner in block.shortcut.modules()}
    for module in network.modules():
        sliding = isinstance(module, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d))
        if sliding and module not in shortcuts:
            yield module


def as_pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else tuple(value)
