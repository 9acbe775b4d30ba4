"""Exercise 2: what detectors find, under which conditions, and at what price."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from labutils.fcn.conditions import CONDITIONS, SIZES
from labutils.fcn.scores import alarms, answers_on_black, in_box, pyramid_scores, resampled, scores
from labutils.fcn.windows import window_agreement
from labutils.report.detector.experiments import BEST_HEAD
from labutils.report.names import HEADS
from labutils.report.statistics import accuracy, grouped, metric, percents, select, spread
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
        metrics = [run.metrics for run in chosen]
        rows.append(
            {
                "head": HEADS[head],
                "parameters": f"{metrics[0]['parameters']:,}",
                "canvases": f"{chosen[0].config.epochs * chosen[0].config.canvases:,}",
                "minutes": spread([one["seconds"] / 60 for one in metrics], 1),
                "test loss": metric(chosen, "test_loss", 3),
                "pixels right": accuracy(chosen),
                "mean IoU": accuracy(chosen, "test_mean_iou"),
            }
        )
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
    sliding, deconvolution, skip = (
        select(runs, head=head) for head in ("sliding", "deconvolution", "skip")
    )
    ways = {
        f"{HEADS['sliding']}: coarse map, upsampled": (sliding, False),
        f"{HEADS['sliding']}, dilated: same weights": (sliding, True),
        HEADS["deconvolution"]: (deconvolution, False),
        f"{HEADS['skip']}: their scores added": (skip, False),
    }
    kind = CONDITIONS[0]
    return pd.DataFrame(
        {"head": way, **_percentages([scores(run, kind, dilate=dilate) for run in chosen])}
        for way, (chosen, dilate) in ways.items()
    )


def pyramid_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a size of digit that was not trained on: seen once, and through an image pyramid."""
    runs = select(runs, head=BEST_HEAD)
    rows = []
    for condition in SIZES:
        found = [pyramid_scores(run, condition) for run in runs]
        row = {"canvases": condition.name}
        for way in ("once", "pyramid"):
            for name in ("precision", "recall"):
                row[f"{name}, {way}"] = percents([one[way][name] for one in found])
        rows.append(row)
    return pd.DataFrame(rows)


def pointing_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a kind of canvas of 64x64 pixels with one digit: where its most probable pixel lies."""
    runs = select(runs, head=BEST_HEAD)
    return pd.DataFrame(
        {
            "canvases": kind.name,
            "in the box": percents([in_box(run, kind)["share"] for run in runs]),
            "in the box, and names the digit": percents(
                [scores(run, kind)["pointing"] for run in runs]
            ),
        }
        for kind in POINTED
    )


def alarm_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a kind of digit-free canvas: on which share of them something is found."""
    runs = select(runs, head=BEST_HEAD)
    found = [alarms(run) for run in runs]
    return pd.DataFrame(
        {"canvases": kind, "with a detection": percents([one[kind] for one in found])}
        for kind in found[0]
    )


def black_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a class: what is answered at pixels that see nothing, and two explanations."""
    found = answers_on_black(runs[0])
    columns = {"answered": "probability", "labels of such pixels": "labels", "digits": "digits"}
    return pd.DataFrame(
        {
            "class": label,
            **{title: f"{100 * found[name][label]:.1f} %" for title, name in columns.items()},
        }
        for label in range(len(found["digits"]))
    )


def _percentages(found: Sequence[dict[str, float]]) -> dict[str, str]:
    """Mean and deviation over seeds of each score, in percent; `-` where it has no meaning.

    Pixels that are right stand beside those that would be if all were called background.
    """
    right, background = (
        100 * sum(one[name] for one in found) / len(found)
        for name in ("pixel_accuracy", "background_accuracy")
    )
    return {"pixels right, all background (%)": f"{right:.2f}, {background:.2f}"} | {
        title: spread([100 * one[name] for one in found], 1) if name in found[0] else "-"
        for title, name in SCORES.items()
    }
