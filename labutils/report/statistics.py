"""Runs chosen and summed up over seeds: means, deviations, paired differences."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
from scipy.stats import binomtest

from labutils.config import DATA_SETS
from labutils.report.names import network_name
from labutils.runs.store import Run
from labutils.training.classifiers import STATISTICS_IMAGES

Key = TypeVar("Key")


def select(runs: Iterable[Run], **fields: object) -> list[Run]:
    """The runs whose configuration has these values, for example `depth=22, residual=True`."""
    return [
        run
        for run in runs
        if all(getattr(run.config, name) == value for name, value in fields.items())
    ]


def grouped(runs: Iterable[Run], key: Callable[[Run], Key]) -> dict[Key, list[Run]]:
    """The runs by what `key` says of each, in order of first appearance."""
    groups: dict[Key, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return groups


def by_fields(runs: Iterable[Run], *names: str) -> list[tuple[Any, list[Run]]]:
    """The runs by the values of one field, or by tuples of those of several, in rising order."""
    return sorted(grouped(runs, attrgetter(*(f"config.{name}" for name in names))).items())


def by_network(runs: Iterable[Run]) -> list[list[Run]]:
    """The runs in groups that differ in the seed alone, in order of first appearance."""
    return list(grouped(runs, lambda run: replace(run.config, seed=0)).values())


def learned(run: Run) -> bool:
    """Whether in the end more than twice as many training images are right as by chance."""
    return run.history["train_accuracy"][-1] > 2 / DATA_SETS[run.config.data].classes


def some_learned(runs: Sequence[Run]) -> bool:
    """Whether some learned and others stayed at chance: a mean of the two says nothing."""
    return len(runs) > 1 and 0 < sum(map(learned, runs)) < len(runs)


def sampling_error(share: float, images: int) -> float:
    """Binomial standard deviation of a share that is right, in [0, 1]: on other test images."""
    return math.sqrt(share * (1 - share) / images)


def share_of(successes: int, tries: int) -> tuple[float, float, float]:
    """A share and the ends of its 95 % confidence interval, after Clopper and Pearson (1934)."""
    interval = binomtest(successes, tries).proportion_ci(method="exact")
    return successes / tries, float(interval.low), float(interval.high)


def squared_errors(run: Run) -> list[float]:
    """Squared error of the class probabilities, before training and after each epoch.

    A mean over the images that gradients are measured on, with batch norm by the statistics of
    these images themselves. Of n images the mean cross-entropy has the gradient (p - y) / n at
    the logits, so n times its squared norm is the error (Brier 1950).

    Returns:
        Numbers from 0 to 2; 0.9 for one tenth on each of ten classes.
    """
    at_logits = [norms[-1] for norms in run.history["layers"]["activation_gradient_norm"]]
    return [STATISTICS_IMAGES * norm**2 for norm in at_logits]


def percent(share: float) -> str:
    """For example `97.35 %`."""
    return f"{100 * share:.2f} %"


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean and standard deviation, for example `0.086 ± 0.002`; `-` for no value."""
    if len(values) == 0:
        return "-"
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


def scale(values: Sequence[float]) -> str:
    """Geometric mean as a power of ten, for example `2.1e-07`; `0` where a value is zero."""
    if not all(value > 0 for value in values):
        return "0" if all(np.isfinite(values)) else "not finite"
    return f"{np.exp(np.mean(np.log(values))):.1e}"


def percents(shares: Sequence[float]) -> str:
    """Mean and standard deviation of shares, for example `97.35 ± 0.10 %`; `-` for no value."""
    return f"{spread([100 * share for share in shares])} %" if len(shares) else "-"


def accuracy(runs: Sequence[Run], key: str = "test_accuracy") -> str:
    """Mean and standard deviation, for example `97.35 ± 0.10 %`, or `1 of 3 learns`."""
    if some_learned(runs):
        count = sum(map(learned, runs))
        return f"{count} of {len(runs)} learn{'s' * (count == 1)}"
    return percents([run.metrics[key] for run in runs])


def train_loss(runs: Sequence[Run]) -> str:
    """Mean and standard deviation of the training loss in the end; `-` if only some learned."""
    return "-" if some_learned(runs) else spread([run.history["train_loss"][-1] for run in runs], 3)


def metric(runs: Sequence[Run], key: str, digits: int) -> str:
    """Mean and standard deviation of a metric; `-` if only some learned."""
    return "-" if some_learned(runs) else spread([run.metrics[key] for run in runs], digits)


def mean(runs: Sequence[Run], key: str, digits: int) -> str:
    """Mean of a metric, where a deviation would make a table too wide."""
    return f"{np.mean([run.metrics[key] for run in runs]):,.{digits}f}"


def paired_difference(plain: Sequence[Run], residual: Sequence[Run]) -> str:
    """Mean and deviation over seeds of the difference in test accuracy, in points.

    `-` if of either only some learned.
    """
    if some_learned(plain) or some_learned(residual):
        return "-"
    return paired(plain, residual, lambda run: 100 * run.metrics["test_accuracy"], 2)


def paired(
    first: Sequence[Run], second: Sequence[Run], value: Callable[[Run], float], digits: int
) -> str:
    """Second minus first, seed by seed."""
    before = {run.config.seed: value(run) for run in first}
    after = {run.config.seed: value(run) for run in second}
    return spread([after[seed] - before[seed] for seed in sorted(before.keys() & after)], digits)


# Columns that several tables have: from the runs of one network to what stands there.
COLUMNS: dict[str, Callable[[Sequence[Run]], object]] = {
    "network": lambda runs: network_name(runs[0].config),
    "data": lambda runs: DATA_SETS[runs[0].config.data].title,
    "depth": lambda runs: runs[0].config.depth,
    "parameters": lambda runs: f"{runs[0].metrics['parameters']:,}",
    "epochs": lambda runs: runs[0].config.epochs,
    "rate": lambda runs: f"{runs[0].config.learning_rate:g}",
    "seeds": len,
    "train loss": train_loss,
    "val loss": partial(mean, key="val_loss", digits=3),
    "val accuracy": partial(accuracy, key="val_accuracy"),
    "test loss": partial(metric, key="test_loss", digits=3),
    "test accuracy": accuracy,
}


def columns(runs: Sequence[Run], *titles: str, of: str = "") -> dict[str, object]:
    """What stands in some of `COLUMNS`, by title.

    Args:
        of: what tells this group from others in its row: `test accuracy, SGD` for `of="SGD"`.
    """
    return {f"{title}, {of}" if of else title: COLUMNS[title](runs) for title in titles}
