"""Sections 1.1 and 1.2: width, depth, learning rate and early stopping of MLPs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from labutils.config.classifier import RunConfig
from labutils.config.data_sets import DataName
from labutils.config.profiles import Profile
from labutils.report.experiments import select
from labutils.report.records import pairs
from labutils.report.statistics import learned
from labutils.runs.store import Run

MNIST_DEPTHS = (2, 4, 10, 22, 26, 34, 40)
CIFAR10_DEPTHS = (4, 10, 16, 24, 36)
WIDTHS = (3, 10, 64)
RESCUE_RATES = (1e-4, 3e-4, 3e-3)
# Where plain networks first stop learning in the depth grids; Lab1.ipynb checks it.
STALL_DEPTH: dict[str, int] = {"mnist": 26, "cifar10": 24}


def depth_grid(data: DataName, which: Profile) -> list[RunConfig]:
    """Section 1.2: plain and residual MLPs of each depth."""
    depths = MNIST_DEPTHS if data == "mnist" else CIFAR10_DEPTHS
    if which.quick and data == "cifar10":  # these take longest
        depths = (4, 10, 24)
    quick_seeds = 2 if data == "mnist" else 1
    return pairs(_depth_base(data, which), depths, range(quick_seeds if which.quick else 3))


def rescue_grid(which: Profile) -> list[RunConfig]:
    """Section 1.2: the shallowest plain networks that do not learn, under other learning rates."""
    return [
        replace(_depth_base(data, which), depth=STALL_DEPTH[data], learning_rate=rate)
        for data in ("mnist", "cifar10")
        for rate in (RESCUE_RATES[::2] if which.quick else RESCUE_RATES)
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


def _depth_base(data: DataName, which: Profile) -> RunConfig:
    return RunConfig(data=which.data(data), width=128, epochs=4 if which.quick else 20)


def _early_stopping_base(which: Profile) -> RunConfig:
    batch_size = 32 if which.quick else 128  # so few images make too few steps otherwise
    epochs = 25 if which.quick else 100
    return RunConfig(data=which.data("mnist"), patience=10, epochs=epochs, batch_size=batch_size)


def _early_stopping_seeds(which: Profile) -> range:
    return range(1 if which.quick else 5)


def stall_depth(runs: Iterable[Run]) -> int | None:
    """The shallowest depth at which no plain network learns, or None where all learn.

    `summaries.learned` says what learning means.
    """
    plain = [run for run in runs if not run.config.residual]
    for depth in sorted({run.config.depth for run in plain}):
        if not any(learned(run) for run in select(plain, depth=depth)):
            return depth
    return None
