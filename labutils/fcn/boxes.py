"""How good the boxes of a detector are, and what it sees where no digit is.

A true box is the smallest that holds all pixels of a digit at least as light as `canvases.INK`. A
detection is right if its digit is that of a true box that no detection of a higher score took, and
their intersection over union is at least 0.5. Average precision is the mean over the ten digits,
over all scores, as COCO defines it (Lin et al. 2014), by pycocotools.
"""

import contextlib
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from labutils.data.canvases import BACKGROUND, NO_DIGIT, Canvases
from labutils.fcn.detection import Detections

IOU = 0.5


class AveragePrecision(NamedTuple):
    """In [0, 1]: at IoU 0.5, and the mean over IoU 0.5, 0.55 ... 0.95."""

    at_half: float
    mean: float


def average_precision(found: Sequence[Detections], canvases: Canvases) -> AveragePrecision:
    """Over all canvases; classes without a digit on any of them do not count."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = [_true_digits(canvases, index) for index in range(len(canvases))]
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
        reference, results = COCO(), COCO()
        for coco, images in ((reference, truth), (results, found)):
            coco.dataset = {
                "images": [{"id": index} for index in range(len(canvases))],
                "categories": [{"id": label} for label in range(BACKGROUND)],
                "annotations": _as_coco(images),
            }
            coco.createIndex()
        evaluation = COCOeval(reference, results, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    precision = torch.from_numpy(evaluation.eval["precision"])[..., 0, -1]  # all areas, 100 boxes
    counted = precision[:, 0, :] >= 0  # COCO marks classes that do not occur by -1
    if not counted.any():
        return AveragePrecision(float("nan"), float("nan"))
    by_iou = precision.mean(1)[counted].view(len(precision), -1).mean(1)
    return AveragePrecision(by_iou[0].item(), by_iou.mean().item())


def _as_coco(images: Sequence[Detections]) -> list[dict]:
    """Boxes as COCO has them: left, top, width, height."""
    annotations = []
    for image, found in enumerate(images):
        for (left, top, right, bottom), label, score in found:
            width, height = right - left, bottom - top
            box = {"bbox": [left, top, width, height], "area": width * height, "iscrowd": 0}
            whose = {"id": len(annotations) + 1, "image_id": image, "category_id": label}
            annotations.append(whose | box | {"score": score})
    return annotations


def resampled_precision(
    found: Sequence[Detections], canvases: Canvases, times: Int64[np.ndarray, "draws canvases"]
) -> Float[np.ndarray, " draws"]:
    """`average_precision` at IoU 0.5 where each canvas counts so many times, a row a draw.

    Of canvases that are drawn again, with replacement, it gives the bootstrap (Efron 1979).
    """
    ranked, by_digit = _Ranked(found, canvases), []
    order = ranked.scores.argsort(descending=True, stable=True)
    for digit in range(BACKGROUND):
        own = order[ranked.labels[order] == digit]
        counted = times[:, ranked.canvas[own].numpy()]
        right = (counted * ranked.right[own].numpy()).cumsum(1)
        there = times @ (canvases.labels == digit).sum(1).numpy()
        precision = right / np.maximum(counted.cumsum(1), 1)
        best = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]  # at this recall or a higher
        recall = right / np.maximum(there, 1)[:, None]
        reached = np.searchsorted(np.linspace(0, 1, 101), recall, side="right")
        sums = (best * np.diff(reached, axis=1, prepend=0)).sum(1)
        by_digit.append(np.where(there > 0, sums / 101, np.nan))
    return np.nanmean(by_digit, 0)


class BoxScores(NamedTuple):
    """At one threshold of the score: shares in [0, 1]; nan where nothing is there to divide by."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean of both; 0 where nothing is right."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total > 0 else 0.0


def box_scores(found: Sequence[Detections], canvases: Canvases, threshold: float) -> BoxScores:
    """Precision and recall of the detections with at least this score."""
    return _Ranked(found, canvases).at(threshold)


class _Ranked:
    """All detections, each right or wrong: at any threshold those above it are so, too."""

    def __init__(self, found: Sequence[Detections], canvases: Canvases) -> None:
        every = Detections.together(found)
        self.scores, self.labels = every.scores, every.labels
        right = [matches(one, _true_digits(canvases, index)) for index, one in enumerate(found)]
        self.right = torch.cat(right)
        self.canvas = torch.tensor([index for index, one in enumerate(found) for _ in one]).long()
        self.there = int((canvases.labels != NO_DIGIT).sum())

    def at(self, threshold: float) -> BoxScores:
        counted = self.scores >= threshold
        right = int((self.right & counted).sum())
        return BoxScores(_share(right, int(counted.sum())), _share(right, self.there))


def matches(found: Detections, truth: Detections) -> Bool[Tensor, " n"]:
    """Which detections are right: the highest score first, each true box taken once."""
    from torchvision.ops import box_iou

    right = torch.zeros(len(found), dtype=torch.bool)
    if not len(truth):
        return right
    overlap = box_iou(found.boxes, truth.boxes)
    overlap[found.labels[:, None] != truth.labels] = 0
    for index in found.scores.argsort(descending=True, stable=True):
        best, at = overlap[index].max(0)
        if best >= IOU:
            right[index] = True
            overlap[:, at] = 0
    return right


def all_right(found: Detections, canvases: Canvases, index: int) -> bool:
    """Whether each digit of a canvas is found, and nothing else."""
    truth = _true_digits(canvases, index)
    return len(found) == len(truth) and bool(matches(found, truth).all())


def _true_digits(canvases: Canvases, index: int) -> Detections:
    boxes, labels = canvases.digits(index)
    return Detections(boxes, labels, torch.ones(len(labels)))


def best_threshold(
    found: Sequence[Detections],
    canvases: Canvases,
    digit_free: Sequence[Sequence[Detections]] = (),
    most_alarms: float = 1.0,
) -> float:
    """The threshold of the score, of 0.01, 0.02 ... 0.99, with the highest F1: for validation.

    Out of question are those at which more than a share `most_alarms` of the canvases of some
    `digit_free` kind has a detection. Where all are, the highest is taken.
    """
    ranked, thresholds = _Ranked(found, canvases), [step / 100 for step in range(1, 100)]
    allowed = [
        threshold
        for threshold in thresholds
        if all(false_alarms(kind, threshold) <= most_alarms for kind in digit_free)
    ]
    return max(allowed or thresholds[-1:], key=lambda threshold: ranked.at(threshold).f1)


def false_alarms(found: Sequence[Detections], threshold: float) -> float:
    """Share of canvases, without any digit, on which something is detected all the same."""
    return _share(sum(len(one.above(threshold)) > 0 for one in found), len(found))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
