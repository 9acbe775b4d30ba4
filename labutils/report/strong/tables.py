"""Section 1.5: the strong network, its plain twin, and ways to train them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from labutils.analysis.predictions import predictions_on_test
from labutils.config import DATA_SETS
from labutils.models.costs import inference_cost, training_cost
from labutils.report.names import kind_name, network_name
from labutils.report.statistics import (
    accuracy,
    by_network,
    mean,
    millions,
    paired_difference,
    percent,
    plain_and_residual,
    sampling_error,
    select,
)
from labutils.runs.store import Run


def strong_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.5: every run of the strong network and of its plain twin, and both means.

    Then the difference by pairs. The last row is not over seeds, which share their images: it is
    what one network's accuracy would vary by on other images. The last column is the test accuracy
    of the weights as git holds them, in half precision; it has none of the twin's.
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
                "as stored": percent(predictions_on_test(run)["accuracy"]) if held else "-",
            }
        )
    plain, residual = plain_and_residual(runs)
    for name, chosen in (("residual, mean", residual), ("plain twin, mean", plain)):
        row = {"network": name, "seed": "all", "val accuracy": accuracy(chosen, "val_accuracy")}
        rows.append(row | {"test accuracy": accuracy(chosen)})
    pair = {"network": "residual - plain", "seed": "by pairs"}
    rows.append(pair | {"test accuracy": paired_difference(plain, residual)})
    images, other = DATA_SETS[runs[0].config.data], {"seed": "one"}
    for split, count in (("val", images.val), ("test", images.test)):
        share = np.mean([run.metrics[f"{split}_accuracy"] for run in runs])
        other[f"{split} accuracy"] = f"± {percent(sampling_error(share, count))}"
    rows.append({"network": "sampling error of the images"} | other)
    return pd.DataFrame(rows).fillna("")


def recipe_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.5: a row a way to train the strong network or its twin, means over seeds."""
    return pd.DataFrame(
        {
            "rate": f"{chosen[0].config.learning_rate:g}",
            "hole, px": chosen[0].config.cutout or "none",
            "epochs": chosen[0].config.epochs,
            "network": kind_name(chosen[0].config),
            "computed on": " / ".join(sorted({_processor(run) for run in chosen})),
            "seconds": mean(chosen, "seconds", 0),
            "train loss": f"{np.mean([run.history['train_loss'][-1] for run in chosen]):.4f}",
            "val loss": mean(chosen, "val_loss", 4),
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
        for chosen in by_network(select(runs, residual=True))
    )
