"""Classifiers made fully convolutional, and where in the image each cell of their maps looks."""

import copy
import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labutils.models.blocks import GlobalAveragePool, Images
from labutils.models.modes import eval_mode
from labutils.models.networks import Classifier
from labutils.models.receptive_field import Pair, as_pair, sliding_layers


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

    def with_finer_maps(self, images: Images) -> tuple[Tensor, list[Float[Tensor, "batch _ _ _"]]]:
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
    with torch.no_grad(), eval_mode(classifier):
        example = torch.zeros(1, *image_shape, device=next(classifier.parameters()).device)
        feature_map = features(classifier.normalize(example))
    if feature_map.ndim != 4:
        raise ValueError(
            "the network flattens its images before the head, as an MLP does: give one whose "
            "features are a map"
        )
    layers: list[nn.Module] = []
    window = tuple(feature_map.shape[2:])  # what the next linear layer looks at
    for module in classifier.head:
        if isinstance(module, nn.Linear):
            layers.append(as_convolution(module, window))
            window = (1, 1)
        elif isinstance(module, GlobalAveragePool):
            layers.append(nn.AvgPool2d(window, stride=1))
            window = (1, 1)
        elif isinstance(module, (nn.ReLU, nn.GELU, nn.Dropout, nn.Conv2d)):
            layers.append(module)
        elif not isinstance(module, nn.Flatten):
            raise ValueError(
                f"a head with {type(module).__name__} cannot slide: linear layers, average "
                "pooling, activations, dropout and 1x1 convolutions can"
            )
    converted = FullyConvolutional(classifier.normalize, features, nn.Sequential(*layers))
    return converted.train(classifier.training)


def as_convolution(linear: nn.Linear, window: Pair) -> nn.Conv2d:
    channels = linear.in_features // (window[0] * window[1])
    bias = linear.bias is not None
    # without drawing weights, which would move the random numbers of who calls this
    convolution = nn.utils.skip_init(nn.Conv2d, channels, linear.out_features, window, bias=bias)
    convolution.weight = nn.Parameter(linear.weight.detach().view(convolution.weight.shape))
    if bias:
        convolution.bias = nn.Parameter(linear.bias.detach())
    return convolution


def dilate(network: FullyConvolutional, stride: int = 1) -> FullyConvolutional:
    """The same network with an answer each `stride` pixels: later layers are dilated instead.

    Its map has all cells of that of `network`, exactly where nothing pads. For inference alone:
    an answer at every pixel costs as many times as much as there are pixels to a cell.

    Raises:
        ValueError: the first layers do not stride by just as much, or an average is to be dilated.

    Source: Chen et al. 2015, "Semantic Image Segmentation with Deep Convolutional Nets and Fully
    Connected CRFs", section 3.1 (the "hole" algorithm).
    """
    network, kept, dilation = copy.deepcopy(network), 1, 1
    for layer in sliding_layers(network):
        step = as_pair(layer.stride)[0]
        if kept * step <= stride and dilation == 1:
            kept *= step
            continue
        if isinstance(layer, nn.AvgPool2d):
            if dilation > 1:
                raise ValueError("average pooling cannot be dilated: give a network without it")
            continue
        layer.dilation = (dilation, dilation)
        # keeps the map's size where it was kept before; strided layers lose their last pixels
        layer.padding = tuple(dilation * side for side in as_pair(layer.padding))
        layer.stride = (1, 1)
        if isinstance(layer, nn.MaxPool2d):
            layer.ceil_mode = False
        dilation *= step
    if kept != stride:
        raise ValueError(f"no layers stride by {stride} together: after some of them it is {kept}")
    return network
