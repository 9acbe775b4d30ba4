"""Width, depth, learning rate and early stopping: sections 1.1 to 1.3."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from labutils.report import statistics
from labutils.report.mlps.experiments import untrained_signals
from labutils.report.names import family_and_data, network_name
from labutils.report.statistics import accuracy, by_fields, by_network, columns, select, train_loss
from labutils.runs.store import Run


def width_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.1: a row a width, without and with shifts: test loss, accuracy, epochs."""
    return pd.DataFrame(
        {"width": width, "shifts": f"{shift} px" if shift else "none", **_early_stopped(chosen)}
        for (width, shift), chosen in by_fields(runs, "width", "crop_padding")
    )


def depth_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.2: a row a depth: test accuracy plain and residual, and their paired difference."""
    rows = []
    for depth, chosen in by_fields(runs, "depth"):
        plain, residual = (select(chosen, residual=skip) for skip in (False, True))
        row = {"depth": depth, "plain": accuracy(plain), "residual": accuracy(residual)}
        row["residual - plain"] = statistics.paired_difference(plain, residual)
        row["train loss, plain"] = train_loss(plain)
        row["train loss, residual"] = train_loss(residual)
        row["test loss, residual"] = statistics.metric(residual, "test_loss", 2)
        rows.append(row)
    return pd.DataFrame(rows)


def learning_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.2: a row a depth and precision: how many plain networks learn.

    With the share's 95 % interval (Clopper and Pearson 1934), and before training, as geometric
    means over seeds, a unit's deviation across images at the last hidden layer and the rounding
    of a number as large as its mean activation.
    """
    rows = []
    for (precision, depth), chosen in by_fields(runs, "precision", "depth"):
        several = sum(map(statistics.learned, chosen))
        share, low, high = statistics.share_of(several, len(chosen))
        signals = untrained_signals([run.config for run in chosen])
        rounding = torch.finfo(getattr(torch, f"float{precision[2:]}")).eps / 2
        rows.append(
            {
                "precision": precision,
                "depth": depth,
                "learn": f"{several} of {len(chosen)}",
                "share (95 % interval)": f"{share:.0%} ({low:.0%} to {high:.0%})",
                "deviation across images": statistics.scale([s["deviation"] for s in signals]),
                "rounding": statistics.scale([rounding * s["mean"] for s in signals]),
            }
        )
    return pd.DataFrame(rows)


def rescue_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.2: plain networks at the stalling depth under several learning rates."""
    return pd.DataFrame(
        columns(chosen, "data", "depth")
        | {"learning rate": f"{rate:g}"}
        | columns(chosen, "train loss", "test accuracy")
        for of_one_set in statistics.grouped(runs, lambda run: run.config.data).values()
        for rate, chosen in by_fields(of_one_set, "learning_rate")
    )


def block_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.2: report-d's table with the plain network of equal depth beside it.

    The last columns pair each network's epochs with those of the same seed without blocks, and
    without skips.
    """
    rows = []
    names = {(2, False): "no block", (8, False): "3 plain blocks", (8, True): "3 residual blocks"}
    for width, of_width in by_fields(runs, "width"):
        shallow, plain = (select(of_width, depth=depth, residual=False) for depth in (2, 8))
        for (depth, residual), network in names.items():
            chosen = select(of_width, depth=depth, residual=residual)
            row = {"width": width, "network": network, **_early_stopped(chosen)}
            row["epochs - no block"] = "-" if depth == 2 else _more_epochs(shallow, chosen)
            row["epochs - plain"] = _more_epochs(plain, chosen) if residual else "-"
            rows.append(row)
    return pd.DataFrame(rows)


def dead_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a depth at which plain networks stay at chance: in how many of them a layer has died.

    A layer is dead when all its units are zero for every image: the gradient of every layer
    below it is exactly zero from then on.
    """
    rows = []
    groups = statistics.grouped(
        select(runs, residual=False), lambda run: (family_and_data(run.config), run.config.depth)
    )
    for (networks, depth), chosen in groups.items():
        stayed = [run for run in chosen if not statistics.learned(run)]
        deaths = [death for run in stayed if (death := _death(run))]
        row = {"plain networks": networks, "depth": depth}
        row["at chance"] = f"{len(stayed)} of {len(chosen)}"
        row["with a dead layer"] = len(deaths)
        row["which layer"] = ", ".join(str(layer) for layer, _ in deaths) or "-"
        row["since epoch"] = ", ".join(str(epoch) for _, epoch in deaths) or "-"
        if stayed:
            rows.append(row)
    return pd.DataFrame(rows)


def _death(run: Run) -> tuple[int, int] | None:
    """The last layer (from 1) that is dead in the end, and since which epoch; None if all live."""
    dead = np.array(run.history["layers"]["dead_units"], dtype=float) == 1
    if not dead[-1].any():
        return None
    layer = np.flatnonzero(dead[-1])[-1]
    alive = np.flatnonzero(~dead[:, layer])
    return int(layer) + 1, int(alive[-1]) + 1 if len(alive) else 0


def model_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a network and data set: parameters, test loss and accuracy over the seeds."""
    shown = ("data", "parameters", "epochs", "seeds", "test loss", "test accuracy")
    return pd.DataFrame(
        {"network": f"{network_name(chosen[0].config)}, width {chosen[0].config.width}"}
        | columns(chosen, *shown)
        for chosen in by_network(runs)
    )


def _more_epochs(first: Sequence[Run], second: Sequence[Run]) -> str:
    return statistics.paired(first, second, lambda run: run.metrics["epochs"], 1)


def _early_stopped(runs: Sequence[Run]) -> dict[str, str]:
    return {
        "epochs to stop": statistics.metric(runs, "epochs", 1),
        "test loss": statistics.metric(runs, "test_loss", 4),
        "test accuracy": accuracy(runs),
    }
