"""The report's grids of runs, by name: one epoch count, optimiser and schedule a block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from labutils.config import RunConfig
from labutils.profiles import Profile, profile
from labutils.runs import MissingRuns, Run, Store, estimate_seconds
from labutils.sweep import run_sweep

MNIST_DEPTHS = (2, 4, 10, 22, 26, 34, 40)
CIFAR10_DEPTHS = (4, 10, 16, 24, 36)
WIDTHS = (3, 10, 64)
SEEDS = (0, 1, 2)


def depth_grid(data: str, which: Profile) -> list[RunConfig]:
    """Section 1.2: plain and residual MLPs of each depth; depth 2 has no block, so one of it."""
    depths = MNIST_DEPTHS if data == "mnist" else CIFAR10_DEPTHS
    base = RunConfig(data=which.data(data), model="mlp", width=128, epochs=20)
    return [
        replace(base, depth=depth, residual=residual, seed=seed)
        for seed in SEEDS
        for depth in depths
        for residual in ((False,) if depth == 2 else (False, True))
    ]


EXPERIMENTS: dict[str, Callable[[Profile], list[RunConfig]]] = {
    "mnist-depth": lambda which: depth_grid("mnist", which),
    "cifar10-depth": lambda which: depth_grid("cifar10", which),
}
