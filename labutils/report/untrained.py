"""What networks do with images of their data set before they are trained, measured once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from labutils import data
from labutils.analysis.signals import gradient_correlations, variance_shares
from labutils.config import RunConfig
from labutils.config.profiles import profile
from labutils.runs.load import load_or_compute
from labutils.runs.store import Store
from labutils.training.classifiers import STATISTICS_IMAGES, untrained
from labutils.training.statistics import layer_statistics

# What decides an untrained network; it is measured in fp32, whatever it is trained in.
DECIDE = (
    *("data", "model", "depth", "width", "residual", "norm", "init", "activation", "head"),
    *("stem_stride", "seed"),
)


def before_training(config: RunConfig) -> dict[str, list[float]]:
    """What the network of a configuration does with 512 training images before it is trained.

    Stored for the profile by what decides it: the network and its seed, on the data set.

    Returns:
        By layer `signal`, what `analysis.signals.variance_shares` returns, `gradient`, the norm of
        the loss's gradient at what the layer hands on, and `deviation`, that of its activations.
    """
    network = network_of(config)

    def measured() -> dict[str, list[float]]:
        images = data.load(network.data)
        few = images.train.images[:STATISTICS_IMAGES], images.train.labels[:STATISTICS_IMAGES]
        model = untrained(network, images)
        found = layer_statistics(model, *few).values
        return {
            "signal": variance_shares(model, few[0]),
            "gradient": found["activation_gradient_norm"],
            "deviation": found["activation_std"],
        }

    arguments = {"network": network.id, "images": STATISTICS_IMAGES}
    return load_or_compute(Store.of(profile()), "before", arguments, measured)


LINES, POINTS = 16, 33  # of gradient correlations: lines between images, images on each


def shattering(config: RunConfig) -> list[float]:
    """How alike gradients of nearby images are in the untrained network of a configuration.

    Stored as `before_training` is. The lines lead from each of the first 16 training images to
    one of the next 16, in 32 steps.

    Returns:
        What `analysis.signals.gradient_correlations` returns: a number for 1, 2, ... 32 steps.
    """
    network = network_of(config)

    def measured() -> list[float]:
        images = data.load(network.data)
        shown = images.train.images[:STATISTICS_IMAGES]
        ends = (shown[: 2 * LINES].float() / 255).split(LINES)
        return gradient_correlations(untrained(network, images), *ends, shown, POINTS)

    arguments = {"network": network.id, "images": STATISTICS_IMAGES}
    arguments |= {"lines": LINES, "points": POINTS}
    return load_or_compute(Store.of(profile()), "shattering", arguments, measured)


def network_of(config: RunConfig) -> RunConfig:
    """The configuration with all that training decides left open: one for equal networks."""
    return RunConfig(**{name: getattr(config, name) for name in DECIDE})


class Kept(NamedTuple):
    """What is kept of signal and gradient before training: geometric means over seeds.

    Attributes:
        signal: share of the last hidden layer's variance that is across images.
        gradient: that at the first layer's output relative to that at the logits.
        deviation: of the last hidden layer's activations.
    """

    signal: float
    gradient: float
    deviation: float

    @classmethod
    def of(cls, configs: Iterable[RunConfig]) -> Kept:
        """Of some seeds of one kind."""
        found = [before_training(config) for config in configs]
        rows = [
            (f["signal"][-1], f["gradient"][0] / f["gradient"][-1], f["deviation"][-2])
            for f in found
        ]
        return cls(*(np.prod(rows, 0) ** (1 / len(rows))).tolist())
