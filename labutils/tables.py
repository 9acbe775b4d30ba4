"""Every table of the report, from stored runs, as pandas frames and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from labutils.experiments import load, select, stalled_baselines
from labutils.profiles import ROOT, profile
from labutils.runs import Run

TITLES = {
    "mnist": "MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "digits": "digits (for MNIST)",
    "shapes10": "shapes10 (for CIFAR-10)",
    "shapes20": "shapes20 (for CIFAR-100)",
}
FAMILIES = {
    "mlp": "MLP",
    "convnet": "ConvNet",
    "small-cnn": "SmallCNN",
    "cnn": "CNN",
    "resnet": "ResNet",
}


def width_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.1: a row a width, without and with shifts: test loss, accuracy, epochs."""
    rows = []
    for width in sorted({run.config.width for run in runs}):
        for shift in sorted({run.config.crop_padding for run in runs}):
            chosen = select(runs, width=width, crop_padding=shift)
            rows.append(
                {
                    "width": width,
                    "shifts": f"{shift} px" if shift else "none",
                    **_early_stopped(chosen),
                }
            )
    return pd.DataFrame(rows)


def depth_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.2: a row a depth: test accuracy plain and residual, and their paired difference."""
    rows = []
    for depth in sorted({run.config.depth for run in runs}):
        plain, residual = (select(runs, depth=depth, residual=r) for r in (False, True))
        row = {"depth": depth, "plain": accuracy(plain), "residual": accuracy(residual)}
        row["residual - plain"] = paired_difference(plain, residual)
        for kind, chosen in (("plain", plain), ("residual", residual)):
            row[f"train loss, {kind}"] = spread([r.history["train_loss"][-1] for r in chosen], 3)
        row["test loss, residual"] = spread([r.metrics["test_loss"] for r in residual], 2)
        rows.append(row)
    return pd.DataFrame(rows)


def rescue_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.2: plain networks at the stalling depth under several learning rates."""
    order = list(dict.fromkeys(run.config.data for run in runs))
    ordered = sorted(runs, key=lambda r: (order.index(r.config.data), r.config.learning_rate))
    return pd.DataFrame(
        {
            "data": TITLES[run.config.data],
            "depth": run.config.depth,
            "learning rate": f"{run.config.learning_rate:g}",
            "train loss": f"{run.history['train_loss'][-1]:.3f}",
            "test accuracy": percent(run.metrics["test_accuracy"]),
        }
        for run in ordered
    )


def block_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.2: report-d's table with the plain network of equal depth beside it.

    The last column pairs each network's epochs with those of the same seed without blocks.
    """
    rows = []
    names = {(2, False): "no block", (8, False): "3 plain blocks", (8, True): "3 residual blocks"}
    for width in sorted({run.config.width for run in runs}):
        shallow = select(runs, width=width, depth=2)
        for (depth, residual), network in names.items():
            chosen = select(runs, width=width, depth=depth, residual=residual)
            rows.append(
                {
                    "width": width,
                    "network": network,
                    **_early_stopped(chosen),
                    "epochs - no block": "-"
                    if depth == 2
                    else _paired(shallow, chosen, lambda run: run.metrics["epochs"], 1),
                }
            )
    return pd.DataFrame(rows)


def model_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a network and data set: parameters, test loss and accuracy over the seeds."""
    rows = []
    for run in runs:
        if run.config.seed != runs[0].config.seed:
            continue  # one row for all seeds
        config = run.config
        chosen = [r for r in runs if replace(r.config, seed=config.seed) == config]
        kind = "residual" if config.residual else "plain"
        rows.append(
            {
                "network": f"{FAMILIES[config.model]} {config.depth}, {kind}, width {config.width}",
                "data": TITLES[config.data],
                "parameters": f"{run.metrics['parameters']:,}",
                "epochs": config.epochs,
                "seeds": len(chosen),
                "test loss": spread([r.metrics["test_loss"] for r in chosen], 3),
                "test accuracy": accuracy(chosen),
            }
        )
    return pd.DataFrame(rows)


def report(name: str) -> str:
    """The Markdown table of a stored experiment, as README.md shows it."""
    which = profile("full")
    runs = load(name, which)
    if name == "rescue":
        runs += stalled_baselines(which)
    return markdown(REPORT[name](runs))


def benchmarks() -> str:
    """The Markdown table of what `make bench` measured last."""
    rows = []
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.json")):
        result = json.loads(path.read_text())
        ratio, hardware = result["ratio"], result["hardware"]
        rows.append(
            {
                "compared": result["question"],
                "ratio": f"{ratio['median']:.1f}",
                "lowest and highest": f"{ratio['min']:.1f} to {ratio['max']:.1f}",
                "pairs": ratio["pairs"],
                "processor": f"{hardware['device']} ({hardware['processor']})",
                "threads": hardware["threads"],
            }
        )
    return markdown(pd.DataFrame(rows))


def markdown(frame: pd.DataFrame) -> str:
    """The frame as a Markdown table, numbers to the right."""
    head = "| " + " | ".join(frame.columns) + " |"
    rule = "|" + "---:|" * len(frame.columns)
    rows = ("| " + " | ".join(map(str, row)) + " |" for row in frame.itertuples(index=False))
    return "\n".join((head, rule, *rows))


def show(frame: pd.DataFrame) -> None:
    """Display the table in a notebook, in the quick profile with its notice."""
    from IPython.display import Markdown, display

    display(Markdown(markdown(frame)))
    if notice := profile().notice:
        display(Markdown(notice))


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


def accuracy(runs: Sequence[Run]) -> str:
    """Mean and standard deviation of the test accuracy, for example `97.35 ± 0.10 %`."""
    values = spread([100 * run.metrics["test_accuracy"] for run in runs])
    return values if values == "-" else f"{values} %"


def paired_difference(plain: Sequence[Run], residual: Sequence[Run]) -> str:
    """Mean and deviation over seeds of the difference in test accuracy, in points."""
    return _paired(plain, residual, lambda run: 100 * run.metrics["test_accuracy"], 2)


def _paired(
    first: Sequence[Run], second: Sequence[Run], value: Callable[[Run], float], digits: int
) -> str:
    """Second minus first, seed by seed."""
    before = {run.config.seed: value(run) for run in first}
    after = {run.config.seed: value(run) for run in second}
    return spread([after[seed] - before[seed] for seed in sorted(before.keys() & after)], digits)


REPORT: dict[str, Callable[[Sequence[Run]], pd.DataFrame]] = {
    "mnist-width": width_table,
    "mnist-depth": depth_table,
    "cifar10-depth": depth_table,
    "rescue": rescue_table,
    "mnist-blocks": block_table,
    "best-mlp": model_table,
    "convnet-pair": model_table,
}


def _early_stopped(runs: Sequence[Run]) -> dict[str, str]:
    return {
        "epochs to stop": spread([run.metrics["epochs"] for run in runs], 1),
        "test loss": spread([run.metrics["test_loss"] for run in runs], 4),
        "test accuracy": accuracy(runs),
    }
