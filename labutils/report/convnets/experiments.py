"""Section 1.3: depth of networks with convolutions."""

from dataclasses import replace

from labutils.config import RunConfig
from labutils.report.records import SEEDS, experiment, pairs

DEPTHS = (4, 10, 16, 24, 36)
# How networks with convolutions are trained; the network is added to it.
PROTOCOL = RunConfig(
    data="cifar10", schedule="one-cycle", flip=True, crop_padding=4, epochs=8, precision="bf16"
)
CONVNET = replace(PROTOCOL, model="convnet", depth=10, width=32, stem_stride=2)
RESNET = replace(
    PROTOCOL, model="resnet", depth=20, width=16, norm="batch", init="he",
    optimizer="sgd", learning_rate=0.1, weight_decay=5e-4, epochs=10,
)  # fmt: skip


@experiment("convnet-depth", varies=("depth", "residual", "seed"))
def depth() -> list[RunConfig]:
    """Section 1.3: ConvNets without normalisation, plain and residual, of each depth."""
    return pairs(CONVNET, DEPTHS)


@experiment("mlp-like-convnet", varies=("depth", "residual", "seed"))
def mlp_like_convnet() -> list[RunConfig]:
    """Section 1.3: MLPs trained as the ConvNets are, so that nothing but the network differs."""
    return pairs(PROTOCOL, DEPTHS)


@experiment(
    "convnet-head",
    varies=("depth", "residual"),
    compared_with=("convnet-depth",),
    differs_in=("head",),
)
def head() -> list[RunConfig]:
    """Section 1.3: ConvNets with a 1x1 convolution and average pooling instead of flattening."""
    return pairs(replace(CONVNET, head="fully-convolutional"), (4, 16, 36), seeds=(0,))


@experiment("resnet-depth", varies=("depth", "residual", "seed"))
def resnet_depth() -> list[RunConfig]:
    """Section 1.3: He's networks with batch norm, and their plain twins."""
    return pairs(RESNET, (20, 44))


@experiment("mlp-factors", varies=("depth", "flip", "crop_padding", "schedule", "epochs", "seed"))
def mlp_factors() -> list[RunConfig]:
    """Section 1.3: from the MLPs of section 1.2 to those trained as ConvNets, factor by factor."""
    base = RunConfig(data="cifar10", residual=True)
    return [
        replace(base, depth=depth, **images, schedule=schedule, epochs=epochs, seed=seed)
        for seed in SEEDS
        for depth in (4, 24)
        for images in ({}, {"flip": True, "crop_padding": 4})
        for schedule in ("constant", "one-cycle")
        for epochs in (8, 20)
    ]
