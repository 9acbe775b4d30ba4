"""Section 1.5: one strong network and its plain twin."""

from __future__ import annotations

from dataclasses import replace

from labutils.config import RunConfig
from labutils.grids.base import seeds_of
from labutils.profiles import Profile


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
        bias_learning_rate=10.0,
        head_learning_rate=0.05,
        schedule="linear",
        flip=True,
        alternating_flip=True,
        crop_padding=4,
        padding_mode="reflect",
        cutout=12,
        batch_size=100 if which.quick else 1000,
        epochs=4 if which.quick else 24,
        precision="bf16",
    )
    return [replace(base, seed=seed) for seed in seeds_of(which)]


def strong_plain(which: Profile) -> list[RunConfig]:
    """Section 1.5: the strong network of the first seed without its skips."""
    return [replace(strong_grid(which)[0], residual=False)]
