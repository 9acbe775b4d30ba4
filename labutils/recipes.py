"""What trains each kind of configuration, and about how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from labutils import data
from labutils.config import Config, FCNConfig, RunConfig
from labutils.fcn.training import detector_cost, train_detector
from labutils.runs import training_cost
from labutils.training import Outcome, train

RECIPES: dict[type[Config], Callable[..., Outcome]] = {
    RunConfig: train,
    FCNConfig: train_detector,
}


def train_run(config: Config, **arguments: Any) -> Outcome:
    """The recipe of any configuration; `arguments` are those of `runs.load_or_train`."""
    return RECIPES[type(config)](config, **arguments)


def estimate_seconds(configs: Sequence[Config]) -> float:
    """Rough time of training on one CPU core, for messages and for starting the longest first.

    Arithmetic at 100 (bf16) or 60 (fp32) billion operations a second, and for classifiers 60
    microseconds a weight layer and step for all that is not arithmetic.
    """
    total = 0.0
    for config in configs:
        rate = 100e9 if config.precision == "bf16" else 60e9
        if isinstance(config, FCNConfig):
            total += 2 * detector_cost(config) / rate
            continue
        steps = config.epochs * data.SPECS[config.data].train * (1 - data.VALIDATION_SHARE)
        total += 60e-6 * config.depth * steps / config.batch_size
        total += 2 * training_cost(config) / rate
    return total
