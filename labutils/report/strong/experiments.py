"""Section 1.5: one strong network, its plain twin, and other ways to train them."""

from __future__ import annotations

from dataclasses import replace

from labutils.config.classifier import RunConfig
from labutils.config.profiles import Profile
from labutils.report.records import seeds_of


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
        cutout=16,
        batch_size=100 if which.quick else 1000,
        epochs=1 if which.quick else 64,
        precision="bf16",
    )
    return [replace(base, seed=seed) for seed in seeds_of(which)]


def strong_plain(which: Profile) -> list[RunConfig]:
    """Section 1.5: the strong network without its skips."""
    return [replace(config, residual=False) for config in strong_grid(which)]


def strong_recipes(which: Profile) -> list[RunConfig]:
    """Section 1.5: both with half the rate and smaller holes, the first for fewer epochs, too."""
    longer = [
        replace(config, learning_rate=0.12, cutout=12)
        for config in strong_grid(which) + strong_plain(which)
    ]
    shorter = [replace(config, epochs=16) for config in longer if config.residual]
    return longer if which.quick else shorter + longer


def strong_brief(which: Profile) -> list[RunConfig]:
    """Section 1.5: the strong network trained briefly, without holes, as a CPU can afford."""
    return [replace(strong_grid(which)[0], cutout=0, epochs=1 if which.quick else 8)]
