"""The report's grids of runs, by name: one epoch count, optimiser and schedule a block."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from labutils.config import DataName, RunConfig
from labutils.profiles import Profile, profile
from labutils.runs import Keep, MissingRuns, Run, Store, estimate_seconds
from labutils.sweep import run_sweep

MNIST_DEPTHS = (2, 4, 10, 22, 26, 34, 40)
CIFAR10_DEPTHS = (4, 10, 16, 24, 36)
HEAD_DEPTHS = (4, 16, 36)
RESNET_DEPTHS = (20, 44)
WIDTHS = (3, 10, 64)
RESCUE_RATES = (1e-4, 3e-4, 3e-3)
# Where plain networks first stop learning in the depth grids; Lab1.ipynb checks it.
STALL_DEPTH: dict[str, int] = {"mnist": 26, "cifar10": 24}


def depth_grid(data: DataName, which: Profile) -> list[RunConfig]:
    """Section 1.2: plain and residual MLPs of each depth; depth 2 has no block, so one of it."""
    depths = MNIST_DEPTHS if data == "mnist" else CIFAR10_DEPTHS
    base = _depth_base(data, which)
    return [
        replace(base, depth=depth, residual=residual, seed=seed)
        for seed in range(2 if which.quick else 3)
        for depth in depths
        for residual in ((False,) if depth == 2 else (False, True))
    ]


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
    return [
        replace(_convnet_base(which), depth=depth, residual=residual, seed=seed)
        for seed in _seeds(which)
        for depth in ((4, 10) if which.quick else CIFAR10_DEPTHS)
        for residual in (False, True)
    ]


def convnet_pair(which: Profile) -> list[RunConfig]:
    """Section 1.2: the first networks with convolutions, one pair of the grid of section 1.3."""
    return [config for config in convnet_grid(which) if (config.depth, config.seed) == (10, 0)]


def head_grid(which: Profile) -> list[RunConfig]:
    """Section 1.3: ConvNets with a 1x1 convolution and average pooling instead of flattening."""
    return [
        replace(_convnet_base(which), depth=depth, residual=residual, head="fully-convolutional")
        for depth in ((4, 10) if which.quick else HEAD_DEPTHS)
        for residual in (False, True)
    ]


def resnet_grid(which: Profile) -> list[RunConfig]:
    """Section 1.3: He's networks with batch norm, and their plain twins."""
    return [
        replace(_resnet_base(which), depth=depth, residual=residual, seed=seed)
        for seed in _seeds(which)
        for depth in ((8, 14) if which.quick else RESNET_DEPTHS)
        for residual in (False, True)
    ]


def side_by_side(which: Profile) -> list[RunConfig]:
    """Section 1.4: five families under one protocol; the last two differ in the skip alone."""
    base = _conv_training(which, epochs=10)
    width = 8 if which.quick else 32
    networks = [
        replace(base, model="mlp", depth=4, width=16 * width, norm="batch", precision="fp32"),
        replace(base, model="small-cnn", depth=4, width=width),
        replace(
            base,
            model="cnn",
            depth=8,
            width=width if which.quick else 2 * width,
            norm="batch",
            dropout=0.5,
        ),
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
    width = 8 if which.quick else 32
    networks = [
        replace(base, model="mlp", depth=4, width=16 * width, norm="batch", precision="fp32"),
        replace(base, model="small-cnn", depth=4, width=width),
        replace(base, model="cnn", depth=8, width=width, norm="batch", dropout=0.5),
    ]
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
        learning_rate=0.08,
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


EXPERIMENTS: dict[str, Callable[[Profile], list[RunConfig]]] = {
    "mnist-width": width_grid,
    "mnist-depth": lambda which: depth_grid("mnist", which),
    "cifar10-depth": lambda which: depth_grid("cifar10", which),
    "rescue": rescue_grid,
    "mnist-blocks": block_grid,
    "best-mlp": best_mlp_grid,
    "convnet-pair": convnet_pair,
    "convnet-depth": convnet_grid,
    "convnet-head": head_grid,
    "resnet-depth": resnet_grid,
    "side-by-side": side_by_side,
    "augmentation": augmentation_grid,
    "schedule": schedule_grid,
    "mnist-cnn": mnist_cnn_grid,
    "strong": strong_grid,
    "strong-plain": strong_plain,
}


# Experiments whose weights are stored, because a notebook or a later exercise loads them.
KEEP: dict[str, Keep] = {"strong": "fp16", "strong-plain": "fp16"}
# What the runs of an experiment are compared with: those of others, the same but for some fields.
BASELINES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "rescue": (("mnist-depth", "cifar10-depth"), ("learning_rate",)),
    "convnet-head": (("convnet-depth",), ("head",)),
    "augmentation": (("side-by-side",), ("flip", "crop_padding")),
    "schedule": (("resnet-depth",), ("schedule",)),
    "strong-plain": (("strong",), ("residual",)),
}


def configs(name: str, which: Profile | None = None) -> list[RunConfig]:
    """The configurations of an experiment.

    Raises:
        KeyError: there is no such experiment; the message lists them.
    """
    if name not in EXPERIMENTS:
        raise KeyError(f"no experiment {name!r}: choose one of {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name](which or profile())


def load(name: str, which: Profile | None = None, *, train_missing: bool = False) -> list[Run]:
    """The runs of an experiment. In the quick profile what is missing is trained at once.

    Raises:
        MissingRuns: some are not stored and `train_missing` is false; the message gives the
            estimated time and the command that trains them.
    """
    which = which or profile()
    store, wanted = Store.of(which), configs(name, which)
    keep = KEEP.get(name, "none")
    missing = store.missing(wanted, keep)
    if missing and not (train_missing or which.quick):
        minutes = estimate_seconds(missing) / 60 / 2
        raise MissingRuns(
            f"{len(missing)} of the {len(wanted)} runs of {name} are not stored in {store.folder} "
            f"(the first is {missing[0].name}). Train them, in about {minutes:.0f} minutes on two "
            f"cores, with `python -m labutils sweep {name}`, or set TRAIN_MISSING = True."
        )
    return run_sweep(wanted, store=store, keep=keep)


def baselines(name: str, which: Profile | None = None) -> list[Run]:
    """The runs of other experiments that those of `name` are compared with.

    Each has a partner in `name` that is the same but for the fields that `BASELINES` gives.
    """
    which = which or profile()
    others, fields = BASELINES[name]
    wanted = configs(name, which)

    def has_partner(config: RunConfig) -> bool:
        compared = {field: getattr(config, field) for field in fields}
        return any(replace(own, **compared) == config for own in wanted)

    return [run for other in others for run in load(other, which) if has_partner(run.config)]


def select(runs: Iterable[Run], **fields: object) -> list[Run]:
    """The runs whose configuration has these values, for example `depth=22, residual=True`."""
    return [
        run
        for run in runs
        if all(getattr(run.config, name) == value for name, value in fields.items())
    ]


def stall_depth(runs: Iterable[Run]) -> int | None:
    """The shallowest depth at which no plain network learns, or None where all learn.

    Not learning: in the end a share of training images right that is below twice chance.
    """
    plain = [run for run in runs if not run.config.residual]
    chance = 0.1  # every set of the depth grids has ten classes
    for depth in sorted({run.config.depth for run in plain}):
        final = [run.history["train_accuracy"][-1] for run in select(plain, depth=depth)]
        if max(final) < 2 * chance:
            return depth
    return None


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
