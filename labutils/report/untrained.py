"""What networks do with images of their data set before they are trained, measured once."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Self

import numpy as np
from torch import Tensor, nn

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
LINES, POINTS = 16, 33  # of gradient correlations: lines between images, images on each


def network_and_images(config: RunConfig) -> tuple[nn.Module, Tensor, Tensor]:
    """The untrained network, and the training images and labels that it is measured on."""
    images = data.load(config.data)
    few = images.train.images[:STATISTICS_IMAGES], images.train.labels[:STATISTICS_IMAGES]
    return untrained(config, images), *few


def _stored(name: str, config: RunConfig, measure: Callable[..., Any], **more: int) -> Any:
    """What `measure` says of the untrained network and its images, stored for the profile.

    It is stored by what decides it: the network and its seed, on the data set.
    """
    network = RunConfig(**{field: getattr(config, field) for field in DECIDE})
    arguments = {"network": network.id, "images": STATISTICS_IMAGES} | more
    return load_or_compute(
        Store.of(profile()), name, arguments, lambda: measure(*network_and_images(network))
    )


def before_training(config: RunConfig) -> dict[str, list[float]]:
    """What the network of a configuration does with 512 training images before it is trained.

    Returns:
        By layer `signal`, what `analysis.signals.variance_shares` returns, `gradient`, the norm of
        the loss's gradient at what the layer hands on, and `deviation`, that of its activations.
    """

    def measure(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, list[float]]:
        found = layer_statistics(model, images, labels).values
        return {
            "signal": variance_shares(model, images),
            "gradient": found["activation_gradient_norm"],
            "deviation": found["activation_std"],
        }

    return _stored("before", config, measure)


def shattering(config: RunConfig) -> list[float]:
    """How alike gradients of nearby images are in the untrained network of a configuration.

    The lines lead from each of the first 16 training images to one of the next 16, in 32 steps.

    Returns:
        What `analysis.signals.gradient_correlations` returns: a number for 1, 2, ... 32 steps.
    """

    def measure(model: nn.Module, images: Tensor, _: Tensor) -> list[float]:
        ends = (images[: 2 * LINES].float() / 255).split(LINES)
        return gradient_correlations(model, *ends, images, POINTS)

    return _stored("shattering", config, measure, lines=LINES, points=POINTS)


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
    def of(cls, configs: Iterable[RunConfig]) -> Self:
        """Of some seeds of one kind."""
        found = [before_training(config) for config in configs]
        rows = [
            (f["signal"][-1], f["gradient"][0] / f["gradient"][-1], f["deviation"][-2])
            for f in found
        ]
        return cls(*(np.prod(rows, 0) ** (1 / len(rows))).tolist())
