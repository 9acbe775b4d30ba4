"""What trains each kind of configuration, and about how long it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from labutils import data
from labutils.bfloat16 import has_bf16_products
from labutils.config import Config, FCNConfig
from labutils.costs import training_cost
from labutils.fcn.training import detector_cost, train_detector
from labutils.runs import Store
from labutils.training import Outcome, train


def train_run(config: Config, *, store: Store, **arguments: Any) -> Outcome:
    """The recipe of any configuration, chosen by its kind.

    Args:
        store: where the runs are looked up that this one starts from.
        arguments: those that `runs.load_or_train` gives to a recipe.
    """
    if isinstance(config, FCNConfig):
        return train_detector(config, store=store, **arguments)
    return train(config, **arguments)


def estimate_seconds(configs: Sequence[Config]) -> float:
    """Rough time of training on one CPU core, for messages and for starting the longest first.

    Arithmetic at 100 (bf16 where the processor has it) or 60 (else) billion operations a second,
    and for classifiers 60 microseconds a weight layer and step for all that is not arithmetic.
    """
    total = 0.0
    built_in = has_bf16_products(torch.device("cpu"))
    for config in configs:
        rate = 100e9 if config.precision == "bf16" and built_in else 60e9
        if isinstance(config, FCNConfig):
            total += 2 * detector_cost(config) / rate
            continue
        steps = config.epochs * data.SPECS[config.data].train * (1 - data.VALIDATION_SHARE)
        total += 60e-6 * config.depth * steps / config.batch_size
        total += 2 * training_cost(config) / rate
    return total
