"""What trains each kind of configuration, and about how long it takes."""

from collections.abc import Sequence
from typing import Any

import torch

from labutils.config.base import Config
from labutils.config.fcn import FCNConfig
from labutils.config.transfer import DistillConfig, TransferConfig
from labutils.fcn.training import detector_cost, train_detector
from labutils.models.costs import training_cost
from labutils.runs.store import Store
from labutils.training.classifiers import Outcome, train
from labutils.training.execution import multiplies_bf16
from labutils.transfer.distillation import distill
from labutils.transfer.fine_tuning import fine_tune


def train_run(config: Config, *, store: Store, **arguments: Any) -> Outcome:
    """Train any configuration, in the way of its kind.

    Args:
        store: where the runs are looked up that this one starts from.
        arguments: those that `runs.load_or_train` gives.
    """
    started = {FCNConfig: train_detector, TransferConfig: fine_tune, DistillConfig: distill}
    if type(config) in started:
        return started[type(config)](config, store=store, **arguments)
    return train(config, **arguments)


def estimate_seconds(configs: Sequence[Config]) -> float:
    """Rough time of training on one CPU core, for messages and for starting the longest first.

    Arithmetic at 100 (bf16 where the processor has it) or 60 (else) billion operations a second,
    and for classifiers 60 microseconds a weight layer and step for all that is not arithmetic.
    """
    total = 0.0
    built_in = multiplies_bf16(torch.device("cpu"))
    for config in configs:
        rate = 100e9 if config.precision == "bf16" and built_in else 60e9
        if isinstance(config, FCNConfig):
            total += 2 * detector_cost(config) / rate
            continue
        steps = config.epochs * config.training_images / config.batch_size
        total += 60e-6 * config.depth * steps
        total += 2 * training_cost(config) / rate
    return total
