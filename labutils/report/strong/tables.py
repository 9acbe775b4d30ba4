"""Section 1.5: the strong network, its plain twin, and ways to train them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from labutils.analysis.predictions import predictions_on_test
from labutils.config import DATA_SETS
from labutils.models.costs import inference_cost, training_cost
from labutils.report import statistics
from labutils.report.names import kind_name
from labutils.report.statistics import by_network, columns, mean, percent, select
from labutils.runs.store import Run


def strong_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.5: every run of the strong network and of its plain twin, and both means.

    Then the difference by pairs. The last row is not over seeds, which share their images: it is
    what one network's accuracy would vary by on other images. The last column is the test accuracy
    of the weights as git holds them, in half precision; it has none of the twin's.
    """
    rows = []
    for run in sorted(runs, key=lambda run: (not run.config.residual, run.config.seed)):
        held = run.config.residual and run.has_weights
        row = {"network": "residual" if run.config.residual else "plain twin"}
        row |= {"seed": run.config.seed, "train loss": f"{run.history['train_loss'][-1]:.4f}"}
        row["val loss"] = f"{run.metrics['val_loss']:.4f}"
        row |= columns([run], "val accuracy", "test accuracy")
        row["as stored"] = percent(predictions_on_test(run)["accuracy"]) if held else "-"
        rows.append(row)
    residual, plain = (select(runs, residual=skip) for skip in (True, False))
    for name, chosen in (("residual, mean", residual), ("plain twin, mean", plain)):
        row = {"network": name, "seed": "all"}
        rows.append(row | columns(chosen, "val accuracy", "test accuracy"))
    pair = {"network": "residual - plain", "seed": "by pairs"}
    rows.append(pair | {"test accuracy": statistics.paired_difference(plain, residual)})
    images, other = DATA_SETS[runs[0].config.data], {"seed": "one"}
    for split, count in (("val", images.val), ("test", images.test)):
        share = np.mean([run.metrics[f"{split}_accuracy"] for run in runs])
        other[f"{split} accuracy"] = f"± {percent(statistics.sampling_error(share, count))}"
    rows.append({"network": "sampling error of the images"} | other)
    return pd.DataFrame(rows).fillna("")


def recipe_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.5: a row a way to train the strong network or its twin, means over seeds."""
    rows = []
    for chosen in by_network(runs):
        row = columns(chosen, "rate") | {"hole, px": chosen[0].config.cutout or "none"}
        row |= columns(chosen, "epochs") | {"network": kind_name(chosen[0].config)}
        row["computed on"] = " / ".join(sorted({_processor(run) for run in chosen}))
        row["seconds"] = mean(chosen, "seconds", 0)
        row["train loss"] = f"{np.mean([run.history['train_loss'][-1] for run in chosen]):.4f}"
        row["val loss"] = mean(chosen, "val_loss", 4)
        rows.append(row | columns(chosen, "val accuracy", "test accuracy"))
    return pd.DataFrame(rows)


def _processor(run: Run) -> str:
    """For example `NVIDIA H200`, or `2 CPU cores, AVX512`."""
    hardware = run.metrics["hardware"]
    if hardware["device"] != "cpu":
        return hardware["processor"]
    plural = "s" * (hardware["threads"] > 1)
    return f"{hardware['threads']} CPU core{plural}, {hardware['processor']}"


def size_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.5: a row a network: what one answer and its whole training take."""
    rows = []
    for chosen in by_network(select(runs, residual=True)):
        config, row = chosen[0].config, columns(chosen, "network", "parameters")
        row["multiply-adds of an image"] = f"{inference_cost(config) / 1e6:,.1f} M"
        row["epochs"] = config.epochs
        row["multiply-adds of the training"] = f"{training_cost(config) / 1e15:.2f}e15"
        rows.append(row)
    return pd.DataFrame(rows)
