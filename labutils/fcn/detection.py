"""From scores a pixel to boxes with a digit and a score, at one scale or at several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from labutils.data.canvases import BACKGROUND
from labutils.fcn.networks import DenseNetwork
from labutils.training.evaluation import predict
from labutils.training.execution import Execution

MAX_OVERLAP = 0.3  # intersection over union of two boxes that may both be digits
PREDICT_BATCH = 50  # canvases at a time


@dataclass(frozen=True)
class Detections:
    """What was found in one image, as `find_digits` returns it from left to right.

    Attributes:
        boxes: left, top, right and bottom edge in pixels.
        labels: the digits.
        scores: in [0, 1], the mean probability of its digit over the pixels of each.
    """

    boxes: Float[Tensor, "n 4"]
    labels: Int64[Tensor, " n"]
    scores: Float[Tensor, " n"]

    @classmethod
    def of(
        cls, boxes: Sequence[Sequence[float]], labels: Sequence[int], scores: Sequence[float]
    ) -> Detections:
        """Detections from lists, which may be empty."""
        return cls(
            torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
            torch.tensor(labels, dtype=torch.int64),
            torch.tensor(scores, dtype=torch.float32),
        )

    @classmethod
    def together(cls, parts: Sequence[Detections]) -> Detections:
        """All those of several, of which there is at least one."""
        columns = ([getattr(part, field.name) for part in parts] for field in fields(cls))
        return cls(*map(torch.cat, columns))

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[tuple[list[float], int, float]]:
        """Box, label and score of each."""
        columns = (self.boxes.tolist(), self.labels.tolist(), self.scores.tolist())
        return zip(*columns, strict=True)

    @property
    def text(self) -> str:
        """The digits as they are read, from left to right."""
        return "".join(str(label) for label in self.labels.tolist())

    def above(self, score: float) -> Detections:
        """Those with at least this score."""
        return self.take(self.scores >= score)

    def take(self, chosen: Shaped[Tensor, " _"]) -> Detections:
        """Those chosen by index or mask."""
        return Detections(self.boxes[chosen], self.labels[chosen], self.scores[chosen])


def pixel_probabilities(
    network: DenseNetwork,
    images: Shaped[Tensor, "n 1 height width"],
    execution: Execution | None = None,
) -> Float[Tensor, "n classes height width"]:
    """Probability of each class for each pixel, in eval mode, on the CPU."""
    return predict(network, images, execution, PREDICT_BATCH)


def find_digits(
    probability: Float[Tensor, "classes height width"],
    *,
    min_area: int = 8,
    min_side: int = 10,
    fragment: float = 0.25,
    max_overlap: float = MAX_OVERLAP,
) -> Detections:
    """Boxes around the connected parts of the map of the most probable classes.

    Pixels of any digit that hang together are a blob. Where one class holds nearly all of it, the
    blob is one digit, of the class with the highest mean probability; where several hold large
    connected parts, each part is a digit, as where two digits touch.

    Args:
        min_area: in pixels; smaller blobs and parts are left out.
        min_side: in pixels; of boxes the longer side of which is shorter the same. Digits of
            MNIST are at least 13 pixels long at scale 0.7.
        fragment: a part with a smaller share of the pixels of its blob's largest is no digit.
        max_overlap: of two boxes whose intersection over union is larger the one with the lower
            score is dropped (torchvision's non-maximum suppression).
    """
    classes = probability.numpy().argmax(0)  # four times as fast as PyTorch's
    digits = probability[:BACKGROUND].numpy()
    rows: list[tuple[tuple[int, int, int, int], int, float]] = []
    for blob in _components(classes != BACKGROUND, min_area):
        inside = np.where(blob.mask, classes[blob.window], BACKGROUND)
        parts = [
            (int(label), part)
            for label in np.unique(inside[blob.mask])
            for part in _components(inside == label, min_area)
        ]
        largest = max((part.area for _, part in parts), default=0)
        parts = [(label, part) for label, part in parts if part.area >= fragment * largest]
        if len(parts) < 2:
            means = digits[:, *blob.window][:, blob.mask].mean(1)
            rows.append((blob.box, int(means.argmax()), float(means.max())))
            continue
        left, top = blob.box[:2]
        for label, part in parts:
            seen = digits[label][blob.window][part.window][part.mask]
            moved = tuple(np.add(part.box, (left, top, left, top)).tolist())
            rows.append((moved, label, float(seen.mean())))
    rows = [row for row in rows if max(np.subtract(row[0][2:], row[0][:2])) >= min_side]
    boxes, labels, scores = zip(*rows, strict=True) if rows else ((), (), ())
    found = Detections.of(boxes, labels, scores)
    return suppress(found, max_overlap)


class _Component(NamedTuple):
    """Connected pixels: their box, its window into the map, and which pixels of it are theirs."""

    box: tuple[int, int, int, int]
    window: tuple[slice, slice]
    mask: np.ndarray
    area: int


def _components(mask: np.ndarray, min_area: int) -> list[_Component]:
    """Parts of a mask that hang together, corners included, of at least so many pixels."""
    count, parts, statistics, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=8
    )
    found = []
    for number in range(1, count):  # the first is all else
        left, top, width, height, area = statistics[number].tolist()
        if area >= min_area:
            window = slice(top, top + height), slice(left, left + width)
            box = (left, top, left + width, top + height)
            found.append(_Component(box, window, parts[window] == number, area))
    return found


def suppress(found: Detections, max_overlap: float = MAX_OVERLAP) -> Detections:
    """Without the boxes that overlap one of a higher score by more; from left to right."""
    from torchvision.ops import nms  # 2 s to import

    kept = nms(found.boxes, found.scores, max_overlap)
    return found.take(kept[found.boxes[kept, 0].argsort(stable=True)])


def detect(
    network: DenseNetwork,
    images: Shaped[Tensor, "n 1 height width"],
    execution: Execution | None = None,
) -> list[Detections]:
    """What `find_digits` finds in each image."""
    return [find_digits(one) for one in pixel_probabilities(network, images, execution)]
