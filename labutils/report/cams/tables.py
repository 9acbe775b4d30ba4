"""Exercise 3: can class activation maps be believed, in numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from labutils.cam import evidence
from labutils.cam.faithfulness import FILLS
from labutils.cam.kinds import Kind
from labutils.cam.maps import METHODS
from labutils.config.profiles import profile
from labutils.report import statistics
from labutils.report.cams import experiments
from labutils.report.cams.experiments import FLATTENED, IMAGES, KINDS, OF_NETWORK
from labutils.report.statistics import by_network, columns, grouped, percents, select, spread
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


def area(curve: Sequence[float]) -> float:
    """The area under a curve over the share of pixels, in [0, 1]."""
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))


def localised(run: Run, kinds: Sequence[Kind] = experiments.WITH_RESIZED) -> Found:
    """Maps against masks, on as many images as the profile affords."""
    return evidence.localised(run, kinds, IMAGES[profile().name])


def faithful(run: Run) -> Found:
    """Deletion and insertion, on as many images as the profile affords."""
    return evidence.faithful(run, KINDS, IMAGES[profile().name])


def randomised(run: Run) -> Found:
    """Maps of untrained layers, on as many images as the profile affords."""
    return evidence.randomised(run, experiments.RANDOMISED, IMAGES[profile().name])


def _spread(found: Sequence[Found], kind: Kind, field: str, digits: int) -> str:
    return spread([of_kind(of_run, kind)[field] for of_run in found], digits)


def _percents(found: Sequence[Found], kind: Kind, *scores: str) -> dict[str, str]:
    """Scores of a kind over networks, a column each."""
    return {
        f"{SCORES[score]} (%)": spread([100 * of_kind(of_run, kind)[score] for of_run in found], 1)
        for score in scores
    }


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
        for name, found in inside.items():
            scores = _percents(found, kind, *SHOWN[name])
            row |= {f"{name}: {title}": score for title, score in scores.items()}
        for curve in ("deletion", "insertion"):
            for fill in FILLS:
                areas = [area(of_kind(found, kind, fill=fill)[curve]) for found in curves]
                row[f"CIFAR-10: {curve}, {fill}"] = spread(areas, 3)
        rows.append(row)
    return pd.DataFrame(rows)


def short_table(runs: Sequence[Run]) -> pd.DataFrame:
    """What of `believed_table` a page is wide enough for."""
    shown = ["shapes: pointing (%)", "shapes: IoU (%)"]
    shown += ["canvases: pointing (%)", "canvases: pointing, box (%)"]
    shown += ["CIFAR-10: deletion, mean", "CIFAR-10: insertion, mean"]
    return believed_table(runs)[["map", *shown]]


def placement_table(runs: Sequence[Run]) -> pd.DataFrame:
    """What it is worth to draw cells where they look: two rows a set of images and map."""
    drawn = {"receptive-field": "where cells look", "resize": "resized"}
    rows = []
    for name, chosen in grouped(runs, lambda run: run.config.data).items():
        found = [localised(run) for run in chosen]
        for kind in (Kind("grad-cam"), Kind("grad-cam", "finer")):
            for placement, how in drawn.items():
                placed = kind._replace(placement=placement)
                row = {"images": SHORT[name], "map": kind_name(kind), "drawn": how}
                row["pixels too far down"] = _spread(found, placed, "down", 1)
                row["pixels too far right"] = _spread(found, placed, "right", 1)
                rows.append(row | _percents(found, placed, "pointing", "iou"))
    return pd.DataFrame(rows)


def flattened_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a method, at the last map of networks whose head sees each cell on its own."""
    found = [localised(run, FLATTENED) for run in runs]
    return pd.DataFrame(
        {"map": kind_name(kind)} | _percents(found, kind, *SHOWN["shapes"]) for kind in FLATTENED
    )


def resolution_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a resolution of the last map, the coarsest first: CAM against the masks."""
    kind, rows = Kind("grad-cam"), {}
    for chosen in by_network(runs):
        config, found = chosen[0].config, [localised(run, [kind]) for run in chosen]
        cells = 32 // (config.stem_stride * 2 ** (config.stages - 1))
        row = {"cells of the last map": f"{cells} x {cells}"}
        row |= columns(chosen, "seeds", "test accuracy")
        rows[cells] = row | _percents(found, kind, *SHOWN["shapes"])
    return pd.DataFrame(row for _, row in sorted(rows.items()))


def randomised_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a kind of map: rank correlation with the trained map when layers are untrained."""
    found = [randomised(run) for run in runs]
    rows = []
    for kind in experiments.RANDOMISED:
        curves = [of_kind(of_run, kind)["correlation"] for of_run in found]
        row = {"map": kind_name(kind), "head untrained": spread([curve[0] for curve in curves])}
        rows.append(row | {"all untrained": spread([curve[-1] for curve in curves])})
    return pd.DataFrame(rows)


def steadiness_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a kind of map: rank correlation with itself after small changes of the image."""
    found = [evidence.steady(run, OF_NETWORK, IMAGES[profile().name]) for run in runs]
    return pd.DataFrame(
        {
            "map": kind_name(kind),
            "noise of 1 %": _spread(found, kind, "noise", 3),
            "shift by a pixel": _spread(found, kind, "shift", 3),
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
            row = {"mark in training": MARKED[name]}
            row["accuracy on its own test set"] = statistics.accuracy(chosen)
            row["mark in test"] = title
            row["accuracy"] = shares["accuracy"]
            row["accuracy on the marked class"] = shares["class_accuracy"]
            row["others named that class"] = shares["answers"]
            row["energy of its map near the mark"] = shares["energy"]
            rows.append(row)
    return pd.DataFrame(rows)
