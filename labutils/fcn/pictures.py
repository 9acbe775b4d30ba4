"""Digits in any picture: look at it at several sizes, draw what was found."""

from dataclasses import replace

import cv2
import numpy as np
import torch
from jaxtyping import UInt8

from labutils.data.pictures import MAX_PIXELS
from labutils.fcn.detection import Detections, detect, suppress
from labutils.fcn.networks import DenseNetwork

SMALLEST = 8  # pixels of height of the smallest digit looked for
DIGIT = 20  # pixels of height of MNIST's digits
OCTAVE = 2**0.5  # between one size and the next
INSIDE = 0.7  # of a box within one of higher score: what was seen is a part of that digit
COLOR = (255, 120, 0)


def read_digits(
    network: DenseNetwork,
    picture: UInt8[np.ndarray, "height width"],
    *,
    threshold: float,
    scales: tuple[float, float] = (0.7, 1.5),
) -> Detections:
    """Digits of any size, from 8 pixels of height to that of the picture: an image pyramid.

    The network looks at the picture at sizes a factor of sqrt(2) apart, so that each digit has at
    one of them a size that it was trained on. Pictures are enlarged to `MAX_PIXELS` at most: in
    one of a million pixels the smallest digits found have 10 pixels, in one of four millions 14 to
    20. A box that lies inside one of a higher score is a part of that digit, and left out.

    Args:
        picture: light digits on black, as `light_on_black` returns.
        threshold: scores below it are left out; chosen on validation canvases.
        scales: the digits that the network was trained on, 1 being those of its data set.
    """
    found = []
    for factor in _factors(picture.shape, scales):
        size = [max(round(factor * side), 1) for side in picture.shape]
        shrinks = factor < 1
        resized = cv2.resize(
            picture, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )
        seen = detect(network, torch.from_numpy(resized)[None, None])[0].above(threshold)
        height = seen.boxes[:, 3] - seen.boxes[:, 1]
        trained = (height >= scales[0] * DIGIT * 0.8) & (height <= scales[1] * DIGIT * 1.2)
        rows, columns = (whole / part for whole, part in zip(picture.shape, size, strict=True))
        boxes = seen.boxes * torch.tensor([columns, rows, columns, rows])
        found.append(replace(seen, boxes=boxes).take(trained))
    columns = ("boxes", "labels", "scores")
    together = Detections(*(torch.cat([getattr(one, name) for one in found]) for name in columns))
    return _without_parts(suppress(together))


def _without_parts(found: Detections) -> Detections:
    """Without the boxes that lie mostly inside one of a higher score."""
    start = torch.maximum(found.boxes[:, None, :2], found.boxes[None, :, :2])
    end = torch.minimum(found.boxes[:, None, 2:], found.boxes[None, :, 2:])
    shared = (end - start).clamp_min(0).prod(2)
    area = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(1)
    inside = shared >= INSIDE * area[:, None]
    whole = ~(inside & (found.scores[None] > found.scores[:, None])).any(1)
    return found.take(whole)


def _factors(shape: tuple[int, int], scales: tuple[float, float]) -> list[float]:
    """Sizes to look at: from the smallest digit, enlarged, down to one as high as the picture."""
    enlarged = max(scales[0], scales[1] / OCTAVE) * DIGIT / SMALLEST
    factor = min(enlarged, (MAX_PIXELS / (shape[0] * shape[1])) ** 0.5)
    factors: list[float] = []
    while True:
        factors.append(factor)
        if factor * max(shape) <= scales[1] * DIGIT:
            return factors
        factor /= OCTAVE


def annotate(picture: UInt8[np.ndarray, "height width"], found: Detections) -> np.ndarray:
    """The picture in colour with boxes, digits and scores; blue, green, red as OpenCV has them."""
    scale = max(1, round(400 / max(picture.shape)))  # small pictures are enlarged to be read
    drawn = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    drawn = cv2.cvtColor(drawn, cv2.COLOR_GRAY2BGR)
    for box, label, score in found:
        left, top, right, bottom = (round(scale * edge) for edge in box)
        cv2.rectangle(drawn, (left, top), (right - 1, bottom - 1), COLOR, 1)
        place = (left, top - 3 if top > 14 else bottom + 12)
        cv2.putText(
            drawn, f"{label} {score:.2f}", place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, COLOR, 1,
            cv2.LINE_AA,
        )  # fmt: skip
    return drawn


def as_json(found: Detections) -> list[dict[str, object]]:
    """Each digit with its box (left, top, right, bottom, in pixels) and score, left to right."""
    return [
        {"digit": label, "score": round(score, 4), "box": [round(edge, 1) for edge in box]}
        for box, label, score in found
    ]
