"""The report's grids of runs: one epoch count, optimiser and schedule a block."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from labutils.config import DataName, FCNConfig, RunConfig
from labutils.fcn.networks import classifier_config
from labutils.profiles import Profile

MNIST_DEPTHS = (2, 4, 10, 22, 26, 34, 40)
CIFAR10_DEPTHS = (4, 10, 16, 24, 36)
HEAD_DEPTHS = (4, 16, 36)
RESNET_DEPTHS = (20, 44)
WIDTHS = (3, 10, 64)
RESCUE_RATES = (1e-4, 3e-4, 3e-3)
LOWER_RATES = (3e-4, 1e-4)
# Where plain networks first stop learning in the depth grids; Lab1.ipynb checks it.
STALL_DEPTH: dict[str, int] = {"mnist": 26, "cifar10": 24}


def depth_grid(data: DataName, which: Profile) -> list[RunConfig]:
    """Section 1.2: plain and residual MLPs of each depth."""
    depths = MNIST_DEPTHS if data == "mnist" else CIFAR10_DEPTHS
    quick_seeds = 2 if data == "mnist" else 1
    return _pairs(_depth_base(data, which), depths, range(quick_seeds if which.quick else 3))


def rescue_grid(which: Profile) -> list[RunConfig]:
    """Section 1.2: the shallowest plain networks that do not learn, under other learning rates."""
    return [
        replace(_depth_base(data, which), depth=STALL_DEPTH[data], learning_rate=rate)
        for data in ("mnist", "cifar10")
        for rate in RESCUE_RATES
    ]


def width_grid(which: Profile) -> list[RunConfig]:
    """Section 1.1: one hidden layer of three widths, without and with shifts by one pixel."""
    return [
        replace(_early_stopping_base(which), depth=2, width=width, crop_padding=shift, seed=seed)
        for width in WIDTHS
        for shift in (0, 1)
        for seed in _early_stopping_seeds(which)
    ]


def block_grid(which: Profile) -> list[RunConfig]:
    """Section 1.2: report-d's comparison, and the plain network of equal depth that it lacks."""
    return [
        replace(_early_stopping_base(which), depth=depth, residual=residual, width=width, seed=seed)
        for width in (10, 64)
        for depth, residual in ((2, False), (8, False), (8, True))
        for seed in _early_stopping_seeds(which)
    ]


def best_mlp_grid(which: Profile) -> list[RunConfig]:
    """Section 1.2: how far an MLP goes that is trained well, one configuration a data set."""
    base = RunConfig(
        depth=4,
        width=128 if which.quick else 1024,
        residual=True,
        norm="batch",
        dropout=0.2,
        optimizer="adamw",
        schedule="cosine",
        learning_rate=2e-3,
        weight_decay=0.05,
        label_smoothing=0.1,
        crop_padding=2,
        batch_size=64 if which.quick else 512,
        precision="bf16",
    )
    return [
        replace(
            base,
            data=which.data(data),
            flip=data == "cifar10",
            epochs=5 if which.quick else epochs,
            seed=seed,
        )
        for data, epochs in (("mnist", 20), ("cifar10", 30))
        for seed in range(1 if which.quick else 3)
    ]


def convnet_grid(which: Profile) -> list[RunConfig]:
    """Section 1.3: ConvNets without normalisation, plain and residual, of each depth."""
    depths = (4, 10) if which.quick else CIFAR10_DEPTHS
    return _pairs(_convnet_base(which), depths, _seeds(which))


def head_grid(which: Profile) -> list[RunConfig]:
    """Section 1.3: ConvNets with a 1x1 convolution and average pooling instead of flattening."""
    base = replace(_convnet_base(which), head="fully-convolutional")
    return _pairs(base, (4, 10) if which.quick else HEAD_DEPTHS)


def resnet_grid(which: Profile) -> list[RunConfig]:
    """Section 1.3: He's networks with batch norm, and their plain twins."""
    depths = (8, 14) if which.quick else RESNET_DEPTHS
    return _pairs(_resnet_base(which), depths, _seeds(which))


def lesion_pair(which: Profile) -> list[RunConfig]:
    """Why residuals work: the deeper pair of `resnet_grid` of the first seed, to cut blocks out."""
    grid = resnet_grid(which)
    deepest = max(config.depth for config in grid)
    return [config for config in grid if config.depth == deepest and config.seed == 0]


def side_by_side(which: Profile) -> list[RunConfig]:
    """Section 1.4: five families under one protocol; the last two differ in the skip alone."""
    base = _conv_training(which, epochs=8)
    networks = [
        *_shallow_networks(base, which, cnn_width=8 if which.quick else 64),
        *(replace(_resnet16(base, which), residual=residual) for residual in (False, True)),
    ]
    return [replace(network, seed=seed) for seed in _seeds(which) for network in networks]


def augmentation_grid(which: Profile) -> list[RunConfig]:
    """Section 1.4: the residual network of `side_by_side` on images as they are."""
    return [
        replace(config, flip=False, crop_padding=0)
        for config in side_by_side(which)
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
    base = replace(_conv_training(which, epochs=8), data=which.data("mnist"), flip=False)
    base = replace(base, crop_padding=2)
    networks = _shallow_networks(base, which, cnn_width=8 if which.quick else 32)
    return [replace(network, seed=seed) for seed in _seeds(which) for network in networks]


def strong_grid(which: Profile) -> list[RunConfig]:
    """Section 1.5: one strong network, several seeds."""
    base = RunConfig(
        data=which.data("cifar10"),
        model="strong",
        depth=9,
        width=8 if which.quick else 64,
        residual=True,
        norm="batch",
        init="partial-identity",
        optimizer="muon",
        learning_rate=0.24,
        momentum=0.6,
        bias_learning_rate=0.5,
        head_learning_rate=0.05,
        schedule="linear",
        flip=True,
        alternating_flip=True,
        crop_padding=4,
        cutout=12,
        batch_size=100 if which.quick else 500,
        epochs=4 if which.quick else 48,
        small_epochs=3 if which.quick else 32,
        small_size=24,
        precision="bf16",
    )
    return [replace(base, seed=seed) for seed in _seeds(which)]


def strong_plain(which: Profile) -> list[RunConfig]:
    """Section 1.5: the strong network of the first seed without its skips."""
    return [replace(strong_grid(which)[0], residual=False)]


def gradient_grid(which: Profile) -> list[RunConfig]:
    """Why residuals work: ConvNets that keep their first filters' gradient, early and late."""
    base = _convnet_base(which)
    base = replace(base, gradient_epochs=(0, 1 if which.quick else 2, base.epochs))
    return _pairs(base, (4, 10) if which.quick else (10, 20, 40))


def untrained_networks(depths: Iterable[int]) -> dict[str, list[RunConfig]]:
    """Why residuals work: six kinds of MLP, each of all depths, that are built and not trained."""
    kinds: dict[str, dict[str, object]] = {
        "plain": {},
        "plain, He": {"init": "he"},
        "plain, batch norm": {"norm": "batch"},
        "residual": {"residual": True},
        "residual, He": {"residual": True, "init": "he"},
        "residual, batch norm": {"residual": True, "norm": "batch"},
    }
    return {
        title: [RunConfig(depth=depth, width=64, **options) for depth in depths]
        for title, options in kinds.items()
    }


def ablation_grid(data: DataName, which: Profile) -> list[RunConfig]:
    """Why residuals work: skip x normalisation x initialisation of deep networks, ten cells."""
    if data == "mnist":
        base = RunConfig(depth=20 if which.quick else 40, width=32 if which.quick else 128)
    else:
        base = RunConfig(
            model="convnet",
            depth=10 if which.quick else 36,
            width=4 if which.quick else 16,
            stem_stride=2,
            precision="bf16",
        )
    base = replace(base, data=which.data(data), epochs=1 if which.quick else 5)
    cells = [
        (residual, norm, init)
        for residual in (False, True)
        for norm in ("none", "batch")
        for init in ("default", "he", *(("zero-residual",) if residual else ()))
    ]
    return [
        replace(base, residual=residual, norm=norm, init=init, seed=seed)
        for seed in _seeds(which)
        for residual, norm, init in cells
    ]


def ablation_rates(which: Profile) -> list[RunConfig]:
    """Why residuals work: do kinds that learn differ at lower learning rates as well?"""
    kinds = (
        {"residual": False, "norm": "none", "init": "he"},
        {"residual": False, "norm": "batch", "init": "default"},
        {"residual": True, "norm": "none", "init": "default"},
    )
    grid = ablation_grid("mnist", which)
    return [
        replace(config, learning_rate=rate)
        for rate in ((3e-4,) if which.quick else LOWER_RATES)
        for config in grid
        if {name: getattr(config, name) for name in kinds[0]} in kinds
    ]


def detector_classifiers(which: Profile) -> list[RunConfig]:
    """Exercise 2: the classifiers that detectors start from."""
    return [
        _detector_classifier(replace(_detector_base(which), seed=seed)) for seed in _seeds(which)
    ]


def detector_grid(which: Profile) -> list[FCNConfig]:
    """Exercise 2: detectors with either head, on canvases with everything on them."""
    base = replace(
        _detector_base(which), number=(0, 3), scale=(0.7, 1.5), touching=0.25, clutter=0.4
    )
    return [
        _from_classifier(replace(base, head=head, seed=seed))
        for head in ("deconvolution", "sliding")
        for seed in _seeds(which)
    ]


def no_background_grid(which: Profile) -> list[FCNConfig]:
    """Exercise 2: report-b's labels, the digit's on its whole canvas, and its heads."""
    base = replace(_detector_base(which), background=False, background_weight=1.0)
    return [_from_classifier(replace(base, head=head)) for head in ("deconvolution", "sliding")]


def _detector_base(which: Profile) -> FCNConfig:
    return FCNConfig(
        data=which.data("mnist"),
        width=8 if which.quick else 32,
        canvases=400 if which.quick else 20_000,
        epochs=3 if which.quick else 12,
        batch_size=20 if which.quick else 50,
        learning_rate=2e-3,
        schedule="one-cycle",
        background_weight=0.3,
        precision="bf16",
    )


def _detector_classifier(config: FCNConfig) -> RunConfig:
    quick = config.data == "digits"
    return replace(
        classifier_config(config),
        schedule="one-cycle",
        learning_rate=2e-3,
        crop_padding=2,
        batch_size=32 if quick else 128,
        epochs=3 if quick else 8,
        precision="bf16",
    )


def _from_classifier(config: FCNConfig) -> FCNConfig:
    return replace(config, classifier=_detector_classifier(config).id)


def _depth_base(data: DataName, which: Profile) -> RunConfig:
    return RunConfig(data=which.data(data), width=128, epochs=6 if which.quick else 20)


def _early_stopping_base(which: Profile) -> RunConfig:
    batch_size = 32 if which.quick else 128  # so few images make too few steps otherwise
    epochs = 40 if which.quick else 100
    return RunConfig(data=which.data("mnist"), patience=10, epochs=epochs, batch_size=batch_size)


def _early_stopping_seeds(which: Profile) -> range:
    return range(1 if which.quick else 5)


def _seeds(which: Profile) -> range:
    return range(1 if which.quick else 3)


def _pairs(base: RunConfig, depths: Iterable[int], seeds: Iterable[int] = (0,)) -> list[RunConfig]:
    """A plain and a residual network of each depth and seed; depth 2 has no block, so one of it."""
    return [
        replace(base, depth=depth, residual=residual, seed=seed)
        for seed in seeds
        for depth in depths
        for residual in ((False,) if depth == 2 else (False, True))
    ]


def _shallow_networks(base: RunConfig, which: Profile, cnn_width: int) -> list[RunConfig]:
    """The MLP, SmallCNN and CNN that section 1.4 compares, trained as `base` says."""
    width = 8 if which.quick else 32
    return [
        replace(base, model="mlp", depth=4, width=16 * width, norm="batch", precision="fp32"),
        replace(base, model="small-cnn", depth=4, width=width),
        replace(base, model="cnn", depth=8, width=cnn_width, norm="batch", dropout=0.5),
    ]


def _conv_training(which: Profile, epochs: int) -> RunConfig:
    """How networks with convolutions are trained; the network is the caller's."""
    return RunConfig(
        data=which.data("cifar10"),
        schedule="one-cycle",
        flip=True,
        crop_padding=4,
        batch_size=32 if which.quick else 128,
        epochs=2 if which.quick else epochs,
        precision="bf16",
    )


def _convnet_base(which: Profile) -> RunConfig:
    base, width = _conv_training(which, epochs=8), 8 if which.quick else 32
    return replace(base, model="convnet", depth=10, width=width, stem_stride=2)


def _resnet_base(which: Profile) -> RunConfig:
    return replace(
        _conv_training(which, epochs=10),
        model="resnet",
        depth=20,
        width=4 if which.quick else 16,
        norm="batch",
        init="he",
        optimizer="sgd",
        learning_rate=0.1,
        weight_decay=5e-4,
    )


def _resnet16(base: RunConfig, which: Profile) -> RunConfig:
    """report-b's network: 16 convolutions in blocks [2, 2, 2, 2], a stem and a head."""
    depth, width = (10, 8) if which.quick else (18, 32)  # quick: blocks [1, 1, 1, 1]
    return replace(
        base, model="resnet", depth=depth, stages=4, width=width, norm="batch", init="he"
    )
