"""From scores a pixel to boxes with a digit and a score."""

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

Pictures = Shaped[Tensor, "n 1 height width"]
Probabilities = Float[Tensor, "n classes height width"]


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
        return "".join(map(str, self.labels.tolist()))

    def above(self, score: float) -> Detections:
        """Those with at least this score."""
        return self.take(self.scores >= score)

    def take(self, chosen: Shaped[Tensor, " _"]) -> Detections:
        """Those chosen by index or mask."""
        return Detections(self.boxes[chosen], self.labels[chosen], self.scores[chosen])


def pixel_probabilities(
    network: DenseNetwork, images: Pictures, execution: Execution | None = None
) -> Probabilities:
    """Probability of each class for each pixel, in eval mode, on the CPU."""
    return predict(network, images, execution, PREDICT_BATCH)


def find_digits(
    probability: Float[Tensor, "classes height width"],
    *,
    min_area: int = 8,
    min_side: int = 10,
    fragment: float = 0.25,
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
    """
    classes = probability.numpy().argmax(0)  # four times as fast as PyTorch's
    digits = probability[:BACKGROUND].numpy()
    found = []
    for blob in components(classes != BACKGROUND, min_area):
        inside = np.where(blob.mask, classes[blob.window], BACKGROUND)
        parts = [
            (part, int(label))
            for label in np.unique(inside[blob.mask])
            for part in components(inside == label, min_area, *blob.box[:2])
        ]
        largest = max((part.area for part, _ in parts), default=0)
        parts = [(part, label) for part, label in parts if part.area >= fragment * largest]
        if len(parts) < 2:
            means = digits[:, *blob.window][:, blob.mask].mean(1)
            found.append((blob.box, int(means.argmax()), float(means.max())))
            continue
        for part, label in parts:
            score = digits[label][part.window][part.mask].mean()
            found.append((part.box, label, float(score)))
    found = [row for row in found if max(np.subtract(row[0][2:], row[0][:2])) >= min_side]
    return suppress(Detections.of(*zip(*found, strict=True) if found else ([], [], [])))


class Component(NamedTuple):
    """Connected pixels: their box, its window into the map, and which pixels of it are theirs."""

    box: tuple[int, int, int, int]
    window: tuple[slice, slice]
    mask: np.ndarray
    area: int


def components(mask: np.ndarray, min_area: int, x: int = 0, y: int = 0) -> Iterator[Component]:
    """Parts of a mask that hang together, corners included; `x` and `y`: where the mask begins."""
    mask = mask.astype(np.uint8)
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    for number, (left, top, width, height, area) in enumerate(statistics.tolist()):
        if number > 0 and area >= min_area:  # the first is all else
            own = parts[top : top + height, left : left + width] == number
            box = (x + left, y + top, x + left + width, y + top + height)
            yield Component(box, (slice(box[1], box[3]), slice(box[0], box[2])), own, area)


def suppress(found: Detections, max_overlap: float = MAX_OVERLAP) -> Detections:
    """Without the boxes that overlap one of a higher score by more; from left to right.

    By intersection over union: torchvision's non-maximum suppression.
    """
    from torchvision.ops import nms  # 2 s to import

    kept = nms(found.boxes, found.scores, max_overlap)
    return found.take(kept[found.boxes[kept, 0].argsort(stable=True)])


def detect(
    network: DenseNetwork, images: Pictures, execution: Execution | None = None
) -> list[Detections]:
    """What `find_digits` finds in each image."""
    return [find_digits(one) for one in pixel_probabilities(network, images, execution)]
