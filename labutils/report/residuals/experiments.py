"""Why residual connections work: gradients, skip x normalisation x initialisation, lesions."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from jaxtyping import Int64, UInt8
from torch import Tensor

from labutils.config import RunConfig
from labutils.config.profiles import profile
from labutils.report.convnets.experiments import CONVNET, resnet_depth
from labutils.report.records import SEEDS, experiment, pairs
from labutils.runs.load import load_or_compute
from labutils.runs.store import Run, Store, weights_digest
from labutils.training import statistics

# Skip, normalisation and initialisation in every combination that a network can have.
CELLS = [
    {"residual": residual, "norm": norm, "init": init}
    for residual in (False, True)
    for norm in ("none", "batch")
    for init in ("default", "he", *(("zero-residual",) if residual else ()))
]


@experiment("gradients", varies=("depth", "residual"))
def gradients() -> list[RunConfig]:
    """Why residuals work: deep ConvNets that keep their first filters' gradient, early and late.

    That of every layer of shallower ones is in `convnet-depth`, trained alike.
    """
    return pairs(replace(CONVNET, gradient_epochs=(0, 2, 8)), (20, 40), seeds=(0,))


@experiment("ablation-mnist", varies=("residual", "norm", "init", "seed"))
def ablation_mnist() -> list[RunConfig]:
    """Why residuals work: skip x normalisation x initialisation of deep MLPs, ten cells."""
    base = RunConfig(depth=40, epochs=5)
    return [replace(base, **cell, seed=seed) for seed in SEEDS for cell in CELLS]


@experiment("ablation-cifar10", varies=("residual", "norm", "init", "seed"))
def ablation_cifar10() -> list[RunConfig]:
    """Why residuals work: skip x normalisation x initialisation of deep ConvNets, ten cells."""
    base = RunConfig(
        data="cifar10",
        model="convnet",
        depth=36,
        width=16,
        stem_stride=2,
        precision="bf16",
        epochs=5,
    )
    return [replace(base, **cell, seed=seed) for seed in SEEDS for cell in CELLS]


@experiment(
    "ablation-rates",
    varies=("residual", "norm", "init", "seed", "learning_rate"),
    compared_with=("ablation-mnist",),
    differs_in=("learning_rate",),
)
def ablation_rates() -> list[RunConfig]:
    """Why residuals work: do kinds that learn differ at lower learning rates as well?"""
    kinds = (
        {"residual": False, "norm": "none", "init": "he"},
        {"residual": False, "norm": "batch", "init": "default"},
        {"residual": True, "norm": "none", "init": "default"},
    )
    return [
        replace(config, learning_rate=rate)
        for rate in (3e-4, 1e-4)
        for config in ablation_mnist.grid()
        if {name: getattr(config, name) for name in kinds[0]} in kinds
    ]


@experiment("lesions", varies=("residual",), keep="fp16")
def lesion_pair() -> list[RunConfig]:
    """Why residuals work: the deeper pair of `resnet-depth`, one seed, to cut blocks out."""
    return [config for config in resnet_depth.grid() if (config.depth, config.seed) == (44, 0)]


def followed(runs: Sequence[Run]) -> list[Run]:
    """Those whose gradients are followed through training.

    Of `convnet-depth` the networks of its second depth, and those of `gradients`.
    """
    depths = sorted({run.config.depth for run in runs if not run.config.gradient_epochs})
    shallow = depths[1:2]
    return [run for run in runs if run.config.gradient_epochs or run.config.depth in shallow]


def untrained_statistics(
    config: RunConfig,
    images: UInt8[Tensor, "batch channels height width"],
    labels: Int64[Tensor, " batch"],
) -> dict[str, list[float]]:
    """What `training.statistics.untrained_statistics` measures, stored for the profile.

    It is stored, because its last digits are the processor's own.
    """
    arguments = {
        "network": config.id,
        "images": weights_digest({"images": images, "labels": labels}),
    }
    return load_or_compute(
        Store.of(profile()),
        "untrained",
        arguments,
        lambda: statistics.untrained_statistics(config, images, labels),
    )


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
