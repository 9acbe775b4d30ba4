"""Sections 1.3 and 1.4: depth of networks with convolutions, and families side by side."""

from __future__ import annotations

from dataclasses import replace

from labutils.config.classifier import RunConfig
from labutils.config.profiles import Profile
from labutils.report.records import pairs, seeds_of

CONVNET_DEPTHS = (4, 10, 16, 24, 36)
HEAD_DEPTHS = (4, 16, 36)
RESNET_DEPTHS = (20, 44)


def convnet_grid(which: Profile) -> list[RunConfig]:
    """Section 1.3: ConvNets without normalisation, plain and residual, of each depth."""
    depths = (4, 10) if which.quick else CONVNET_DEPTHS
    return pairs(convnet_base(which), depths, seeds_of(which))


def mlp_like_convnet_grid(which: Profile) -> list[RunConfig]:
    """Section 1.3: MLPs trained as the ConvNets are, so that nothing but the network differs."""
    depths = (4, 10) if which.quick else CONVNET_DEPTHS
    return pairs(replace(conv_training(which, epochs=8), width=128), depths, seeds_of(which))


def head_grid(which: Profile) -> list[RunConfig]:
    """Section 1.3: ConvNets with a 1x1 convolution and average pooling instead of flattening."""
    base = replace(convnet_base(which), head="fully-convolutional")
    return pairs(base, (4, 10) if which.quick else HEAD_DEPTHS)


def resnet_grid(which: Profile) -> list[RunConfig]:
    """Section 1.3: He's networks with batch norm, and their plain twins."""
    depths = (8, 14) if which.quick else RESNET_DEPTHS
    return pairs(_resnet_base(which), depths, seeds_of(which))


def _resnet_base(which: Profile) -> RunConfig:
    return replace(
        conv_training(which, epochs=10),
        model="resnet",
        depth=20,
        width=4 if which.quick else 16,
        stem_stride=2 if which.quick else 1,  # at full resolution these take longest
        norm="batch",
        init="he",
        optimizer="sgd",
        learning_rate=0.1,
        weight_decay=5e-4,
    )


def conv_training(which: Profile, epochs: int) -> RunConfig:
    """How networks with convolutions are trained; the network is the caller's."""
    return RunConfig(
        data=which.data("cifar10"),
        schedule="one-cycle",
        flip=True,
        crop_padding=4,
        batch_size=100 if which.quick else 128,
        epochs=2 if which.quick else epochs,
        precision="bf16",
    )


def convnet_base(which: Profile) -> RunConfig:
    """The ConvNet of sections 1.3 and after, of depth 10, plain."""
    base, width = conv_training(which, epochs=8), 8 if which.quick else 32
    return replace(base, model="convnet", depth=10, width=width, stem_stride=2)
