"""Classifiers made fully convolutional, and where in the image each cell of their maps looks."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labutils.layers import Block, GlobalAveragePool, Images
from labutils.models import Classifier, eval_mode

Pair = tuple[int, int]


class FullyConvolutional(nn.Module):
    """A classifier whose head slides: images of any size in, a map of class scores out.

    Source: Long, Shelhamer and Darrell 2015, "Fully Convolutional Networks for Semantic
    Segmentation", section 3.1.
    """

    def __init__(self, normalize: nn.Module, features: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.normalize, self.features, self.head = normalize, features, head

    def forward(self, images: Images) -> Float[Tensor, "batch classes map_height map_width"]:
        return self.head(self.features(self.normalize(images)))

    def with_finer_maps(
        self, images: Images
    ) -> tuple[
        Float[Tensor, "batch classes map_height map_width"],
        list[Float[Tensor, "batch _ _ _"]],
    ]:
        """What `forward` returns, and the feature map before each pooling, finest first.

        Poolings within blocks do not count.
        """
        x, finer = self.normalize(images), []
        for layer in itertools.chain(*self.features):
            if isinstance(layer, nn.MaxPool2d):
                finer.append(x)
            x = layer(x)
        return self.head(x), finer


def convolutionalize(
    classifier: Classifier, image_shape: tuple[int, int, int]
) -> FullyConvolutional:
    """The classifier with its linear layers as convolutions of the same weights.

    On an image of the size it was trained on it answers as the classifier does, in a map of one
    cell; on a larger one each cell is the answer of the classifier to the window there, exactly
    where no convolution pads. The classifier itself is left as it is.

    Args:
        image_shape: channels, height and width that the classifier was built for.

    Raises:
        ValueError: the head has a layer that cannot slide.
    """
    classifier = copy.deepcopy(classifier)
    features = nn.Sequential(classifier.stem, classifier.blocks)
    parameter = next(classifier.parameters())
    with torch.no_grad(), eval_mode(classifier):
        example = torch.zeros(1, *image_shape, device=parameter.device)
        feature_map = features(classifier.normalize(example))
    if feature_map.ndim != 4:
        raise ValueError(
            "the network flattens its images before the head, as an MLP does: give one whose "
            "features are a map"
        )
    layers: list[nn.Module] = []
    window: Pair | None = tuple(feature_map.shape[2:])  # what the next linear layer looks at
    for module in classifier.head:
        if isinstance(module, nn.Flatten):
            continue
        if isinstance(module, nn.Linear):
            layers.append(_as_convolution(module, window or (1, 1)))
            window = None
        elif isinstance(module, GlobalAveragePool):
            layers.append(nn.AvgPool2d(window, stride=1))
            window = None
        elif isinstance(module, (nn.ReLU, nn.GELU, nn.Dropout, nn.Conv2d)):
            layers.append(module)
        else:
            raise ValueError(
                f"a head with {type(module).__name__} cannot slide: linear layers, average "
                "pooling, activations, dropout and 1x1 convolutions can"
            )
    converted = FullyConvolutional(classifier.normalize, features, nn.Sequential(*layers))
    return converted.train(classifier.training)


def _as_convolution(linear: nn.Linear, window: Pair) -> nn.Conv2d:
    channels = linear.in_features // (window[0] * window[1])
    bias = linear.bias is not None
    # without drawing weights, which would move the random numbers of who calls this
    convolution = nn.utils.skip_init(nn.Conv2d, channels, linear.out_features, window, bias=bias)
    convolution.weight = nn.Parameter(linear.weight.detach().view(convolution.weight.shape))
    if bias:
        convolution.bias = nn.Parameter(linear.bias.detach())
    return convolution


def dilate(network: FullyConvolutional, stride: int = 1) -> FullyConvolutional:
    """The same network with more answers: later layers do not stride, and are dilated instead.

    Its map has all cells of that of `network`, exactly where nothing pads. For inference alone:
    an answer at every pixel costs as many times as much as there are pixels to a cell.

    Args:
        stride: pixels between answers; by default there is one at every pixel.

    Raises:
        ValueError: the first layers do not stride by just as much, or an average is to be dilated.

    Source: Chen et al. 2015, "Semantic Image Segmentation with Deep Convolutional Nets and Fully
    Connected CRFs", section 3.1 (the "hole" algorithm).
    """
    network, kept, dilation = copy.deepcopy(network), 1, 1
    for layer in sliding_layers(network):
        step = _pair(layer.stride)[0]
        if kept * step <= stride and dilation == 1:
            kept *= step
            continue
        if isinstance(layer, nn.AvgPool2d):
            if dilation > 1:
                raise ValueError("average pooling cannot be dilated: give a network without it")
            continue
        layer.dilation = (dilation, dilation)
        # keeps the map's size where it was kept before; strided layers lose their last pixels
        layer.padding = tuple(dilation * side for side in _pair(layer.padding))
        if isinstance(layer, nn.MaxPool2d):
            layer.stride, layer.ceil_mode = (1, 1), False
        else:
            layer.stride = (1, 1)
        dilation *= step
    if kept != stride:
        raise ValueError(f"no layers stride by {stride} together: after some of them it is {kept}")
    return network


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


def receptive_field(network: nn.Module) -> Geometry:
    """Size, stride and offset of the cells of a network of convolutions and poolings.

    In a block with a skip the longer path counts.

    Source: Araujo, Norris and Sim 2019, "Computing Receptive Fields of Convolutional Neural
    Networks", Distill.
    """
    size, stride, offset = 1, 1, 0.0
    for layer in sliding_layers(network):
        dilation = _pair(getattr(layer, "dilation", 1))[0]
        reach = dilation * (_pair(layer.kernel_size)[0] - 1)
        size += reach * stride
        offset += (reach / 2 - _pair(layer.padding)[0]) * stride
        stride *= _pair(layer.stride)[0]
    return Geometry(size, stride, offset)


def sliding_layers(network: nn.Module) -> Iterator[nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d]:
    """Convolutions and poolings in the order of the forward pass, without shortcuts."""
    shortcuts = {
        id(inner)
        for module in network.modules()
        if isinstance(module, Block)
        for inner in module.shortcut.modules()
    }
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
            if id(module) not in shortcuts:
                yield module


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else tuple(value)
