"""Initial weights by name, and the whitening of networks that have one."""

from torch import nn

from labutils.models.blocks import Block, weight_layers


def initialize(model: nn.Module, init: str) -> None:
    """Draw weights anew: `default` leaves PyTorch's, `he` is He's normal with biases at zero.

    PyTorch's default draws uniformly with variance 1 / (3 fan_in); He's variance 2 / fan_in keeps
    the second moment of ReLU activations through depth. `zero-residual` is He's, with the last
    layer of every block (its norm's scale, where there is one) at zero. `partial-identity` leaves
    PyTorch's but for the first filters of each convolution, as many as it has inputs: each passes
    one input on as it is. (In a block, where outputs are as many as inputs, those are all.)

    Source: He et al. 2015, "Delving Deep into Rectifiers", equation 10; Goyal et al. 2017, 5.1;
    Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds", section 3.2.
    """
    if init == "default":
        return
    layers = list(weight_layers(model).values())
    if init == "partial-identity":
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.dirac_(layer.weight.data[: layer.in_channels])
        return
    for layer in layers:
        gain = "linear" if layer is layers[-1] else "relu"
        nn.init.kaiming_normal_(layer.weight, nonlinearity=gain)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    if init == "zero-residual":
        for block in (module for module in model.modules() if isinstance(module, Block)):
            last = block.second if isinstance(block.norm2, nn.Identity) else block.norm2
            nn.init.zeros_(last.weight)
