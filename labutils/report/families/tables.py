"""Networks compared under one protocol, and the strong one: sections 1.3 to 1.5."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from labutils.models.costs import inference_cost
from labutils.report import statistics
from labutils.report.families.experiments import RATES
from labutils.report.names import network_name
from labutils.report.statistics import by_network, columns, grouped, mean, paired_difference, select
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


def tuned_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.4: a row a network: both optimisers at the rate that validation chose with seed 0.

    Dropout, initialisation and precision, in which the networks differ too, stand beside them.
    """
    rows, shown = [], ("rate", "val accuracy", "test accuracy")
    both = (by_network(select(runs, optimizer=name)) for name in RATES)
    for adam, sgd in zip(*both, strict=True):
        config = adam[0].config
        row = columns(adam, "network") | {
            "dropout": f"{config.dropout:g}",
            "weights": {"he": "He"}.get(config.init, config.init),
            "precision": config.precision,
        }
        rows.append(row | columns(adam, *shown, of="Adam") | columns(sgd, *shown, of="SGD"))
    return pd.DataFrame(rows)


def protocol_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.4: test accuracy of the networks in four ways of training them.

    With either optimiser, at one rate for all, and each at its own where it has one. The last
    two rows pair the last network by seed with its plain twin and with the CNN before that.
    """
    runs, frame = {run.config: run for run in runs}.values(), {}  # some are of two experiments
    for optimizer, title in (("adam", "Adam"), ("sgd", "SGD")):
        found = grouped(select(runs, optimizer=optimizer), lambda run: network_name(run.config))
        alike, tuned, common = {}, {}, RATES[optimizer][0]
        for name, chosen in found.items():
            alike[name] = select(chosen, learning_rate=common)
            own = [run for run in chosen if run.config.learning_rate != common]
            tuned[name] = own or alike[name]
        frame[f"{title}, {common:g} for all"] = _with_differences(alike)
        frame[f"{title}, each at its best"] = _with_differences(tuned)
    return pd.DataFrame(frame).rename_axis("network").reset_index()


def _with_differences(networks: Mapping[str, Sequence[Run]]) -> dict[str, str]:
    *_, (cnn, before), (plain, twins), (name, runs) = networks.items()
    accuracies = {each: statistics.accuracy(chosen) for each, chosen in networks.items()}
    return accuracies | {
        f"{name} - {plain}": paired_difference(twins, runs),
        f"{name} - {cnn}": paired_difference(before, runs),
    }


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
