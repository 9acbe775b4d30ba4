"""Networks compared under one protocol, and the strong one: sections 1.3 to 1.5."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from labutils.costs import inference_cost, training_cost
from labutils.experiments import select
from labutils.predictions import answers_on_test
from labutils.runs import Run
from labutils.summaries import (
    accuracy,
    by_network,
    millions,
    network_name,
    paired_difference,
    percent,
    spread,
    squared_errors,
)


def head_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.3: how a ConvNet fits and answers with either head, a row a depth and kind."""
    rows = []
    for depth in sorted({run.config.depth for run in runs}):
        for residual, kind in ((False, "plain"), (True, "residual")):
            heads = [
                select(runs, depth=depth, residual=residual, head=head)
                for head in ("flatten", "fully-convolutional")
            ]
            row: dict[str, object] = {"depth": depth, "network": kind}
            for name, chosen in zip(("flatten", "average"), heads, strict=True):
                row[f"parameters, {name}"] = f"{chosen[0].metrics['parameters']:,}"
                row |= _fit_and_answers(name, chosen)
            row["average - flatten"] = paired_difference(*heads)
            rows.append(row)
    return pd.DataFrame(rows)


def _fit_and_answers(name: str, runs: Sequence[Run]) -> dict[str, str]:
    """Two columns of a group of runs: how they fit in the end, and how they answer."""
    losses = [run.history["train_loss"][-1] for run in runs]
    return {f"train loss, {name}": spread(losses, 3), f"test accuracy, {name}": accuracy(runs)}


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
                "val loss": f"{np.mean([m['val_loss'] for m in metrics]):.3f}",
                "val accuracy": accuracy(chosen, "val_accuracy"),
                "test loss": f"{np.mean([m['test_loss'] for m in metrics]):.3f}",
                "test accuracy": accuracy(chosen),
            }
        )
    return pd.DataFrame(rows)


def protocol_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.4: networks trained alike with Adam, and alike with SGD, paired by seed."""
    rows = []
    adam, sgd = (by_network(select(runs, optimizer=name)) for name in ("adam", "sgd"))
    for groups in zip(adam, sgd, strict=True):
        row: dict[str, object] = {"network": network_name(groups[0][0].config)}
        for name, chosen in zip(("Adam", "SGD"), groups, strict=True):
            row |= _fit_and_answers(name, chosen)
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
    best = [spread([100 * max(run.history["val_accuracy"]) for run in group]) for group in groups]
    errors = [spread([squared_errors(run)[-1] for run in group], 3) for group in groups]
    return frame.drop(columns="val loss").assign(
        **{
            "val accuracy, best epoch": [f"{values} %" for values in best],
            "squared error, own statistics": errors,
        }
    )


def strong_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.5: every run of the strong network and of its plain twin, and both means.

    The last row is the difference by pairs. The last column is the test accuracy of the weights
    as git holds them, in half precision; it has none of the twin's.
    """
    rows = []
    for run in sorted(runs, key=lambda run: (not run.config.residual, run.config.seed)):
        metrics = run.metrics
        held = run.config.residual and run.has_weights
        rows.append(
            {
                "network": "residual" if run.config.residual else "plain twin",
                "seed": run.config.seed,
                "train loss": f"{run.history['train_loss'][-1]:.4f}",
                "val loss": f"{metrics['val_loss']:.4f}",
                "val accuracy": percent(metrics["val_accuracy"]),
                "test accuracy": percent(metrics["test_accuracy"]),
                "as stored": percent(answers_on_test(run)["accuracy"]) if held else "-",
            }
        )
    plain, residual = (select(runs, residual=skip) for skip in (False, True))
    for name, chosen in (("residual, mean", residual), ("plain twin, mean", plain)):
        row = {"network": name, "seed": "all", "val accuracy": accuracy(chosen, "val_accuracy")}
        rows.append(dict.fromkeys(rows[0], "") | row | {"test accuracy": accuracy(chosen)})
    pair = {"network": "residual - plain", "seed": "by pairs"}
    pair["test accuracy"] = paired_difference(plain, residual)
    return pd.DataFrame([*rows, dict.fromkeys(rows[0], "") | pair])


def recipe_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.5: a row a way to train the strong network or its twin, means over seeds."""
    return pd.DataFrame(
        {
            "rate": f"{chosen[0].config.learning_rate:g}",
            "hole, px": chosen[0].config.cutout or "none",
            "epochs": chosen[0].config.epochs,
            "network": "residual" if chosen[0].config.residual else "plain",
            "computed on": " / ".join(sorted({_processor(run) for run in chosen})),
            "seconds": f"{np.mean([run.metrics['seconds'] for run in chosen]):,.0f}",
            "train loss": f"{np.mean([run.history['train_loss'][-1] for run in chosen]):.4f}",
            "val loss": f"{np.mean([run.metrics['val_loss'] for run in chosen]):.4f}",
            "val accuracy": accuracy(chosen, "val_accuracy"),
            "test accuracy": accuracy(chosen),
        }
        for chosen in by_network(runs)
    )


def _processor(run: Run) -> str:
    """For example `NVIDIA H200`, or `2 CPU cores, AVX512`."""
    hardware = run.metrics["hardware"]
    if hardware["device"] != "cpu":
        return hardware["processor"]
    plural = "s" * (hardware["threads"] > 1)
    return f"{hardware['threads']} CPU core{plural}, {hardware['processor']}"


def size_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.5: a row a network: what one answer and its whole training take."""
    return pd.DataFrame(
        {
            "network": network_name(chosen[0].config),
            "parameters": f"{chosen[0].metrics['parameters']:,}",
            "multiply-adds of an image": millions(inference_cost(chosen[0].config)),
            "epochs": chosen[0].config.epochs,
            "multiply-adds of the training": f"{training_cost(chosen[0].config) / 1e15:.2f}e15",
        }
        for chosen in by_network(runs)
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
                "train loss": spread([run.history["train_loss"][-1] for run in chosen], 3),
                "val loss": f"{np.mean([run.metrics['val_loss'] for run in chosen]):.3f}",
                "val accuracy": accuracy(chosen, "val_accuracy"),
                "test accuracy": accuracy(chosen),
                "points gained": "-" if chosen == first else paired_difference(first, chosen),
            }
        )
    return pd.DataFrame(rows)
