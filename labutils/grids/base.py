"""What the grids share: pairs, seeds, and how networks with convolutions are trained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from labutils.config import RunConfig
from labutils.profiles import Profile


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
