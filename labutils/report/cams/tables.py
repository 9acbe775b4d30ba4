"""Exercise 3: can class activation maps be believed, in numbers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from labutils.cam import evidence
from labutils.cam.faithfulness import FILLS
from labutils.cam.kinds import Kind
from labutils.cam.maps import METHODS
from labutils.config.profiles import profile
from labutils.report.cams.experiments import (
    FLATTENED,
    IMAGES,
    KINDS,
    OF_NETWORK,
    RANDOMISED,
    WITH_RESIZED,
)
from labutils.report.statistics import accuracy, by_network, grouped, percents, select, spread
from labutils.runs.store import Run

Row = Mapping[str, Any]
Found = Sequence[Row]  # what a measure of `evidence` returned for one network
WHERE = {"last": "last map", "finer": "finer map"}
SHORT = {"shapes10": "shapes", "mnist-canvases": "canvases", "digits-canvases": "canvases"}
SCORES = {
    "pointing": "pointing",
    "box_pointing": "pointing, box",
    "energy": "energy inside",
    "iou": "IoU",
}
# Strokes of a digit are thinner than a cell: there its box counts, too.
SHOWN = {"shapes": ("pointing", "energy", "iou"), "canvases": tuple(SCORES)}
SIGNS = {
    "log odds": "probability (log odds)",
    "entropy": "entropy of the map",
    "energy at border": "energy at the border",
    "all": "all three",
}
MARKED = {
    "shapes10-marked": "on the marked class alone",
    "shapes10-marked-evenly": "on half of each class",
}


def kind_name(kind: Kind, *, same: str = "") -> str:
    """The method, and the map that it stands on.

    Args:
        same: methods that give the same map as Grad-CAM where it is pooled.
    """
    if kind.method not in METHODS:
        return kind.method
    title = METHODS[kind.method].title
    resized = ", resized" if kind.placement == "resize" else ""
    return f"{title}{same if kind.method == 'grad-cam' else ''}, {WHERE[kind.layer]}{resized}"


def of_kind(found: Found, kind: Kind, **fields: object) -> Row:
    """The row of a kind."""
    wanted = kind._asdict() | fields
    return next(row for row in found if all(row[name] == value for name, value in wanted.items()))


def area(curve: str) -> Callable[[Row], float]:
    """The area under a curve over the share of pixels, in [0, 1]."""
    return lambda row: float(np.trapezoid(row[curve], dx=1 / (len(row[curve]) - 1)))


def localised(run: Run, kinds: Sequence[Kind] = WITH_RESIZED) -> Found:
    """Maps against masks, on as many images as the profile affords."""
    return evidence.localised(run, kinds, IMAGES[profile().name])


def faithful(run: Run) -> Found:
    """Deletion and insertion, on as many images as the profile affords."""
    return evidence.faithful(run, KINDS, IMAGES[profile().name])


def randomised(run: Run) -> Found:
    """Maps of untrained layers, on as many images as the profile affords."""
    return evidence.randomised(run, RANDOMISED, IMAGES[profile().name])


def _shares(groups: Sequence[Found], kind: Kind, score: str) -> str:
    return spread([100 * of_kind(found, kind)[score] for found in groups], 1)


def _columns(groups: Sequence[Found], kind: Kind) -> dict[str, str]:
    """Scores on shapes, a column each."""
    return {f"{SCORES[score]} (%)": _shares(groups, kind, score) for score in SHOWN["shapes"]}


def believed_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a kind of map: does it point at the object, does the network depend on what it shows?

    Args:
        runs: networks whose images have masks, and strong ones, whose images have none.
    """
    masked = [run for run in runs if run.config.model != "strong"]
    inside = {
        SHORT[name]: [localised(run) for run in chosen]
        for name, chosen in grouped(masked, lambda run: run.config.data).items()
    }
    curves = [faithful(run) for run in select(runs, model="strong")]
    rows = []
    for kind in KINDS:
        row = {"map": kind_name(kind, same=" = CAM" if kind.layer == "last" else "")}
        for name, groups in inside.items():
            for score in SHOWN[name]:
                row[f"{name}: {SCORES[score]} (%)"] = _shares(groups, kind, score)
        for curve in ("deletion", "insertion"):
            for fill in FILLS:
                areas = [area(curve)(of_kind(found, kind, fill=fill)) for found in curves]
                row[f"CIFAR-10: {curve}, {fill}"] = spread(areas, 3)
        rows.append(row)
    return pd.DataFrame(rows)


def short_table(runs: Sequence[Run]) -> pd.DataFrame:
    """What of `believed_table` a page is wide enough for."""
    columns = ["shapes: pointing (%)", "shapes: IoU (%)"]
    columns += ["canvases: pointing (%)", "canvases: pointing, box (%)"]
    columns += ["CIFAR-10: deletion, mean", "CIFAR-10: insertion, mean"]
    return believed_table(runs)[["map", *columns]]


def placement_table(runs: Sequence[Run]) -> pd.DataFrame:
    """What it is worth to draw cells where they look: two rows a set of images and map."""
    rows = []
    for name, chosen in grouped(runs, lambda run: run.config.data).items():
        found = [localised(run) for run in chosen]
        for kind in (Kind("grad-cam"), Kind("grad-cam", "finer")):
            for placement in ("receptive-field", "resize"):
                placed = kind._replace(placement=placement)
                shifts = [
                    spread([of_kind(one, placed)[way] for one in found], 1)
                    for way in ("down", "right")
                ]
                rows.append(
                    {
                        "images": SHORT[name],
                        "map": kind_name(kind),
                        "drawn": "where cells look" if placement != "resize" else "resized",
                        "pixels too far down": shifts[0],
                        "pixels too far right": shifts[1],
                        "pointing (%)": _shares(found, placed, "pointing"),
                        "IoU (%)": _shares(found, placed, "iou"),
                    }
                )
    return pd.DataFrame(rows)


def flattened_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a method, at the last map of networks whose head sees each cell on its own."""
    found = [localised(run, FLATTENED) for run in runs]
    return pd.DataFrame({"map": kind_name(kind)} | _columns(found, kind) for kind in FLATTENED)


def resolution_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a resolution of the last map: CAM against the masks."""
    kinds, rows = [Kind("grad-cam")], {}
    for chosen in by_network(runs):
        found = [localised(run, kinds) for run in chosen]
        cells = 32 // (chosen[0].config.stem_stride * 2 ** (chosen[0].config.stages - 1))
        rows[cells] = {
            "cells of the last map": f"{cells} x {cells}",
            "seeds": len(chosen),
            "test accuracy": accuracy(chosen),
        } | _columns(found, kinds[0])
    return pd.DataFrame([rows[cells] for cells in sorted(rows)])


def randomised_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a kind of map: rank correlation with the trained map when layers are untrained."""
    found = [randomised(run) for run in runs]
    return pd.DataFrame(
        {
            "map": kind_name(kind),
            "head untrained": spread([of_kind(one, kind)["correlation"][0] for one in found]),
            "all untrained": spread([of_kind(one, kind)["correlation"][-1] for one in found]),
        }
        for kind in RANDOMISED
    )


def steadiness_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a kind of map: rank correlation with itself after small changes of the image."""
    found = [evidence.steady(run, OF_NETWORK, IMAGES[profile().name]) for run in runs]
    return pd.DataFrame(
        {
            "map": kind_name(kind),
            "noise of 1 %": spread([of_kind(one, kind)["noise"] for one in found], 3),
            "shift by a pixel": spread([of_kind(one, kind)["shift"] for one in found], 3),
        }
        for kind in OF_NETWORK
    )


def warning_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a sign of a wrong prediction: its means, and how well it tells wrong from right."""
    found = [evidence.warning(run) for run in runs]

    def mean(sign: str, kind: str) -> str:
        return spread([one["means"][sign][kind] for one in found]) if sign != "all" else ""

    return pd.DataFrame(
        {
            "sign": title,
            "mean of right predictions": mean(sign, "right"),
            "mean of wrong ones": mean(sign, "wrong"),
            "area under ROC curve": spread([one["auc"][sign] for one in found], 3),
        }
        for sign, title in SIGNS.items()
    )


def mark_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a training set and a test: what the mark does to accuracy and to maps."""
    rows = []
    for name, chosen in grouped(runs, lambda run: run.config.data).items():
        found = [evidence.mark_dependence(run) for run in chosen]
        for carry, title in (("none", "no image"), ("all", "every image")):
            shares = {key: percents([one[carry][key] for one in found]) for key in found[0][carry]}
            rows.append(
                {
                    "mark in training": MARKED[name],
                    "accuracy on its own test set": accuracy(chosen),
                    "mark in test": title,
                    "accuracy": shares["accuracy"],
                    "accuracy on the marked class": shares["class_accuracy"],
                    "others named that class": shares["answers"],
                    "energy of its map near the mark": shares["energy"],
                }
            )
    return pd.DataFrame(rows)
