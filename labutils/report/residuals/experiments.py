"""Why residual connections work: gradients, and skip x normalisation x initialisation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from labutils.config.classifier import RunConfig
from labutils.config.data_sets import DataName
from labutils.config.profiles import Profile
from labutils.report.convnets.experiments import convnet_base, resnet_grid
from labutils.report.records import pairs, seeds_of

LOWER_RATES = (3e-4, 1e-4)


def gradient_grid(which: Profile) -> list[RunConfig]:
    """Why residuals work: deep ConvNets that keep their first filters' gradient, early and late.

    That of every layer of shallower ones is in `convnet_grid`, trained alike.
    """
    base = convnet_base(which)
    base = replace(base, gradient_epochs=(0, 1 if which.quick else 2, base.epochs))
    return pairs(base, (10,) if which.quick else (20, 40))


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
        for seed in seeds_of(which)
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


def lesion_pair(which: Profile) -> list[RunConfig]:
    """Why residuals work: the deeper pair of `resnet_grid` of the first seed, to cut blocks out."""
    grid = resnet_grid(which)
    deepest = max(config.depth for config in grid)
    return [config for config in grid if config.depth == deepest and config.seed == 0]
