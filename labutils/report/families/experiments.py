"""Section 1.4: families side by side, and one factor of their protocol at a time."""

from dataclasses import replace

from labutils.config import RunConfig
from labutils.report.convnets.experiments import PROTOCOL, resnet_depth
from labutils.report.records import at_best_rate, experiment, seeded

# What makes a network of another family, precision included: MLPs gain nothing from bf16.
NETWORK = ("model", "depth", "width", "norm", "dropout", "precision")
RESNET16 = ("residual", "stages", "init")  # in which the last two networks are not as the others


@experiment("mnist-cnn", varies=(*NETWORK, "seed"))
def mnist_cnn() -> list[RunConfig]:
    """Section 1.4: an MLP and two CNNs on MNIST under one protocol."""
    base = replace(PROTOCOL, data="mnist", flip=False, crop_padding=2)
    return seeded(_shallow_networks(base))


@experiment("side-by-side", varies=(*NETWORK, *RESNET16, "seed"))
def adam() -> list[RunConfig]:
    """Section 1.4: five families, all with Adam; the last two differ in the skip alone."""
    # report-b's network: 16 convolutions in blocks [2, 2, 2, 2], a stem and a head
    resnet16 = replace(
        PROTOCOL, model="resnet", depth=18, stages=4, width=16, norm="batch", init="he"
    )
    skips = [replace(resnet16, residual=residual) for residual in (False, True)]
    return seeded([*_shallow_networks(PROTOCOL), *skips])


@experiment("side-by-side-sgd", varies=(*NETWORK, *RESNET16, "seed"))
def sgd() -> list[RunConfig]:
    """Section 1.4: the networks of `side-by-side`, all with SGD and weight decay."""
    # at 0.1, the rate of `resnet-depth`, SmallCNN diverges: it has no normalisation
    how = {"optimizer": "sgd", "learning_rate": 0.05, "weight_decay": 5e-4}
    return [replace(config, **how) for config in adam.grid()]


RATES = {"adam": (1e-3, 3e-4, 3e-3), "sgd": (0.05, 0.0125, 0.2)}  # the first: of those above


def first_seeds() -> list[RunConfig]:
    """The five networks with each optimiser, one seed."""
    return [config for config in (*adam.grid(), *sgd.grid()) if config.seed == 0]


TUNED = (*NETWORK, *RESNET16, "optimizer", "learning_rate", "weight_decay")


@experiment("side-by-side-tuned", varies=(*TUNED, "seed"))
def tuned() -> list[RunConfig]:
    """Section 1.4: the five networks with either optimiser, at the best rate in validation."""
    return seeded(at_best_rate(network, RATES[network.optimizer]) for network in first_seeds())


@experiment(
    "augmentation",
    varies=("seed",),
    compared_with=("side-by-side-sgd",),
    differs_in=("flip", "crop_padding"),
)
def augmentation() -> list[RunConfig]:
    """Section 1.4: the residual network of `side-by-side-sgd` on images as they are."""
    return [replace(config, flip=False, crop_padding=0) for config in sgd.grid() if config.residual]


@experiment("schedule", varies=("seed",), compared_with=("resnet-depth",), differs_in=("schedule",))
def schedule() -> list[RunConfig]:
    """Section 1.4: the shallow residual network of `resnet-depth` without its schedule."""
    return [
        replace(config, schedule="constant")
        for config in resnet_depth.grid()
        if config.residual and config.depth == 20
    ]


def _shallow_networks(base: RunConfig) -> list[RunConfig]:
    """An MLP, a SmallCNN and a CNN, trained as `base` says."""
    return [
        replace(base, model="mlp", depth=4, width=512, norm="batch", precision="fp32"),
        replace(base, model="small-cnn", depth=4, width=32),
        replace(base, model="cnn", depth=8, width=32, norm="batch", dropout=0.5),
    ]
