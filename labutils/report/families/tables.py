"""Networks compared under one protocol, and the strong one: sections 1.3 to 1.5."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from labutils.models.costs import inference_cost
from labutils.report.names import network_name
from labutils.report.statistics import (
    accuracy,
    by_network,
    fit_and_accuracy,
    mean,
    millions,
    paired_difference,
    percents,
    select,
    spread,
    squared_errors,
    train_loss,
)
from labutils.runs.store import Run


def side_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.4: networks trained under one protocol: size, cost, validation and test."""
    rows = []
    for chosen in by_network(runs):
        config, metrics = chosen[0].config, [run.metrics for run in chosen]
        minutes = [m["seconds"] * m["hardware"]["threads"] / 60 for m in metrics]
        rows.append(
            {
                "network": network_name(config),
                "parameters": f"{metrics[0]['parameters']:,}",
                "multiply-adds": millions(inference_cost(config)),
                # means alone: a page cuts off what is wider
                "core-minutes": f"{np.mean(minutes):.1f}",
                "val loss": mean(chosen, "val_loss", 3),
                "val accuracy": accuracy(chosen, "val_accuracy"),
                "test loss": mean(chosen, "test_loss", 3),
                "test accuracy": accuracy(chosen),
            }
        )
    return pd.DataFrame(rows)


def tuned_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.4: a row a network: both optimisers at the rate that validation chose with seed 0.

    Dropout, initialisation and precision, in which the networks differ too, stand beside them.
    """
    rows = []
    adam, sgd = (by_network(select(runs, optimizer=name)) for name in ("adam", "sgd"))
    for groups in zip(adam, sgd, strict=True):
        config = groups[0][0].config
        row: dict[str, object] = {
            "network": network_name(config),
            "dropout": f"{config.dropout:g}",
            "weights": {"he": "He"}.get(config.init, config.init),
            "precision": config.precision,
        }
        for name, chosen in zip(("Adam", "SGD"), groups, strict=True):
            row[f"rate, {name}"] = f"{chosen[0].config.learning_rate:g}"
            row[f"val accuracy, {name}"] = accuracy(chosen, "val_accuracy")
            row[f"test accuracy, {name}"] = accuracy(chosen)
        rows.append(row)
    return pd.DataFrame(rows)


def protocol_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.4: networks trained alike with Adam, and alike with SGD, paired by seed."""
    rows = []
    adam, sgd = (by_network(select(runs, optimizer=name)) for name in ("adam", "sgd"))
    for groups in zip(adam, sgd, strict=True):
        row: dict[str, object] = {"network": network_name(groups[0][0].config)}
        for name, chosen in zip(("Adam", "SGD"), groups, strict=True):
            row |= fit_and_accuracy(name, chosen)
        row["SGD - Adam"] = paired_difference(*groups)
        rows.append(row)
    return pd.DataFrame(rows)


def augmentation_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.4: one network on images as they are, and mirrored and shifted."""
    return _factor_table(
        runs, "images", {"as they are": {"flip": False}, "mirrored and shifted": {"flip": True}}
    )


def schedule_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.4: one network without and with a schedule of the learning rate.

    Then the validation accuracy that early stopping could at best have kept, and the squared
    error on training images where batch norm uses their own statistics.
    """
    names = ("constant", "one-cycle")
    frame = _factor_table(runs, "learning rate", {name: {"schedule": name} for name in names})
    groups = [select(runs, schedule=name) for name in names]
    best = [percents([max(run.history["val_accuracy"]) for run in group]) for group in groups]
    errors = [spread([squared_errors(run)[-1] for run in group], 3) for group in groups]
    return frame.drop(columns="val loss").assign(
        **{"val accuracy, best epoch": best, "squared error, own statistics": errors}
    )


def _factor_table(
    runs: Sequence[Run], name: str, values: dict[str, dict[str, object]]
) -> pd.DataFrame:
    """A row for each value of one factor; the last column pairs each with the first by seed."""
    rows = []
    first = select(runs, **next(iter(values.values())))
    for value, fields in values.items():
        chosen = select(runs, **fields)
        rows.append(
            {
                name: value,
                "train loss": train_loss(chosen),
                "val loss": mean(chosen, "val_loss", 3),
                "val accuracy": accuracy(chosen, "val_accuracy"),
                "test accuracy": accuracy(chosen),
                "points gained": "-" if chosen == first else paired_difference(first, chosen),
            }
        )
    return pd.DataFrame(rows)
