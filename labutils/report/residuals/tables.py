"""Skip, normalisation and initialisation in every combination, and lesions."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from labutils.analysis.lesions import lesions_of, swap_groups
from labutils.config import RunConfig
from labutils.report import statistics
from labutils.report.names import cell, count_of, family_and_data, kind_name, network_name
from labutils.report.residuals.experiments import QUICK, followed, predicted_quick
from labutils.report.statistics import by_fields, columns, grouped, percent, scale, spread
from labutils.report.untrained import Kept, shattering
from labutils.runs.store import Run

CUTS = (2, 4, 8)  # numbers of deleted blocks that the table shows


def ablation_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Why residuals work: a row a cell of skip x norm x initialisation, and how many seeds learn.

    At initialisation, geometric means over seeds: the gradient at the first layer's output
    relative to that at the logits, the deviation of the last hidden layer's activations, and
    the share of their variance that is across images: what tells images apart.
    """
    rows = []
    for names, chosen in grouped(runs, cell).items():
        layers = [run.history["layers"] for run in chosen]
        gradients = [_relative(found["activation_gradient_norm"][0]) for found in layers]
        row = {"skip, norm, initialisation": ", ".join(names)}
        row["trains"] = f"{sum(map(statistics.learned, chosen))} of {len(chosen)}"
        row |= columns(chosen, "train loss", "test accuracy")
        row["gradient, first / logits"] = scale(gradients)
        row["activations"] = scale([found["activation_std"][0][-2] for found in layers])
        row["variance across images"] = percent(Kept.of([run.config for run in chosen]).signal)
        rows.append(row)
    return pd.DataFrame(rows)


def deciding_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Why residuals work: a row a kind, what was predicted of it and what it is.

    Signal and gradient are those of `Kept`, before training. Quick is a mean training loss of at
    most 1.75 times that of the residual kind with default weights and no norm; all at the rate
    that validation chose for them.
    """
    kinds, speed = grouped(runs, cell), {True: "quick", False: "slow"}
    losses = {
        names: float(np.mean([run.history["train_loss"][-1] for run in chosen]))
        for names, chosen in kinds.items()
    }
    limit = QUICK * losses["residual", "no norm", "default"]
    rows = []
    for names, chosen in kinds.items():
        kept = Kept.of([run.config for run in chosen])
        by_what_is_kept, by_the_skip = predicted_quick(chosen[0].config, kept)
        row = {
            "network": ", ".join(name for name in names if name != "no norm"),
            "signal": percent(kept.signal),
            "gradient": f"{kept.gradient:.1e}",
            "by what is kept": speed[by_what_is_kept],
            "by the skip": speed[by_the_skip],
            "is": speed[losses[names] <= limit],
        }
        rows.append(row | columns(chosen, "rate", "train loss", "test accuracy"))
    return pd.DataFrame(rows)


def order_table(*grids: Sequence[Run]) -> pd.DataFrame:
    """Why residuals work: does what is measured before training order kinds by training loss?

    A row a grid and measure: the rank correlation (Spearman) of the measure with the training loss
    in the end over the kinds, of each seed alone, as mean and deviation over seeds; -1 where a
    kind that keeps more always ends lower. The level of a gradient is minus the distance of
    first / logits from 1, in powers of ten.
    """
    measures: dict[str, Callable[[RunConfig], float]] = {
        "signal": lambda config: Kept.of([config]).signal,
        "level of the gradient": lambda config: -abs(math.log10(Kept.of([config]).gradient)),
        "gradients of neighbours alike": lambda config: shattering(config)[0],
    }
    rows = []
    for runs in grids:
        for name, measure in measures.items():
            found = []
            for _, chosen in by_fields(runs, "seed"):
                losses = [run.history["train_loss"][-1] for run in chosen]
                values = [measure(run.config) for run in chosen]
                found.append(float(spearmanr(values, losses).statistic))
            row = {"networks": family_and_data(runs[0].config), "before training": name}
            kinds = len(grouped(runs, cell))
            rows.append(row | {"kinds": kinds, "rank correlation": spread(found)})
    return pd.DataFrame(rows)


def gradient_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Why residuals work: a row a depth and kind: do gradients vanish, and for how long?

    The gradient at the first layer's output relative to that at the logits, geometric means over
    seeds; `0` where it is exactly zero.
    """
    rows = []
    for (depth, _), chosen in by_fields(followed(runs), "depth", "residual"):
        measured = [run.history["layers"]["activation_gradient_norm"] for run in chosen]
        row = {"depth": depth, "network": kind_name(chosen[0].config), "seeds": len(chosen)}
        for name, epoch in (("untrained", 0), ("after one epoch", 1), ("trained", -1)):
            gradients = [_relative(of_epochs[epoch]) for of_epochs in measured]
            row[f"first / logits, {name}"] = scale(gradients)
        rows.append(row | columns(chosen, "train loss"))
    return pd.DataFrame(rows)


def _relative(gradients: Sequence[float]) -> float:
    """The first of some gradient norms relative to the last; zero where the first is."""
    return gradients[0] / gradients[-1] if gradients[0] else 0.0


def rate_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Why residuals work: a row a kind of network and learning rate, the highest rate first."""
    groups = grouped(runs, lambda run: (cell(run), -run.config.learning_rate))
    return pd.DataFrame(
        {"skip, norm, initialisation": ", ".join(names), "learning rate": f"{-rate:g}"}
        | columns(chosen, "train loss", "test accuracy")
        for (names, rate), chosen in sorted(groups.items())
    )


def lesion_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Why residuals work: accuracies of trained networks that are cut, not trained again.

    A row a network and the statistics that its batch norm uses; all seeds of residual networks, of
    plain ones the first, since git holds no more weights. With one block deleted, the mean, the
    worst and the best of all; with two, four and eight, means of random orders; with neighbours
    swapped, the mean of all pairs.
    """
    rows = []
    held = [run for run in runs if run.config.residual or run.config.seed == 0]
    for chosen in statistics.by_network(held):
        name = f"{network_name(chosen[0].config)}, {count_of(chosen)}"
        kept = [lesions_of(run) for run in chosen]
        own = [found["own_statistics"] for found in kept]
        for way, seeds in (("of the training", kept), ("its own", own)):
            cut = pd.DataFrame(map(_cut, seeds))
            row = {title: f"{spread(100 * cut[title], 1)} %" for title in cut}
            ends = [row.pop(title)[:-2] for title in cut if isinstance(title, tuple)]
            row["ends of each stage swapped"] = f"{', '.join(ends)} %"
            rows.append({"network": name, "batch norm": way} | row)
    return pd.DataFrame(rows).fillna("-")  # a network has no more blocks to delete


def _cut(found: Mapping[str, Any]) -> dict[object, float]:
    """Accuracies of one network in [0, 1], those with ends swapped by the numbers of the ends."""
    single, curve = list(found["single"].values()), np.mean(found["deletions"], 0)
    scores: dict[object, float] = {"whole": curve[0], "one deleted": np.mean(single)}
    scores |= {"worst": min(single), "best": max(single)}
    scores |= {f"{count} deleted": curve[count] for count in CUTS if count < len(curve)}
    neighbours = [pair["accuracy"] for pair in found["swaps"] if pair["distance"] == 1]
    scores["neighbours swapped"] = np.mean(neighbours)
    for ends, pairs in swap_groups(found).items():
        scores[ends] = max(pairs, key=lambda pair: pair["distance"])["accuracy"]
    return scores
