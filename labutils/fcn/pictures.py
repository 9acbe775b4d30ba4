"""Digits in any picture: look at it at several sizes, draw what was found."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from labutils.data.canvases import INK
from labutils.data.ink import Values, ink, on_black
from labutils.data.pictures import MAX_PIXELS, Grey, Picture
from labutils.fcn.detection import Detections, components, detect, suppress
from labutils.fcn.networks import DenseNetwork

SMALLEST, SMALLEST_OF_PAGES = 8, 10  # pixels of height of the smallest digit looked for
DIGIT = 20  # pixels of height of MNIST's digits
OCTAVE = 2**0.5  # between one size and the next
INSIDE = 0.7  # of a box within another: what was seen is a part of that digit
LARGER = 1.3  # times the area of its part: boxes of about one size are rivals
WIDEST, HIGHEST = 1.6, 8  # times its height, times its width: no digit's box is more
RING = 0  # what a frame looks like
# Of a frame's sides: what is empty around its digit, how far off the middle, how high it is.
CLEAR, MIDDLE, LEGIBLE = 0.08, 0.15, 0.25
TALL, GAP = 0.8, 0.2  # of a box around two digits: their height, what lies between them
GROUND = 17  # pixels of ground and ink that are compared, of digits of 14 to 30
MARGIN = 26  # pixels around ink that the network sees with it: half its receptive field
COLOR = (0, 120, 255)
FONT = (cv2.FONT_HERSHEY_SIMPLEX, 0.4)  # and its size
TRAINED = (0.7, 1.5)

Scales = tuple[float, float]


def read_digits(
    network: DenseNetwork, canvas: Grey, *, threshold: float, scales: Scales = TRAINED
) -> Detections:
    """Digits of any size on a canvas, light on black, from 8 pixels of height: an image pyramid.

    The network looks at the canvas at sizes a factor of sqrt(2) apart, so that each digit has at
    one of them a size that it was trained on. Canvases are enlarged to `MAX_PIXELS` at most. A box
    that lies inside one of a higher score is a part of that digit, and left out.

    Args:
        threshold: scores below it are left out; chosen on validation canvases.
        scales: the digits that the network was trained on, 1 being those of its data set.
    """

    def look(resized: Grey) -> Detections:
        return detect(network, torch.from_numpy(resized)[None, None])[0].above(threshold)

    enlarged = max(scales[0], scales[1] / OCTAVE) * DIGIT / SMALLEST
    found = suppress(_at_all_sizes(canvas, enlarged, scales, look))
    better = found.scores[None] > found.scores[:, None]
    return found.take(~(better & (_shares_inside(found) >= INSIDE)).any(1))


def read_page(
    network: DenseNetwork, picture: Picture, *, threshold: float, scales: Scales = TRAINED
) -> Detections:
    """Digits of any size in a photograph or scan, of any ink on any ground, as `read_digits` does.

    Ink is told from ground anew at each size, as high above its surroundings as a digit of that
    size is wide. The network looks only at where there is ink. The smallest digits are seen at the
    smallest size that it was trained on: 10 pixels of height in a picture of up to two million
    pixels, 14 in one of four million. Of boxes one inside another the outer one is the digit.
    """

    def look(resized: Values) -> Detections:
        return _where_ink_is(network, on_black(resized, GROUND)).above(threshold)

    enlarged = scales[0] * DIGIT / SMALLEST_OF_PAGES
    found = _at_all_sizes(ink(picture), enlarged, scales, look)
    width, height = (found.boxes[:, 2:] - found.boxes[:, :2]).T
    shaped = (width <= WIDEST * height) & (height <= HIGHEST * width)
    return suppress(whole_digits(found.take(shaped)))


def whole_digits(found: Detections) -> Detections:
    """Without parts of digits, which lie mostly inside a larger box, whatever their scores.

    Left out before are rings around the middle of which there is a digit, which are no 0 but a
    frame, and boxes around two digits side by side that are seen better.
    """
    if not len(found):
        return found
    start, end = found.boxes[:, :2], found.boxes[:, 2:]
    sides = end - start
    apart = torch.minimum(start[:, None] - start, end - end[:, None]) >= CLEAR * sides
    middle = ((start + end)[:, None] - (start + end)).abs() <= 2 * MIDDLE * sides
    legible = sides[:, None, 1] >= LEGIBLE * sides[:, 1]
    framed = (apart.all(2) & middle.all(2) & legible).any(0) & (found.labels == RING)
    better = (_shares_inside(found) >= INSIDE) & (found.scores[:, None] > found.scores)
    better &= sides[:, None, 1] >= TALL * sides[:, 1]
    last = torch.where(better, start[:, None, 0], -torch.inf).amax(0)
    first = torch.where(better, end[:, None, 0], torch.inf).amin(0)
    gap = (last - first) / sides[:, 0]
    found = found.take(~(framed | (gap.abs() <= GAP)))
    inside = _shares_inside(found)
    part = (inside >= INSIDE) & (inside >= LARGER * inside.T)
    return found.take(~part.any(1))


def _shares_inside(found: Detections) -> Float[Tensor, "n n"]:
    """Of each box the share that lies inside each of all."""
    start = torch.maximum(found.boxes[:, None, :2], found.boxes[None, :, :2])
    end = torch.minimum(found.boxes[:, None, 2:], found.boxes[None, :, 2:])
    shared = (end - start).clamp_min(0).prod(2)
    return shared / shared.diag()[:, None]


def _at_all_sizes(
    picture: np.ndarray, enlarged: float, scales: Scales, look: Callable[[np.ndarray], Detections]
) -> Detections:
    """What is seen at each size, from the enlarged picture down, of digits of trained scales."""
    found = []
    for factor in _factors(picture.shape, enlarged, scales[1] * DIGIT):
        rows, columns = (max(round(factor * side), 1) for side in picture.shape)
        way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        seen = look(cv2.resize(picture, (columns, rows), interpolation=way))
        height = seen.boxes[:, 3] - seen.boxes[:, 1]
        trained = (height >= scales[0] * DIGIT * 0.8) & (height <= scales[1] * DIGIT * 1.2)
        larger = torch.tensor([picture.shape[1] / columns, picture.shape[0] / rows]).repeat(2)
        found.append(replace(seen, boxes=seen.boxes * larger).take(trained))
    return Detections.together(found)


def _factors(shape: tuple[int, int], enlarged: float, last: float) -> list[float]:
    """Sizes to look at: from the largest down to one whose longer side has `last` pixels."""
    factors = [min(enlarged, (MAX_PIXELS / (shape[0] * shape[1])) ** 0.5)]
    while factors[-1] * max(shape) > last:
        factors.append(factors[-1] / OCTAVE)
    return factors


def _where_ink_is(network: DenseNetwork, picture: Grey) -> Detections:
    """What is seen in each part of a picture that holds ink, with the surroundings that count."""
    near = np.ones((2 * MARGIN + 1,) * 2, np.uint8)
    found = [Detections.of([], [], [])]
    for part in components(cv2.dilate(picture, near) >= INK, min_area=1):
        alone = torch.from_numpy(np.where(part.mask, picture[part.window], 0))
        seen = detect(network, alone[None, None])[0]
        corner = torch.tensor(part.box[:2]).repeat(2)
        found.append(replace(seen, boxes=seen.boxes + corner))
    return Detections.together(found)


def annotate(picture: Picture, found: Detections) -> np.ndarray:
    """The picture with boxes, digits and scores, which lie within it."""
    scale = max(1, round(400 / max(picture.shape)))  # small pictures are enlarged to be read
    drawn = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    for box, label, score in found:
        left, top, right, bottom = (round(scale * edge) for edge in box)
        cv2.rectangle(drawn, (left, top), (right - 1, bottom - 1), COLOR, 1)
        for text in (f"{label} {score:.2f}", str(label)):  # the shorter one in a narrow picture
            (width, height), _ = cv2.getTextSize(text, *FONT, 1)
            if width <= drawn.shape[1]:
                break
        left = max(min(left, drawn.shape[1] - width), 0)
        above = top - 3 if top >= height + 3 else min(bottom + height + 3, drawn.shape[0] - 1)
        cv2.putText(drawn, text, (left, above), *FONT, COLOR, 1, cv2.LINE_AA)
    return drawn


def as_json(found: Detections) -> list[dict[str, object]]:
    """Each digit with its box (left, top, right, bottom, in pixels) and score, left to right."""
    return [
        {"digit": label, "score": round(score, 4), "box": [round(edge, 1) for edge in box]}
        for box, label, score in found
    ]
