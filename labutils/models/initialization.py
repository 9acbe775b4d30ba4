"""Initial weights by name."""

import contextlib
import math

import torch
from torch import Tensor, nn

from labutils.models.blocks import Block, weight_layers
from labutils.models.modes import eval_mode

UNIT_VARIANCE_IMAGES = 512  # of those that a network is fitted to


def initialize(model: nn.Module, init: str, slope: float = 0.0) -> None:
    """Draw weights anew: `default` leaves PyTorch's, `he` is He's normal with biases at zero.

    PyTorch's default draws uniformly with variance 1 / (3 fan_in); He's variance 2 / fan_in keeps
    the second moment of ReLU activations through depth. `zero-residual` is He's, with the last
    layer of every block (its norm's scale, where there is one) at zero. `partial-identity` leaves
    PyTorch's but for the first filters of each convolution, as many as it has inputs: each passes
    one input on as it is. (In a block, where outputs are as many as inputs, those are all.)

    Three were made for deep plain networks; their biases are zero. `orthogonal` draws orthogonal
    matrices, in convolutions at the centre of a kernel that is zero elsewhere (delta-orthogonal),
    times He's gain. `lsuv` draws them without a gain, for `unit_variance` to scale.
    `looks-linear` mirrors an orthogonal matrix W behind each `CReLU` as [W, -W]: with
    relu(x) - relu(-x) = x the whole network is linear in the beginning.

    Args:
        slope: of the activation where its input is negative: He's variance is
            2 / ((1 + slope^2) fan_in).

    Source: He et al. 2015, "Delving Deep into Rectifiers", equations 10 and 15; Goyal et al. 2017,
    5.1; Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds", section 3.2; Saxe et al. 2014; Xiao et al.
    2018, "Dynamical Isometry and a Mean Field Theory of CNNs", algorithm 2; Balduzzi et al. 2017,
    "The Shattered Gradients Problem", section 4.1.
    """
    layers = list(weight_layers(model).values())
    if init in ("orthogonal", "lsuv", "looks-linear"):
        _initialize_orthogonal(layers, init, slope)
    elif init == "partial-identity":
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.dirac_(layer.weight.data[: layer.in_channels])
    elif init != "default":
        for layer in layers:
            gain = "linear" if layer is layers[-1] else "leaky_relu"
            nn.init.kaiming_normal_(layer.weight, slope, nonlinearity=gain)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    if init == "zero-residual":
        for block in (module for module in model.modules() if isinstance(module, Block)):
            last = block.second if isinstance(block.norm2, nn.Identity) else block.norm2
            nn.init.zeros_(last.weight)


@torch.no_grad()
def _initialize_orthogonal(layers: list[nn.Module], init: str, slope: float) -> None:
    for number, layer in enumerate(layers):
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
        centre = layer.weight
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
            row, column = (side // 2 for side in layer.kernel_size)
            centre = layer.weight[:, :, row, column]
        if init == "looks-linear" and number > 0:
            half = _orthogonal(centre[:, : centre.shape[1] // 2])
            centre.copy_(torch.cat((half, -half), 1))
            continue
        hidden = init == "orthogonal" and layer is not layers[-1]
        centre.copy_(_orthogonal(centre) * (math.sqrt(2 / (1 + slope**2)) if hidden else 1))


def _orthogonal(like: Tensor) -> Tensor:
    """A random matrix with orthonormal rows or, where there are more of these, columns."""
    return nn.init.orthogonal_(torch.empty_like(like, memory_format=torch.contiguous_format))


@torch.no_grad()
def unit_variance(model: nn.Module, images: Tensor) -> None:
    """Scale each layer's weights so that its output has unit variance on `images`.

    The variance is over images, units and positions, in eval mode; what a layer is scaled by is
    known before the next one runs. Weights are orthogonal and biases zero before (`initialize`
    with `lsuv`), so that one pass is exact where the paper iterates. A layer whose output does
    not vary is left as it is.

    Source: Mishkin and Matas 2016, "All You Need Is a Good Init", algorithm 1.
    """

    def scale(layer: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        if not output.max() > output.min():  # rounding may leave a deviation that is not zero
            return output
        deviation = output.std()
        layer.weight.div_(deviation)
        return output / deviation

    with eval_mode(model), contextlib.ExitStack() as hooks:
        for layer in weight_layers(model).values():
            hooks.enter_context(layer.register_forward_hook(scale))
        model(images)
