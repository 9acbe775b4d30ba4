"""What the report calls data sets, networks and groups of runs."""

from collections.abc import Sequence

from labutils.config import DATA_SETS, FAMILIES, RunConfig
from labutils.runs.store import Run

HEADS = {  # of ConvNets, and of detectors
    "flatten": "flattening",
    "fully-convolutional": "averaging",
    "sliding": "sliding",
    "deconvolution": "deconvolution",
    "skip": "finer maps",
}


def network_name(config: RunConfig) -> str:
    """What the report calls a network.

    Those of blocks [2, 2, 2, 2] have the names that report-b gave them, after their 16
    convolutions in blocks; with stem and head they have 18 weight layers.
    """
    kind = kind_name(config)
    if config.model == "resnet" and config.stages == 4:
        return f"{'ResNet' if config.residual else 'ConvNet'}-{config.depth - 2}"
    if config.model in ("small-cnn", "cnn"):
        return FAMILIES[config.model].title
    averaging = f", {HEADS[config.head]} head" if config.head == "fully-convolutional" else ""
    return f"{FAMILIES[config.model].title} {config.depth}, {kind}{averaging}"


def family_name(config: RunConfig) -> str:
    """The family, and its head where that is not the one of the report's first networks."""
    averaging = f" with {HEADS[config.head]} head" if config.head == "fully-convolutional" else ""
    return FAMILIES[config.model].title + averaging


def family_and_data(config: RunConfig) -> str:
    """For example `ConvNet, CIFAR-10`."""
    return f"{family_name(config)}, {DATA_SETS[config.data].title}"


def kind_name(config: RunConfig) -> str:
    """Whether a network has skips, in a word."""
    return "residual" if config.residual else "plain"


def cell(run: Run) -> tuple[str, str, str]:
    """Skip, normalisation and initialisation of a run, in words; the last with the activation."""
    config = run.config
    inits = {"he": "He", "zero-residual": "He, last zero", "lsuv": "LSUV"}
    activations = {"relu": "", "leaky": ", leaky ReLU", "crelu": ", CReLU"}
    return (
        kind_name(config),
        "batch norm" if config.norm == "batch" else "no norm",
        inits.get(config.init, config.init) + activations[config.activation],
    )


def count_of(runs: Sequence[Run]) -> str:
    """How many seeds these runs are, in words."""
    return f"{len(runs)} seed{'' if len(runs) == 1 else 's'}"
