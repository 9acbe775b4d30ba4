"""What the report measures of a stored detector: one condition, one kind of canvas, a number each.

Canvases are drawn from seeds of their own, from validation or from test digits; results are stored
beside the run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from labutils import data
from labutils.evaluation import execution_for
from labutils.fcn.canvases import Canvases, draw_canvases
from labutils.fcn.clutter import KINDS, draw_clutter
from labutils.fcn.detector import detect, find_digits, pixel_probabilities
from labutils.fcn.measures import (
    average_precision,
    background_accuracy,
    best_threshold,
    box_scores,
    false_alarms,
    pointing_accuracy,
)
from labutils.fcn.networks import DenseNetwork, dilated, load_detector
from labutils.fcn.training import VAL_SEED, draw_for, pixel_scores
from labutils.runs import Run, load_or_measure

COUNT = 2_000  # canvases a condition
SEED = 2_000_000


@dataclass(frozen=True)
class Condition:
    """One kind of canvas: `options` are those of `draw_canvases`."""

    name: str
    options: dict[str, Any] = field(hash=False)


CONDITIONS = (
    Condition("one digit", {}),
    Condition("one digit, scale 0.7 to 1", {"scale": (0.7, 1.0)}),
    Condition("one digit, scale 1 to 1.5", {"scale": (1.0, 1.5)}),
    Condition("one digit, clutter", {"clutter": 0.999}),
    Condition("one digit on 96 x 96", {"size": (96, 96)}),
    Condition("one digit on 128 x 128", {"size": (128, 128)}),
    Condition("one digit on 200 x 120", {"size": (120, 200)}),
    Condition("two to four, separate", {"number": (2, 4), "size": (96, 96)}),
    Condition("grid of digits", {"layout": "grid", "size": (96, 96)}),
    Condition("two or three, touching", {"number": (2, 3), "size": (96, 96), "layout": "touching"}),
)


def validation_threshold(run: Run) -> float:
    """The score from which on a detection counts: the best F1 on canvases of validation digits."""
    return load_or_measure(run, "threshold", {"count": COUNT}, lambda: _threshold(run))


def _threshold(run: Run) -> float:
    digits = data.load(run.config.data).val
    canvases = draw_for(run.config, digits, min(COUNT, len(digits)), VAL_SEED + 10)
    network = load_detector(run)
    return best_threshold(detect(network, canvases.images, _execution(run, network)), canvases)


def scores(run: Run, condition: Condition, *, dilate: bool = False) -> dict[str, float]:
    """Pixels, boxes and pointing under one condition, on test digits, all in [0, 1].

    Args:
        dilate: with the dilated network, which has a cell for each pixel, instead of its own map.

    Returns:
        `pixel_accuracy`, `background_accuracy` (of calling every pixel background), `mean_iou`,
        `ap_half` (average precision at IoU 0.5), `ap_mean` (over 0.5:0.95), `precision`,
        `recall`, and for canvases of one digit `pointing`.
    """
    arguments = {"condition": condition.name, "count": COUNT, "dilated": dilate}
    return load_or_measure(
        run, "detection", arguments, lambda: _scores(run, _canvases(run, condition), dilate)
    )


def _canvases(run: Run, condition: Condition) -> Canvases:
    digits = data.load(run.config.data).test
    number = [one.name for one in CONDITIONS].index(condition.name)
    return draw_canvases(digits, min(COUNT, len(digits)), seed=SEED + number, **condition.options)


def _scores(run: Run, canvases: Canvases, dilate: bool) -> dict[str, float]:
    network = load_detector(run)
    network = dilated(network) if dilate else network
    probability = pixel_probabilities(network, canvases.images, _execution(run, network))
    found = [find_digits(one) for one in probability]
    boxes = box_scores(found, canvases, validation_threshold(run))
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


def alarms(run: Run) -> dict[str, float]:
    """Share of digit-free canvases of each kind of clutter with a detection, in [0, 1]."""
    return load_or_measure(run, "alarms", {"count": COUNT}, lambda: _alarms(run))


def _alarms(run: Run) -> dict[str, float]:
    network, threshold = load_detector(run), validation_threshold(run)
    execution = _execution(run, network)
    shares = {}
    for kind in KINDS:
        images = draw_clutter(kind, COUNT, (64, 64), seed=SEED)
        shares[kind] = false_alarms(detect(network, images, execution), threshold)
    return shares


def _execution(run: Run, network: DenseNetwork) -> Any:
    return execution_for(network, run.config.precision)
