"""Exercise 2: what detectors find, under which conditions, and at what price."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from labutils.fcn.black import answers_on_black
from labutils.fcn.conditions import CONDITIONS, SIZES
from labutils.fcn.scores import alarms, in_box, pyramid_scores, resampled, scores
from labutils.fcn.windows import window_agreement
from labutils.report.detector.experiments import BEST_HEAD
from labutils.report.names import HEADS
from labutils.report.statistics import accuracy, columns, grouped, percents, select, spread
from labutils.runs.store import Run

POINTED = CONDITIONS[:4]  # one digit on 64x64 pixels
SCORES = {
    "mean IoU (%)": "mean_iou",
    "AP at 0.5 (%)": "ap_half",
    "AP, 0.5 to 0.95 (%)": "ap_mean",
    "precision (%)": "precision",
    "recall (%)": "recall",
    "pointing (%)": "pointing",
}


def conversion_table(run: Run) -> pd.DataFrame:
    """A row a size of image: the map, and how far its cells are from the classifier's answers."""
    return pd.DataFrame(
        {
            "image (width x height)": "{1} x {0}".format(*found["image"]),
            "map": "{1} x {0}".format(*found["map"]),
            "receptive field of a cell": f"{found['receptive_field']} px",
            "between cells": f"{found['stride']} px",
            "largest difference in probability": f"{found['difference']:.0e}",
        }
        for found in window_agreement(run)
    )


def detector_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a head: size, time, and pixels of the canvases it was tested on."""
    rows = []
    for head, chosen in grouped(runs, lambda run: run.config.head).items():
        config = chosen[0].config
        row = {"head": HEADS[head]} | columns(chosen, "parameters")
        row["canvases"] = f"{config.epochs * config.canvases:,}"
        row["minutes"] = spread([run.metrics["seconds"] / 60 for run in chosen], 1)
        row |= columns(chosen, "test loss")
        row["pixels right"] = accuracy(chosen)
        row["mean IoU"] = accuracy(chosen, "test_mean_iou")
        rows.append(row)
    return pd.DataFrame(rows)


def condition_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a kind of canvas: pixels, boxes and pointing of the detectors with the best head.

    With the interval of the mean average precision, where canvases are drawn with replacement.
    """
    runs, rows = select(runs, head=BEST_HEAD), []
    for kind in CONDITIONS:
        row = {"canvases": kind.name, **_percentages([scores(run, kind) for run in runs])}
        draws = np.mean([resampled(run, kind) for run in runs], 0)
        low, high = np.percentile(100 * draws, (2.5, 97.5))
        row["AP at 0.5 (%)"] += f" ({low:.1f} to {high:.1f})"
        rows.append(row)
    return pd.DataFrame(rows).rename(columns={"AP at 0.5 (%)": "AP at 0.5 (%), 95 % interval"})


def dense_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Four ways to an answer for each pixel, on canvases of one digit."""
    ways = {
        f"{HEADS['sliding']}: coarse map, upsampled": ("sliding", False),
        f"{HEADS['sliding']}, dilated: same weights": ("sliding", True),
        HEADS["deconvolution"]: ("deconvolution", False),
        f"{HEADS['skip']}: their scores added": ("skip", False),
    }
    return pd.DataFrame(
        {"head": way}
        | _percentages(
            [scores(run, CONDITIONS[0], dilate=dilate) for run in select(runs, head=head)]
        )
        for way, (head, dilate) in ways.items()
    )


def pyramid_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a size of digit that was not trained on: seen once, and through an image pyramid."""
    rows = []
    for kind in SIZES:
        found = [pyramid_scores(run, kind) for run in select(runs, head=BEST_HEAD)]
        row = {"canvases": kind.name}
        for way in ("once", "pyramid"):
            for name in ("precision", "recall"):
                row[f"{name}, {way}"] = percents([one[way][name] for one in found])
        rows.append(row)
    return pd.DataFrame(rows)


def pointing_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a kind of canvas of 64x64 pixels with one digit: where its most probable pixel lies."""
    runs, rows = select(runs, head=BEST_HEAD), []
    for kind in POINTED:
        row = {"canvases": kind.name}
        row["in the box"] = percents([in_box(run, kind)["share"] for run in runs])
        right = [scores(run, kind)["pointing"] for run in runs]
        rows.append(row | {"in the box, and names the digit": percents(right)})
    return pd.DataFrame(rows)


def alarm_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a kind of digit-free canvas: on which share of them something is found."""
    found = [alarms(run) for run in select(runs, head=BEST_HEAD)]
    return pd.DataFrame(
        {"canvases": kind, "with a detection": percents([one[kind] for one in found])}
        for kind in found[0]
    )


def black_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a class: what is answered at pixels that see nothing, and two explanations."""
    found = answers_on_black(runs[0])
    shown = {"answered": "probability", "labels of such pixels": "labels", "digits": "digits"}
    return pd.DataFrame(
        {"class": label}
        | {title: f"{100 * found[name][label]:.1f} %" for title, name in shown.items()}
        for label in range(len(found["digits"]))
    )


def _percentages(found: Sequence[dict[str, float]]) -> dict[str, str]:
    """Mean and deviation over seeds of each score, in percent; `-` where it has no meaning.

    Pixels that are right stand beside those that would be if all were called background.
    """
    right, background = (
        100 * np.mean([one[name] for one in found])
        for name in ("pixel_accuracy", "background_accuracy")
    )
    return {"pixels right, all background (%)": f"{right:.2f}, {background:.2f}"} | {
        title: spread([100 * one[name] for one in found], 1) if name in found[0] else "-"
        for title, name in SCORES.items()
    }
