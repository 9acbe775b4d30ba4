"""Sections 1.1 and 1.2: width, depth, learning rate and early stopping of MLPs."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from labutils.config import DataName, RunConfig
from labutils.config.profiles import profile
from labutils.report.records import SEEDS, experiment, pairs
from labutils.report.statistics import by_fields, learned, select
from labutils.report.untrained import network_and_images
from labutils.runs.load import load_or_compute
from labutils.runs.store import Run, Store
from labutils.training.classifiers import STATISTICS_IMAGES
from labutils.training.statistics import layer_statistics

DEPTHS: dict[DataName, tuple[int, ...]] = {
    "mnist": (2, 4, 10, 22, 26, 34, 40),
    "cifar10": (4, 10, 16, 24, 36),
}
# Where plain networks first stop learning in the depth grids; the notebook checks it.
STALL_DEPTH: dict[DataName, int] = {"mnist": 26, "cifar10": 24}
LEARNING_DEPTHS = range(10, 27, 2)
# One at which some plain networks learn in fp32, and the first at which none of three does.
EXACT_DEPTHS = (22, 26)
EARLY_STOPPING = RunConfig(patience=10, epochs=100)


@experiment("mnist-width", varies=("width", "crop_padding", "seed"))
def width() -> list[RunConfig]:
    """Section 1.1: one hidden layer of three widths, without and with shifts by one pixel."""
    return [
        replace(EARLY_STOPPING, depth=2, width=width, crop_padding=shift, seed=seed)
        for width in (3, 10, 64)
        for shift in (0, 1)
        for seed in range(5)
    ]


@experiment("mnist-depth", varies=("depth", "residual", "seed"))
def mnist_depth() -> list[RunConfig]:
    """Section 1.2: plain and residual MLPs of each depth on MNIST."""
    return pairs(RunConfig(), DEPTHS["mnist"])


@experiment("cifar10-depth", varies=("depth", "residual", "seed"))
def cifar10_depth() -> list[RunConfig]:
    """Section 1.2: plain and residual MLPs of each depth on CIFAR-10."""
    return pairs(RunConfig(data="cifar10"), DEPTHS["cifar10"])


@experiment(
    "rescue",
    varies=("data", "depth", "learning_rate"),  # each set at its own depth
    compared_with=("mnist-depth", "cifar10-depth"),
    differs_in=("learning_rate",),
)
def rescue() -> list[RunConfig]:
    """Section 1.2: the shallowest plain networks that do not learn, at other learning rates."""
    return [
        RunConfig(data=data, depth=depth, learning_rate=rate)
        for data, depth in STALL_DEPTH.items()
        for rate in (1e-4, 3e-4, 3e-3)
    ]


@experiment("mnist-learning", varies=("depth", "seed"))
def learning() -> list[RunConfig]:
    """Section 1.2: how many of ten plain MLPs learn, depth by depth; some are in `mnist-depth`."""
    return [RunConfig(depth=depth, seed=seed) for depth in LEARNING_DEPTHS for seed in range(10)]


@experiment(
    "mnist-fp64",
    varies=("depth", "seed"),
    compared_with=("mnist-learning",),
    differs_in=("precision",),
)
def learning_in_fp64() -> list[RunConfig]:
    """Section 1.2: do more plain MLPs learn where numbers are rounded a billion times finer?"""
    chosen = [config for config in learning.grid() if config.depth in EXACT_DEPTHS]
    return [replace(config, precision="fp64") for config in chosen]


@experiment("mnist-blocks", varies=("width", "depth", "residual", "seed"))
def blocks() -> list[RunConfig]:
    """Section 1.2: report-d's comparison, and the plain network of equal depth that it lacks."""
    return [
        replace(EARLY_STOPPING, depth=depth, residual=residual, width=width, seed=seed)
        for width in (10, 64)
        for depth, residual in ((2, False), (8, False), (8, True))
        for seed in range(5)
    ]


@experiment("best-mlp", varies=("data", "seed", "epochs", "flip"))  # digits are not mirrored
def best() -> list[RunConfig]:
    """Section 1.2: how far an MLP goes that is trained well, one configuration a data set."""
    base = RunConfig(
        depth=4, width=1024, residual=True, norm="batch", dropout=0.2, label_smoothing=0.1,
        optimizer="adamw", schedule="cosine", learning_rate=2e-3, weight_decay=0.05,
        crop_padding=2, batch_size=512, precision="bf16",
    )  # fmt: skip
    return [
        replace(base, data=data, flip=data == "cifar10", epochs=epochs, seed=seed)
        for data, epochs in (("mnist", 20), ("cifar10", 30))
        for seed in SEEDS
    ]


def stall_depth(runs: Iterable[Run]) -> int | None:
    """The shallowest depth at which no plain network learns, or None where all learn.

    `statistics.learned` says what learning means.
    """
    plain = by_fields(select(runs, residual=False), "depth")
    return next((depth for depth, chosen in plain if not any(map(learned, chosen))), None)


def untrained_signals(configs: Sequence[RunConfig]) -> list[dict[str, float]]:
    """What the last hidden layer of untrained networks tells apart, stored for the profile.

    Args:
        configs: networks on one data set; each is measured in its own precision.

    Returns:
        For each network `deviation`, a unit's deviation over 512 training images, averaged over
        units, and `mean`, the mean activation.
    """

    def measured() -> list[dict[str, float]]:
        found = []
        for config in configs:
            values = layer_statistics(*network_and_images(config)).values
            deviation, mean = values["activation_image_std"][-2], values["activation_mean"][-2]
            found.append({"deviation": deviation, "mean": mean})
        return found

    arguments = {"networks": [config.id for config in configs], "images": STATISTICS_IMAGES}
    return load_or_compute(Store.of(profile()), "signals", arguments, measured)
