"""What the grids share: pairs, seeds, and how networks with convolutions are trained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from labutils.config.classifier import RunConfig
from labutils.config.profiles import Profile


def pairs(base: RunConfig, depths: Iterable[int], seeds: Iterable[int] = (0,)) -> list[RunConfig]:
    """A plain and a residual network of each depth and seed; depth 2 has no block, so one of it."""
    return [
        replace(base, depth=depth, residual=residual, seed=seed)
        for seed in seeds
        for depth in depths
        for residual in ((False,) if depth == 2 else (False, True))
    ]


def seeds_of(which: Profile) -> range:
    """Three seeds; one in the quick profile."""
    return range(1 if which.quick else 3)
