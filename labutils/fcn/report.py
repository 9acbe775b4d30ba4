"""What the report measures of a stored detector: one condition, one kind of canvas, a number each.

Canvases are drawn from seeds of their own, from validation or from test digits; results are stored
beside the run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch

from labutils import data
from labutils.data import Split
from labutils.evaluation import Execution, execution_for
from labutils.fcn.canvases import BACKGROUND, Canvases, draw_canvases
from labutils.fcn.clutter import KINDS, draw_clutter
from labutils.fcn.detector import detect, find_digits, pixel_probabilities
from labutils.fcn.measures import (
    accuracy_by_distance,
    all_right,
    average_precision,
    background_accuracy,
    best_threshold,
    box_scores,
    false_alarms,
    pixel_scores,
    pointing_accuracy,
)
from labutils.fcn.networks import DenseNetwork, dilated, load_detector
from labutils.fcn.training import draw_for
from labutils.runs import Run, load_or_measure

COUNT = 2_000  # canvases a condition, and at most one for four digits that are drawn from
FAILURES = 18  # kept of each condition
SAME = 1e-3  # probabilities that differ by less are those of a canvas without digit
VALIDATION_SEED, CLUTTER_SEED = 4_000_001, 4_000_002  # no seed of a training's canvases


@dataclass(frozen=True)
class Condition:
    """One kind of canvas: `options` are those of `draw_canvases`, the seed among them."""

    name: str
    options: dict[str, Any] = field(hash=False)


CONDITIONS = (
    Condition("one digit", {"seed": 3_000_001}),
    Condition("one digit, scale 0.7 to 1", {"seed": 3_000_002, "scale": (0.7, 1.0)}),
    Condition("one digit, scale 1 to 1.5", {"seed": 3_000_003, "scale": (1.0, 1.5)}),
    Condition("one digit, clutter", {"seed": 3_000_004, "clutter": 1.0}),
    Condition("one digit on 96 x 96", {"seed": 3_000_005, "size": (96, 96)}),
    Condition("one digit on 128 x 128", {"seed": 3_000_006, "size": (128, 128)}),
    Condition("one digit on 200 x 120", {"seed": 3_000_007, "size": (120, 200)}),
    Condition("two to four, separate", {"seed": 3_000_008, "number": (2, 4), "size": (96, 96)}),
    Condition("grid of digits", {"seed": 3_000_009, "layout": "grid", "size": (96, 96)}),
    Condition(
        "two or three, touching",
        {"seed": 3_000_010, "number": (2, 3), "size": (96, 96), "layout": "touching"},
    ),
)


def validation_threshold(run: Run, *, dilate: bool = False) -> float:
    """The score from which on a detection counts: the best F1 on canvases of validation digits.

    Args:
        dilate: for the dilated network, which has a cell for each pixel.
    """
    arguments = {"count": COUNT, "seed": VALIDATION_SEED, "dilated": dilate}
    return load_or_measure(run, "threshold", arguments, lambda: _threshold(run, dilate))


def _threshold(run: Run, dilate: bool) -> float:
    digits = data.load(run.config.data).val
    canvases = draw_for(run.config, digits, _count(digits), VALIDATION_SEED)
    network, execution = _ready(run, dilate)
    return best_threshold(detect(network, canvases.images, execution), canvases)


def scores(run: Run, condition: Condition, *, dilate: bool = False) -> dict[str, float]:
    """Pixels, boxes and pointing under one condition, on test digits, all in [0, 1].

    Args:
        dilate: with the dilated network, and its own threshold, instead of the coarse map.

    Returns:
        `pixel_accuracy`, `background_accuracy` (of calling every pixel background), `mean_iou`,
        `ap_half` (average precision at IoU 0.5), `ap_mean` (over 0.5:0.95), `precision` (nan
        where nothing is detected), `recall`, and for canvases of one digit `pointing`.
    """
    arguments = {"options": condition.options, "count": COUNT, "dilated": dilate}
    stored = load_or_measure(
        run, "detection", arguments, lambda: _scores(run, _test_canvases(run, condition), dilate)
    )
    return {name: math.nan if value is None else value for name, value in stored.items()}


def canvases_of(condition: Condition, digits: Split, count: int | None = None) -> Canvases:
    """Canvases of a condition; by default as many as are measured."""
    return draw_canvases(digits, count or _count(digits), **condition.options)


def _scores(run: Run, canvases: Canvases, dilate: bool) -> dict[str, float]:
    network, execution = _ready(run, dilate)
    probability = pixel_probabilities(network, canvases.images, execution)
    found = [find_digits(one) for one in probability]
    boxes = box_scores(found, canvases, validation_threshold(run, dilate=dilate))
    precision = average_precision(found, canvases)
    accuracy, mean_iou = pixel_scores(probability, canvases)
    result = {
        "pixel_accuracy": accuracy,
        "background_accuracy": background_accuracy(canvases),
        "mean_iou": mean_iou,
        "ap_half": precision.at_half,
        "ap_mean": precision.mean,
        "precision": boxes.precision,
        "recall": boxes.recall,
    }
    if canvases.labels.shape[1] == 1:
        result["pointing"] = pointing_accuracy(probability, canvases)
    return result


def failures(run: Run, condition: Condition) -> dict[str, Any]:
    """Canvases of a condition on which some digit is missed or some detection is wrong.

    Returns:
        `share` of canvases, in [0, 1], and of the first `FAILURES` of them a list `examples`, each
        with the `index` of the canvas and the `boxes`, `labels` and `scores` found on it.
    """
    threshold = validation_threshold(run)
    arguments = {"options": condition.options, "count": COUNT, "threshold": threshold}
    return load_or_measure(run, "failures", arguments, lambda: _failures(run, condition, threshold))


def _failures(run: Run, condition: Condition, threshold: float) -> dict[str, Any]:
    network, execution = _ready(run, dilate=False)
    canvases = _test_canvases(run, condition)
    found = [one.above(threshold) for one in detect(network, canvases.images, execution)]
    wrong = [index for index, one in enumerate(found) if not all_right(one, canvases, index)]
    examples = [
        {
            "index": index,
            "boxes": found[index].boxes.tolist(),
            "labels": found[index].labels.tolist(),
            "scores": [round(score, 4) for score in found[index].scores.tolist()],
        }
        for index in wrong[:FAILURES]
    ]
    return {"share": len(wrong) / len(canvases), "examples": examples}


def named_by_distance(run: Run, condition: Condition) -> tuple[list[float], list[float]]:
    """Distances from the centre of the one digit, and the share of pixels there that name it."""
    arguments = {"options": condition.options, "count": COUNT}
    stored = load_or_measure(run, "distance", arguments, lambda: _by_distance(run, condition))
    return stored["distances"], stored["shares"]


def _by_distance(run: Run, condition: Condition) -> dict[str, list[float]]:
    network, execution = _ready(run, dilate=False)
    canvases = _test_canvases(run, condition)
    probability = pixel_probabilities(network, canvases.images, execution)
    distances, shares = accuracy_by_distance(probability, canvases)
    return {"distances": distances, "shares": shares}


def answers_on_black(run: Run) -> dict[str, Any]:
    """What a network without a background class answers where it sees nothing, and why.

    A pixel is blind if the digit on its canvas changes none of its scores: they are those of a
    canvas without digit. Canvases are drawn as in training, with training digits.

    Returns:
        `blind`: share of pixels that are. Of the ten classes: `probability`, the mean over blind
        pixels of what the network answers; `digits`, their shares among the training digits; and
        `labels`, their shares among the labels of blind pixels (nan where none is blind).
    """
    arguments = {"count": COUNT, "seed": VALIDATION_SEED}
    return load_or_measure(run, "black", arguments, lambda: _on_black(run))


def _on_black(run: Run) -> dict[str, Any]:
    network, execution = _ready(run, dilate=False)
    digits = data.load(run.config.data).train
    canvases = draw_for(run.config, digits, _count(digits), VALIDATION_SEED)
    empty = pixel_probabilities(network, torch.zeros_like(canvases.images[:1]), execution)
    probability = pixel_probabilities(network, canvases.images, execution)
    blind = ((probability - empty).abs() < SAME).all(1)
    by_canvas = blind.flatten(1).sum(1).double()
    labels = torch.zeros(BACKGROUND, dtype=torch.double)
    labels.index_add_(0, canvases.labels[:, 0], by_canvas)
    answers = (empty[0] * blind.sum(0)).flatten(1).sum(1) / by_canvas.sum()
    counts = torch.bincount(digits.labels, minlength=BACKGROUND).double()
    return {
        "blind": blind.float().mean().item(),
        "probability": answers.tolist(),
        "digits": (counts / counts.sum()).tolist(),
        "labels": (labels / labels.sum()).tolist(),
    }


def alarms(run: Run) -> dict[str, float]:
    """Share of digit-free canvases of each kind of clutter with a detection, in [0, 1]."""
    threshold = validation_threshold(run)
    arguments = {"count": COUNT, "seed": CLUTTER_SEED, "threshold": threshold}
    return load_or_measure(run, "alarms", arguments, lambda: _alarms(run, threshold))


def _alarms(run: Run, threshold: float) -> dict[str, float]:
    network, execution = _ready(run, dilate=False)
    shares, count = {}, _count(data.load(run.config.data).test)
    for kind in KINDS:
        images = draw_clutter(kind, count, (64, 64), seed=CLUTTER_SEED)
        shares[kind] = false_alarms(detect(network, images, execution), threshold)
    return shares


def _count(digits: Split) -> int:
    return min(COUNT, len(digits) // 4)


def _test_canvases(run: Run, condition: Condition) -> Canvases:
    return canvases_of(condition, data.load(run.config.data).test)


def _ready(run: Run, dilate: bool) -> tuple[DenseNetwork, Execution]:
    """The network where it is computed, and how."""
    network = load_detector(run)
    network = dilated(network) if dilate else network
    execution = execution_for(network, run.config.precision)
    return network.to(execution.device), execution
