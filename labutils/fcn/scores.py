"""What the report measures of a stored detector, stored beside the run.

Canvases are drawn from seeds of their own: with validation digits for thresholds, else with test
digits.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labutils import data
from labutils.config import DATA_SETS
from labutils.data.canvases import Canvases
from labutils.data.clutter import CLUTTER, draw_clutter
from labutils.data.sets import part_sizes
from labutils.fcn import boxes, pixels
from labutils.fcn.conditions import Condition, canvas_count, canvases_of
from labutils.fcn.detection import Detections, detect, find_digits, pixel_probabilities
from labutils.fcn.networks import ready
from labutils.fcn.pictures import read_digits
from labutils.fcn.training import draw_for
from labutils.runs.load import measure
from labutils.runs.store import Run

PART = 250  # canvases whose probabilities are held at a time
PYRAMID_COUNT = 300  # canvases, each looked at in many sizes
PICTURE_PRECISION = "fp32"  # that of `pictures.read_digits`
FAILURES = 18  # kept of each condition
DRAWS, DRAWS_SEED = 1_000, 0  # of canvases, with replacement
FEWEST = 100  # pixels at a distance: a share of fewer is left to chance
# no seed of a training's canvases
VALIDATION_SEED, CLUTTER_SEED = 4_000_001, 4_000_002
CLUTTER_SIZE = (64, 64)
MOST_ALARMS = 0.0025  # share of validation canvases without digit: half of what is aimed at


def canvases_drawn(run: Run, part: str = "test") -> int:
    """How many canvases are drawn with the digits of a part: known without loading them."""
    return canvas_count(part_sizes(DATA_SETS[run.config.data])[part])


def _drawn(run: Run, condition: Condition, **more: Any) -> dict[str, Any]:
    """What decides which canvases of a condition are measured, and more that decides a result."""
    return {"options": condition.options, "count": canvases_drawn(run), **more}


def _drawn_with_one_digit(run: Run, condition: Condition, **more: Any) -> dict[str, Any]:
    if condition.options.get("number", (1, 1)) != (1, 1) or "layout" in condition.options:
        raise ValueError(f"{condition.name!r} may have several digits: take one with one")
    return _drawn(run, condition, **more)


def _test_canvases(run: Run, condition: Condition, count: int | None = None) -> Canvases:
    return canvases_of(condition, data.load(run.config.data).test, count)


def _seen(run: Run, canvases: Canvases, dilate: bool = False) -> Iterator[tuple[Canvases, Tensor]]:
    """Canvases and the probabilities of their pixels, in parts: all at once may take gigabytes."""
    network, execution = ready(run, dilate=dilate)
    for part in canvases.parts(PART):
        yield part, pixel_probabilities(network, part.images, execution)


def _found(run: Run, canvases: Canvases) -> list[Detections]:
    return [find_digits(one) for _, probability in _seen(run, canvases) for one in probability]


@measure(
    "threshold",
    lambda run, dilate=False: {
        "count": canvases_drawn(run, "val"),
        "seed": VALIDATION_SEED,
        "dilated": dilate,
        "most_alarms": MOST_ALARMS,
        "size": CLUTTER_SIZE,
    },
)
def validation_threshold(run: Run, *, dilate: bool = False) -> float:
    """The score from which on a detection counts: the best F1 on canvases of validation digits.

    Of the thresholds at which no kind of clutter has a detection on more than `MOST_ALARMS` of its
    canvases, or on more than one. The dilated network has a threshold of its own.
    """
    digits, count = data.load(run.config.data).val, canvases_drawn(run, "val")
    canvases = draw_for(run.config, digits, count, VALIDATION_SEED)
    network, execution = ready(run, dilate=dilate)
    digit_free = [
        detect(network, draw_clutter(kind, count, CLUTTER_SIZE, seed=VALIDATION_SEED), execution)
        for kind in CLUTTER
    ]
    found = detect(network, canvases.images, execution)
    return boxes.best_threshold(found, canvases, digit_free, max(MOST_ALARMS, 1 / count))


@measure(
    "detection",
    lambda run, condition, dilate=False: _drawn(
        run, condition, dilated=dilate, threshold=validation_threshold(run, dilate=dilate)
    ),
)
def scores(run: Run, condition: Condition, *, dilate: bool = False) -> dict[str, float]:
    """Pixels, boxes and pointing under one condition, on test digits, all in [0, 1].

    Args:
        dilate: with the dilated network, and its own threshold, instead of the coarse map.

    Returns:
        `pixel_accuracy`, `background_accuracy` (of calling every pixel background), `mean_iou`,
        `ap_half` (average precision at IoU 0.5), `ap_mean` (over 0.5:0.95), `precision` (nan
        where nothing is detected), `recall`, and for canvases of one digit `pointing`.
    """
    canvases = _test_canvases(run, condition)
    found, pointed, confusion = [], 0.0, 0
    for part, probability in _seen(run, canvases, dilate):
        found += map(find_digits, probability)
        confusion += pixels.pixel_confusion(probability, part.classes.long())
        pointed += pixels.pointing(probability, part).right * len(part)
    at_threshold = boxes.box_scores(found, canvases, validation_threshold(run, dilate=dilate))
    precision = boxes.average_precision(found, canvases)
    result = {
        "pixel_accuracy": pixels.pixel_accuracy(confusion),
        "background_accuracy": pixels.background_accuracy(canvases),
        "mean_iou": pixels.mean_iou(confusion),
        "ap_half": precision.at_half,
        "ap_mean": precision.mean,
        **at_threshold._asdict(),
    }
    if canvases.labels.shape[1] == 1:
        result["pointing"] = pointed / len(canvases)
    return result


@measure("resampled", lambda run, condition: _drawn(run, condition, draws=DRAWS, seed=DRAWS_SEED))
def resampled(run: Run, condition: Condition) -> list[float]:
    """`ap_half` on `DRAWS` draws, with replacement, of a condition's canvases.

    Draws are the same for every network: a mean over networks has draws, too.
    """
    canvases = _test_canvases(run, condition)
    found = _found(run, canvases)
    shares = np.full(len(found), 1 / len(found))
    times = np.random.default_rng(DRAWS_SEED).multinomial(len(found), shares, DRAWS)
    return boxes.resampled_precision(found, canvases, times).round(5).tolist()


@measure("in-box", _drawn_with_one_digit)
def in_box(run: Run, condition: Condition) -> dict[str, float]:
    """On which `share` of canvases of one digit `pointing` points into its box, whatever it names.

    Raises:
        ValueError: canvases of the condition may have several digits.
    """
    canvases, share = _test_canvases(run, condition), 0.0
    for part, probability in _seen(run, canvases):
        share += pixels.pointing(probability, part).in_box * len(part) / len(canvases)
    return {"share": share}


def _pyramid_count(run: Run) -> int:
    # a third: of a small set all would take longer than the rest of the report
    return min(canvases_drawn(run) // 3, PYRAMID_COUNT)


@measure(
    "pyramid",
    lambda run, condition: {
        "options": condition.options,
        "count": _pyramid_count(run),
        "threshold": validation_threshold(run),
        "precision": PICTURE_PRECISION,
    },
)
def pyramid_scores(run: Run, condition: Condition) -> dict[str, dict[str, float]]:
    """`precision` (nan where nothing is detected) and `recall`, pictures seen in one of two ways.

    `once`, or as a `pyramid` of many sizes (`pictures.read_digits`); both in fp32, in which
    pictures are read, whatever the network was trained in.
    """
    threshold = validation_threshold(run)
    network, execution = ready(run, precision=PICTURE_PRECISION)
    canvases = _test_canvases(run, condition, _pyramid_count(run))
    read = [
        read_digits(network, picture, threshold=threshold, scales=run.config.scale)
        for picture in canvases.images[:, 0].numpy()
    ]
    ways = {"once": detect(network, canvases.images, execution), "pyramid": read}
    scored = {way: boxes.box_scores(found, canvases, threshold) for way, found in ways.items()}
    return {way: found._asdict() for way, found in scored.items()}


@measure(
    "failures",
    lambda run, condition: _drawn(
        run, condition, threshold=validation_threshold(run), most=FAILURES
    ),
)
def failures(run: Run, condition: Condition) -> dict[str, Any]:
    """Canvases of a condition on which some digit is missed or some detection is wrong.

    Returns:
        `share` of canvases, in [0, 1], and of the first `FAILURES` of them a list `examples`, each
        with the `index` of the canvas among those of `canvases_of`, and the `boxes`, `labels` and
        `scores` found on it.
    """
    canvases, threshold = _test_canvases(run, condition), validation_threshold(run)
    wrong = [
        (index, found)
        for index, found in enumerate(one.above(threshold) for one in _found(run, canvases))
        if not boxes.all_right(found, canvases, index)
    ]
    examples = [
        {
            "index": index,
            "boxes": found.boxes.tolist(),
            "labels": found.labels.tolist(),
            "scores": [round(score, 4) for score in found.scores.tolist()],
        }
        for index, found in wrong[:FAILURES]
    ]
    return {"share": len(wrong) / len(canvases), "examples": examples}


@measure("distance", lambda run, condition: _drawn_with_one_digit(run, condition, fewest=FEWEST))
def named_by_distance(run: Run, condition: Condition) -> dict[str, list[float]]:
    """Distances from the centre of the one digit, and the share of pixels there that name it.

    Returns:
        `distances` in pixels with at least `FEWEST` pixels of digits, and `shares` in [0, 1].

    Raises:
        ValueError: canvases of the condition may have several digits.
    """
    canvases = _test_canvases(run, condition)
    probability = torch.cat([probability for _, probability in _seen(run, canvases)])
    distances, shares = pixels.accuracy_by_distance(probability, canvases, fewest=FEWEST)
    return {"distances": distances, "shares": shares}


@measure(
    "alarms",
    lambda run: {
        "count": canvases_drawn(run),  # as of a condition
        "seed": CLUTTER_SEED,
        "size": CLUTTER_SIZE,
        "threshold": validation_threshold(run),
    },
)
def alarms(run: Run) -> dict[str, float]:
    """Share of digit-free canvases of each kind of clutter with a detection, in [0, 1]."""
    (network, execution), threshold = ready(run), validation_threshold(run)
    shares = {}
    for kind in CLUTTER:
        images = draw_clutter(kind, canvases_drawn(run), CLUTTER_SIZE, seed=CLUTTER_SEED)
        shares[kind] = boxes.false_alarms(detect(network, images, execution), threshold)
    return shares
