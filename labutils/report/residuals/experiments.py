"""Why residual connections work: gradients, skip x normalisation x initialisation, lesions.

Two explanations divide the twenty kinds of `ablation-mnist` and `ablation-cifar10` alike: a network
is quick if signal and gradient are kept at the start, or if it has a skip and its activations do
not explode. The experiments `deciding-*` tell them apart by plain networks that keep both. What
each explanation predicts of them is `predicted_quick`; its limits were read off the twenty kinds,
and written down with the kinds before any of the new networks was trained:

- The signal is kept where at least 0.3 of the variance of the last hidden layer's activations is
  across images (the quick kinds have 0.35 and more, those that lose it 0.26 and less).
- The gradient is kept where that at the first layer's output is at most 25 times that at the
  logits, and at least a 25th of it (the quick kinds have 0.4 to 24, the others 200 and more, or
  next to nothing).
- Activations explode where their deviation at the last hidden layer is more than 100.
- A kind is quick where its mean training loss in the end, at its own best rate, is at most 1.75
  times that of the residual kind with default weights and no norm.

If plain kinds that keep both are quick, it is not the skip itself; if they are slow, keeping both
is not enough. If some are quick and some slow, neither explanation holds as it stands.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from jaxtyping import Int64, UInt8
from torch import Tensor

from labutils.config import RunConfig
from labutils.config.profiles import profile
from labutils.report.convnets.experiments import CONVNET, resnet_depth
from labutils.report.records import at_best_rate, experiment, pairs, seeded
from labutils.report.untrained import Kept
from labutils.runs.load import load_or_compute
from labutils.runs.store import Run, Store, weights_digest
from labutils.training import statistics

MLP_40 = RunConfig(depth=40, epochs=5)
CONVNET_36 = RunConfig(
    data="cifar10", model="convnet", depth=36, width=16, stem_stride=2, epochs=5
)  # in fp32, as the MLPs are
# Skip, normalisation and initialisation in every combination that a network can have.
CELLS = [
    {"residual": residual, "norm": norm, "init": init}
    for residual in (False, True)
    for norm in ("none", "batch")
    for init in ("default", "he", *(("zero-residual",) if residual else ()))
]
PLAIN = {"residual": False, "norm": "none"}
PLAIN_HE = PLAIN | {"init": "he"}
PLAIN_NORM = PLAIN | {"norm": "batch", "init": "default"}
RESIDUAL = {"residual": True, "norm": "none", "init": "default"}


@experiment("gradients", varies=("depth", "residual"))
def gradients() -> list[RunConfig]:
    """Why residuals work: deep ConvNets that keep their first filters' gradient, early and late.

    That of every layer of shallower ones is in `convnet-depth`, trained alike.
    """
    return pairs(replace(CONVNET, gradient_epochs=(0, 2, 8)), (20, 40), seeds=(0,))


@experiment("ablation-mnist", varies=("residual", "norm", "init", "seed"))
def ablation_mnist() -> list[RunConfig]:
    """Why residuals work: skip x normalisation x initialisation of deep MLPs, ten cells."""
    return seeded(replace(MLP_40, **cell) for cell in CELLS)


@experiment("ablation-cifar10", varies=("residual", "norm", "init", "seed"))
def ablation_cifar10() -> list[RunConfig]:
    """Why residuals work: skip x normalisation x initialisation of deep ConvNets, ten cells."""
    return seeded(replace(CONVNET_36, precision="bf16", **cell) for cell in CELLS)


@experiment(
    "ablation-rates",
    varies=("residual", "norm", "init", "seed", "learning_rate"),
    compared_with=("ablation-mnist",),
    differs_in=("learning_rate",),
)
def ablation_rates() -> list[RunConfig]:
    """Why residuals work: do kinds that learn differ at lower learning rates as well?"""
    kinds = [replace(MLP_40, **cell) for cell in (PLAIN_HE, PLAIN_NORM, RESIDUAL)]
    return [
        replace(config, learning_rate=rate) for rate in (3e-4, 1e-4) for config in seeded(kinds)
    ]


# Made to keep both, with the same activations and PyTorch's weights as controls; and kinds of the
# ablation to compare them with, trained beside them in one arithmetic and at the same rates.
DECIDING = [
    PLAIN | {"init": "orthogonal"},
    PLAIN | {"init": "lsuv"},
    PLAIN | {"init": "looks-linear", "activation": "crelu"},
    PLAIN | {"init": "default", "activation": "crelu"},
    PLAIN | {"init": "orthogonal", "activation": "leaky"},
    PLAIN | {"init": "default", "activation": "leaky"},
    PLAIN_HE,
    PLAIN_NORM,
    RESIDUAL,
    RESIDUAL | {"init": "zero-residual"},
    RESIDUAL | {"norm": "batch", "init": "zero-residual"},
]
RATES = (1e-3, 3e-4, 1e-4)
# with concatenated ReLU a layer has twice the inputs: as many weights as the others
CRELU_WIDTHS = {"mlp": 90, "convnet": 11}
SIGNAL_KEPT, GRADIENT_KEPT, EXPLODED, QUICK = 0.3, 25, 100, 1.75


def deciding_kinds(base: RunConfig) -> list[RunConfig]:
    """Why residuals work: plain kinds made to keep signal and gradient, and kinds to compare."""
    kinds = [replace(base, **kind) for kind in DECIDING]
    return [
        replace(kind, width=CRELU_WIDTHS[kind.model]) if kind.activation == "crelu" else kind
        for kind in kinds
    ]


DECIDED = ("residual", "norm", "init", "activation", "width", "learning_rate")


@experiment("deciding-mnist", varies=(*DECIDED, "seed"))
def deciding_mnist() -> list[RunConfig]:
    """Why residuals work: deep MLPs that keep signal and gradient, at the best rate of each."""
    return seeded(at_best_rate(kind, RATES) for kind in deciding_kinds(MLP_40))


@experiment("deciding-cifar10", varies=(*DECIDED, "seed"))
def deciding_cifar10() -> list[RunConfig]:
    """Why residuals work: deep ConvNets that keep signal and gradient, at the best rate of each."""
    return seeded(at_best_rate(kind, RATES) for kind in deciding_kinds(CONVNET_36))


@experiment("lesions", varies=("residual",), keep="fp16")
def lesion_pair() -> list[RunConfig]:
    """Why residuals work: the deeper pair of `resnet-depth`, one seed, to cut blocks out."""
    return [config for config in resnet_depth.grid() if (config.depth, config.seed) == (44, 0)]


def followed(runs: Sequence[Run]) -> list[Run]:
    """Those whose gradients are followed through training.

    Of `convnet-depth` the networks of its second depth, and those of `gradients`.
    """
    shallow = sorted({run.config.depth for run in runs if not run.config.gradient_epochs})[1:2]
    return [run for run in runs if run.config.gradient_epochs or run.config.depth in shallow]


def untrained_statistics(
    config: RunConfig,
    images: UInt8[Tensor, "batch channels height width"],
    labels: Int64[Tensor, " batch"],
) -> dict[str, list[float]]:
    """What `training.statistics.untrained_statistics` measures, stored for the profile.

    It is stored, because its last digits are the processor's own.
    """

    def measured() -> dict[str, list[float]]:
        return statistics.untrained_statistics(config, images, labels)

    given = weights_digest({"images": images, "labels": labels})
    arguments = {"network": config.id, "images": given}
    return load_or_compute(Store.of(profile()), "untrained", arguments, measured)


def keeps_both(kept: Kept) -> bool:
    """Whether signal and gradient count as kept: the module says by which limits."""
    return kept.signal >= SIGNAL_KEPT and 1 / GRADIENT_KEPT <= kept.gradient <= GRADIENT_KEPT


def predicted_quick(config: RunConfig, kept: Kept) -> tuple[bool, bool]:
    """What each explanation says: quick because both are kept; quick because of the skip."""
    return keeps_both(kept), config.residual and kept.deviation <= EXPLODED


def untrained_networks(depths: Iterable[int]) -> dict[str, list[RunConfig]]:
    """Why residuals work: six kinds of MLP, each of all depths, that are built and not trained."""
    kinds = {"": {}, ", He": {"init": "he"}, ", batch norm": {"norm": "batch"}}
    return {
        f"{skip}{title}": [
            RunConfig(depth=depth, width=64, residual=skip == "residual", **options)
            for depth in depths
        ]
        for skip in ("plain", "residual")
        for title, options in kinds.items()
    }
