"""Networks compared under one protocol, and the strong one: sections 1.3 to 1.5."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from labutils.models.costs import inference_cost
from labutils.report import statistics
from labutils.report.statistics import by_network, columns, mean, paired_difference, select
from labutils.runs.store import Run


def side_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.4: networks trained under one protocol: size, cost, validation and test."""
    rows = []
    for chosen in by_network(runs):
        metrics = [run.metrics for run in chosen]
        minutes = [m["seconds"] * m["hardware"]["threads"] / 60 for m in metrics]
        row = columns(chosen, "network", "parameters")
        row["multiply-adds"] = f"{inference_cost(chosen[0].config) / 1e6:,.1f} M"
        # means alone: a page cuts off what is wider
        row["core-minutes"] = f"{np.mean(minutes):.1f}"
        row |= columns(chosen, "val loss", "val accuracy")
        row["test loss"] = mean(chosen, "test_loss", 3)
        rows.append(row | columns(chosen, "test accuracy"))
    return pd.DataFrame(rows)


def _with_adam_and_sgd(runs: Sequence[Run]) -> Iterator[tuple[list[Run], list[Run]]]:
    """The runs of each network with either optimiser."""
    adam, sgd = (by_network(select(runs, optimizer=name)) for name in ("adam", "sgd"))
    return zip(adam, sgd, strict=True)


def tuned_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.4: a row a network: both optimisers at the rate that validation chose with seed 0.

    Dropout, initialisation and precision, in which the networks differ too, stand beside them.
    """
    rows = []
    for adam, sgd in _with_adam_and_sgd(runs):
        config, shown = adam[0].config, ("rate", "val accuracy", "test accuracy")
        row = columns(adam, "network") | {
            "dropout": f"{config.dropout:g}",
            "weights": {"he": "He"}.get(config.init, config.init),
            "precision": config.precision,
        }
        rows.append(row | columns(adam, *shown, of="Adam") | columns(sgd, *shown, of="SGD"))
    return pd.DataFrame(rows)


def protocol_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.4: networks trained alike with Adam, and alike with SGD, paired by seed."""
    return pd.DataFrame(
        columns(adam, "network")
        | columns(adam, "train loss", "test accuracy", of="Adam")
        | columns(sgd, "train loss", "test accuracy", of="SGD")
        | {"SGD - Adam": paired_difference(adam, sgd)}
        for adam, sgd in _with_adam_and_sgd(runs)
    )


def augmentation_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.4: one network on images as they are, and mirrored and shifted."""
    names = {False: "as they are", True: "mirrored and shifted"}
    groups = {name: select(runs, flip=flip) for flip, name in names.items()}
    shown = ("train loss", "val loss", "val accuracy", "test accuracy")
    return _factor_table("images", groups, *shown)


def schedule_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.4: one network without and with a schedule of the learning rate.

    Then the validation accuracy that early stopping could at best have kept, and the squared
    error on training images where batch norm uses their own statistics.
    """
    groups = {name: select(runs, schedule=name) for name in ("constant", "one-cycle")}
    frame = _factor_table("learning rate", groups, "train loss", "val accuracy", "test accuracy")
    best, errors = [], []
    for chosen in groups.values():
        best.append(statistics.percents([max(run.history["val_accuracy"]) for run in chosen]))
        errors.append(statistics.spread([statistics.squared_errors(run)[-1] for run in chosen], 3))
    return frame.assign(
        **{"val accuracy, best epoch": best, "squared error, own statistics": errors}
    )


def _factor_table(name: str, groups: Mapping[str, Sequence[Run]], *titles: str) -> pd.DataFrame:
    """A row for each value of one factor; the last column pairs each with the first by seed."""
    first = next(iter(groups.values()))
    return pd.DataFrame(
        {name: value}
        | columns(chosen, *titles)
        | {"points gained": "-" if chosen is first else paired_difference(first, chosen)}
        for value, chosen in groups.items()
    )
