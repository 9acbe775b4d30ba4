"""Section 1.4: families side by side."""

from __future__ import annotations

from dataclasses import replace

from labutils.config.classifier import RunConfig
from labutils.config.profiles import Profile
from labutils.report.convnets.experiments import RESNET_DEPTHS, conv_training, resnet_grid
from labutils.report.records import seeds_of


def side_by_side(which: Profile) -> list[RunConfig]:
    """Section 1.4: five families, all with Adam; the last two differ in the skip alone."""
    base = conv_training(which, epochs=8)
    networks = [
        *_shallow_networks(base, which, cnn_width=8 if which.quick else 32),
        *(replace(_resnet16(base, which), residual=residual) for residual in (False, True)),
    ]
    return [replace(network, seed=seed) for seed in seeds_of(which) for network in networks]


def side_by_side_sgd(which: Profile) -> list[RunConfig]:
    """Section 1.4: the networks of `side_by_side`, all with SGD and weight decay."""
    # at 0.1, the rate of `resnet_grid`, SmallCNN diverges: it has no normalisation
    sgd = {"optimizer": "sgd", "learning_rate": 0.05, "weight_decay": 5e-4}
    return [replace(config, **sgd) for config in side_by_side(which)]


def augmentation_grid(which: Profile) -> list[RunConfig]:
    """Section 1.4: the residual network of `side_by_side_sgd` on images as they are."""
    return [
        replace(config, flip=False, crop_padding=0)
        for config in side_by_side_sgd(which)
        if config.residual
    ]


def schedule_grid(which: Profile) -> list[RunConfig]:
    """Section 1.4: the shallow residual network of `resnet_grid` without its schedule."""
    return [
        replace(config, schedule="constant")
        for config in resnet_grid(which)
        if config.residual and config.depth == (8 if which.quick else RESNET_DEPTHS[0])
    ]


def mnist_cnn_grid(which: Profile) -> list[RunConfig]:
    """Section 1.4: an MLP and two CNNs on MNIST under one protocol."""
    base = replace(conv_training(which, epochs=8), data=which.data("mnist"), flip=False)
    base = replace(base, crop_padding=2, batch_size=32 if which.quick else 128)
    networks = _shallow_networks(base, which, cnn_width=8 if which.quick else 32)
    return [replace(network, seed=seed) for seed in seeds_of(which) for network in networks]


def _shallow_networks(base: RunConfig, which: Profile, cnn_width: int) -> list[RunConfig]:
    """The MLP, SmallCNN and CNN that section 1.4 compares, trained as `base` says."""
    width = 8 if which.quick else 32
    return [
        replace(base, model="mlp", depth=4, width=16 * width, norm="batch", precision="fp32"),
        replace(base, model="small-cnn", depth=4, width=width),
        replace(base, model="cnn", depth=8, width=cnn_width, norm="batch", dropout=0.5),
    ]


def _resnet16(base: RunConfig, which: Profile) -> RunConfig:
    """report-b's network: 16 convolutions in blocks [2, 2, 2, 2], a stem and a head."""
    depth, width = (10, 8) if which.quick else (18, 16)  # quick: blocks [1, 1, 1, 1]
    return replace(
        base,
        model="resnet",
        depth=depth,
        stages=4,
        width=width,
        stem_stride=2 if which.quick else 1,
        norm="batch",
        init="he",
    )
