"""The networks of the report: depth, width, residual, norm and init as arguments."""

import math
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labutils.config import RunConfig
from labutils.config.classifier import LEAKY_SLOPE
from labutils.models.blocks import (
    Block,
    CReLU,
    GlobalAveragePool,
    Images,
    Normalize,
    Shortcut,
    Whitening,
)
from labutils.models.initialization import UNIT_VARIANCE_IMAGES, initialize, unit_variance

ImageShape = tuple[int, int, int]  # channels, height, width
Parts = tuple[nn.Module, nn.Module, nn.Module]  # stem, blocks, head


class Classifier(nn.Sequential):
    """Normalize, stem, blocks, head: images (uint8, or floats from 0 to 1) in, logits out."""

    def __init__(
        self,
        statistics: tuple[Float[Tensor, " channels"], Float[Tensor, " channels"]],
        stem: nn.Module,
        blocks: nn.Module,
        head: nn.Module,
    ) -> None:
        super().__init__()
        self.normalize = Normalize(*statistics)
        self.stem, self.blocks, self.head = stem, blocks, head

    def forward(self, images: Images) -> Float[Tensor, "batch classes"]:
        return super().forward(images)


def build_model(
    config: RunConfig,
    image_shape: ImageShape,
    classes: int,
    statistics: tuple[Tensor, Tensor] | None = None,
) -> Classifier:
    """The network that `config` describes, its initial weights drawn on the CPU from its seed.

    They are drawn in fp32 and for precision fp64 converted: the same numbers in both.

    Args:
        image_shape: channels, height, width.
        statistics: mean and deviation of each channel where white is 1; by default 0 and 1.
    """
    channels = image_shape[0]
    statistics = statistics or (torch.zeros(channels), torch.ones(channels))
    builders = {
        "mlp": _mlp, "convnet": _convnet, "small-cnn": _small_cnn, "cnn": _cnn, "resnet": _resnet,
        "strong": _strong,
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = Classifier(statistics, *builders[config.model](config, image_shape, classes))
        slope = LEAKY_SLOPE if config.activation == "leaky" else 0.0
        initialize(model, config.init, slope)
    return model.double() if config.precision == "fp64" else model


def _mlp(config: RunConfig, image_shape: ImageShape, classes: int) -> Parts:
    width, norm = config.width, _norm_maker(config.norm, nn.BatchNorm1d)
    linear = partial(nn.Linear, out_features=width, bias=config.norm == "none")
    activation, between = _activation(config)
    first = linear(math.prod(image_shape))
    stem = nn.Sequential(nn.Flatten(), first, norm(width), activation())
    blocks = []
    for _ in range((config.depth - 2) // 2):
        layers, norms = (linear(between), linear(between)), (norm(width), norm(width))
        blocks.append(Block(layers, norms, residual=config.residual, activation=activation))
    head = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(between, classes))
    return stem, nn.Sequential(*blocks), head


def _convnet(config: RunConfig, image_shape: ImageShape, classes: int) -> Parts:
    """Blocks of one width and one resolution, in the manner of report-a."""
    channels, height, width_px = image_shape
    width, stride = config.width, config.stem_stride
    activation, between = _activation(config)
    conv, norm, _ = _conv_norm_relu(channels, width, config.norm, stride=stride)
    stem = nn.Sequential(conv, norm, activation())
    blocks = [_conv_block(width, width, 1, config) for _ in range((config.depth - 2) // 2)]
    if config.head == "fully-convolutional":
        head = nn.Sequential(nn.Conv2d(between, classes, 1), GlobalAveragePool())
    else:
        cells = -(-height // stride) * -(-width_px // stride)
        head = nn.Sequential(nn.Flatten(), nn.Linear(between * cells, classes))
    return stem, nn.Sequential(*blocks), head


def _resnet(config: RunConfig, image_shape: ImageShape, classes: int) -> Parts:
    """He's CIFAR networks: stages of doubled width and halved resolution, average pooling."""
    blocks, width = [], config.width
    layers = _conv_norm_relu(image_shape[0], width, config.norm, stride=config.stem_stride)
    for stage in range(config.stages):
        for block in range((config.depth - 2) // (2 * config.stages)):
            grow = stage > 0 and block == 0
            new = 2 * width if grow else width
            blocks.append(_conv_block(width, new, 2 if grow else 1, config))
            width = new
    head = nn.Sequential(GlobalAveragePool(), nn.Linear(width, classes))
    return nn.Sequential(*layers), nn.Sequential(*blocks), head


def _strong(config: RunConfig, image_shape: ImageShape, classes: int) -> Parts:
    """Three stages after a fixed whitening stem: conv and pool, then residual blocks.

    In the manner of Page's ResNet-9 (2019) and Jordan's airbench networks (2024): GELU, batch
    norm without scale, pooling before norm and activation, where these are cheap.
    """
    width = config.width
    whitening = Whitening(image_shape[0])
    stem = nn.Sequential(whitening, *_conv_pool(whitening.outputs, width))
    blocks = nn.Sequential(
        _strong_block(width, config),
        nn.Sequential(*_conv_pool(width, 4 * width)),
        _strong_block(4 * width, config),
        _strong_block(4 * width, config),
    )
    head = nn.Sequential(GlobalAveragePool(), nn.Linear(4 * width, classes))
    return stem, blocks, head


def _conv_pool(inputs: int, outputs: int) -> list[nn.Module]:
    # whitened images of 32 pixels are 31 wide: rounding up, pooled maps have 16, 8 pixels
    pool = nn.MaxPool2d(2, ceil_mode=True)
    return [_conv3x3(inputs, outputs, "batch"), pool, _shift_norm(outputs), nn.GELU()]


def _strong_block(width: int, config: RunConfig) -> Block:
    layers = _conv3x3(width, width, "batch"), _conv3x3(width, width, "batch")
    norms = _shift_norm(width), _shift_norm(width)
    return Block(layers, norms, residual=config.residual, activation=nn.GELU)


def _shift_norm(width: int) -> nn.BatchNorm2d:
    """Batch norm whose scale stays 1: the weights of the next layer can scale as well.

    Its averages follow fast: in a training of few steps the network moves far in each.
    """
    norm = nn.BatchNorm2d(width, momentum=0.4)
    norm.weight.requires_grad_(False)
    return norm


def _small_cnn(config: RunConfig, image_shape: ImageShape, classes: int) -> Parts:
    """Two convolutions with max pooling, two linear layers."""
    channels, height, width_px = image_shape
    width, padding = config.width, 0 if config.unpadded else 1
    stem, blocks = (
        nn.Sequential(*_conv_norm_relu(*sizes, config.norm, padding=padding), nn.MaxPool2d(2))
        for sizes in ((channels, width), (width, 2 * width))
    )
    for _ in range(2):
        height, width_px = ((side - 2 + 2 * padding) // 2 for side in (height, width_px))
    return stem, blocks, _hidden_head(2 * width * height * width_px, classes, config.dropout)


def _cnn(config: RunConfig, image_shape: ImageShape, classes: int) -> Parts:
    """Three stages of two convolutions and max pooling, two linear layers with dropout."""
    channels, height, width_px = image_shape
    width = config.width
    stem = nn.Sequential(*_conv_norm_relu(channels, width, config.norm))
    layers: list[nn.Module] = []
    for stage in range(3):
        new = width * 2**stage
        if stage:
            layers += _conv_norm_relu(new // 2, new, config.norm)
        layers += [*_conv_norm_relu(new, new, config.norm), nn.MaxPool2d(2)]
    inputs = 4 * width * (height // 8) * (width_px // 8)
    return stem, nn.Sequential(*layers), _hidden_head(inputs, classes, config.dropout)


def _hidden_head(inputs: int, classes: int, dropout: float) -> nn.Module:
    # 128 units: as a convolution (Exercise 2) this layer is paid for at every position
    hidden, last = nn.Linear(inputs, 128), nn.Linear(128, classes)
    return nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), nn.Dropout(dropout), last)


def _norm_maker(norm: str, batch_norm: type[nn.Module]) -> Callable[[int], nn.Module]:
    return batch_norm if norm == "batch" else lambda width: nn.Identity()


def _conv3x3(inputs: int, outputs: int, norm: str, stride: int = 1, padding: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding, bias=norm == "none")


def _conv_norm_relu(inputs: int, outputs: int, norm: str, **options: int) -> list[nn.Module]:
    norm_maker = _norm_maker(norm, nn.BatchNorm2d)
    return [_conv3x3(inputs, outputs, norm, **options), norm_maker(outputs), nn.ReLU()]


def _conv_block(inputs: int, outputs: int, stride: int, config: RunConfig) -> Block:
    activation, between = _activation(config)
    doubled = between // config.width  # channels behind an activation, for each before it
    layers = (
        _conv3x3(doubled * inputs, outputs, config.norm, stride),
        _conv3x3(doubled * outputs, outputs, config.norm),
    )
    norm = _norm_maker(config.norm, nn.BatchNorm2d)
    norms = norm(outputs), norm(outputs)
    shortcut = Shortcut(stride, outputs - inputs) if (stride, inputs) != (1, outputs) else None
    return Block(layers, norms, residual=config.residual, shortcut=shortcut, activation=activation)


def _activation(config: RunConfig) -> tuple[Callable[[], nn.Module], int]:
    """What makes activation modules, and how many channels there are behind one."""
    made = {"relu": nn.ReLU, "leaky": partial(nn.LeakyReLU, LEAKY_SLOPE), "crelu": CReLU}
    return made[config.activation], config.width * (1 + (config.activation == "crelu"))


@torch.no_grad()
def fit_to_images(model: Classifier, images: Images, init: str) -> None:
    """Fit to training images what is: whitening where there is one, and weights by LSUV."""
    if init == "lsuv":
        unit_variance(model, images[:UNIT_VARIANCE_IMAGES])
    for module in model.modules():
        if isinstance(module, Whitening):
            module.adapt(model.normalize(images))
