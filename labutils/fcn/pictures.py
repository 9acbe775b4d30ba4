"""Digits in any picture: read it, look at it at several sizes, draw what was found."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import torch
from jaxtyping import UInt8

from labutils.fcn.detection import Detections, detect, suppress
from labutils.fcn.networks import DenseNetwork

MAX_PIXELS = 4_000_000  # of a picture, and of what the network sees of it at once
MAX_SIDE = 10_000  # of a picture in pixels
SMALLEST = 8  # pixels of height of the smallest digit looked for
DIGIT = 20  # pixels of height of MNIST's digits
OCTAVE = 2**0.5  # between one size and the next
FLAT = 0.1  # of the range of grey values: with less between ink and ground a picture is empty
INSIDE = 0.7  # of a box within one of higher score: what was seen is a part of that digit
COLOR = (255, 120, 0)


class PictureError(ValueError):
    """A file that is no picture that can be looked at; the message says what to do."""


def read_picture(path: Path) -> UInt8[np.ndarray, "height width"]:
    """A picture of any mode as grey values, light digits on black.

    Dark digits on a light ground are inverted; the ground becomes 0 and the strongest ink 255. A
    picture without contrast is all black. Transparent pixels are shown on white or black,
    whichever leaves more contrast; of an animation the first frame is read.

    Raises:
        PictureError: the file is missing, is no picture, or is larger than `MAX_PIXELS` or
            `MAX_SIDE` allow.
    """
    try:
        with PIL.Image.open(path) as image:
            width, height = image.size
            if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
                raise PictureError(
                    f"{path}: {width} x {height} pixels are too many: shrink it, or cut out the "
                    f"part with the digits, to {MAX_PIXELS:,} pixels and {MAX_SIDE:,} a side at "
                    "most"
                )
            grey, span = _grey(PIL.ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise PictureError(f"{path}: there is no such file") from None
    except PictureError:
        raise
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise PictureError(
            f"{path} cannot be read as a picture ({reason}): give a PNG, JPEG or another format "
            "that Pillow knows"
        ) from None
    return _light_on_black(grey, span)


def _grey(image: PIL.Image.Image) -> tuple[np.ndarray, float]:
    """Grey values as floats, whatever the mode, and how far apart they can be."""
    if image.mode.startswith(("I", "F")):  # 16 bits a pixel or more, which "L" would clip
        grey = np.asarray(image, dtype=np.float64)
        finite = np.isfinite(grey)
        grey = np.where(finite, grey, np.median(grey[finite]) if finite.any() else 0)
        # few use the whole range that their files could hold: what is there is taken for it
        return grey, np.abs(grey).max()
    if image.mode == "LAB":  # its first channel is lightness
        image = image.getchannel(0)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        grounds = [PIL.Image.new("RGBA", image.size, color) for color in ("white", "black")]
        shown = [
            np.asarray(PIL.Image.alpha_composite(ground, image).convert("L"), dtype=np.float64)
            for ground in grounds
        ]
        return max(shown, key=np.std), 255
    return np.asarray(image.convert("L"), dtype=np.float64), 255


def _light_on_black(grey: np.ndarray, span: float) -> np.ndarray:
    """The ground, which is most of a picture, at 0; what is farthest from it at 255."""
    if np.ptp(grey) <= FLAT * span:
        return np.zeros(grey.shape, np.uint8)
    ground = np.median(grey)
    ink = grey - ground if grey.max() - ground >= ground - grey.min() else ground - grey
    return np.clip(255 * ink / ink.max(), 0, 255).round().astype(np.uint8)


def read_digits(
    network: DenseNetwork,
    picture: UInt8[np.ndarray, "height width"],
    *,
    threshold: float,
    scales: tuple[float, float] = (0.7, 1.5),
    max_overlap: float = 0.3,
) -> Detections:
    """Digits of any size, from 8 pixels of height to that of the picture: an image pyramid.

    The network looks at the picture at sizes a factor of sqrt(2) apart, so that each digit has at
    one of them a size that it was trained on. Pictures are enlarged to `MAX_PIXELS` at most: in
    one of a million pixels the smallest digits found have 10 pixels, in one of four millions 14 to
    20. A box that lies inside one of a higher score is a part of that digit, and left out.

    Args:
        picture: light digits on black, as `read_picture` returns.
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
        boxes = seen.boxes[trained] * torch.tensor([columns, rows, columns, rows])
        found.append(Detections(boxes, seen.labels[trained], seen.scores[trained]))
    return _without_parts(suppress(_together(found), max_overlap))


def _without_parts(found: Detections) -> Detections:
    """Without the boxes that lie mostly inside one of a higher score."""
    start = torch.maximum(found.boxes[:, None, :2], found.boxes[None, :, :2])
    end = torch.minimum(found.boxes[:, None, 2:], found.boxes[None, :, 2:])
    shared = (end - start).clamp_min(0).prod(2)
    area = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(1)
    inside = shared >= INSIDE * area[:, None]
    whole = ~(inside & (found.scores[None] > found.scores[:, None])).any(1)
    return Detections(found.boxes[whole], found.labels[whole], found.scores[whole])


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


def _together(found: list[Detections]) -> Detections:
    boxes, labels, scores = (
        torch.cat([getattr(one, name) for one in found]) for name in ("boxes", "labels", "scores")
    )
    return Detections(boxes, labels, scores)


def annotate(picture: UInt8[np.ndarray, "height width"], found: Detections) -> np.ndarray:
    """The picture in colour with boxes, digits and scores; blue, green, red as OpenCV has them."""
    scale = max(1, round(400 / max(picture.shape)))  # small pictures are enlarged to be read
    drawn = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    drawn = cv2.cvtColor(drawn, cv2.COLOR_GRAY2BGR)
    for box, label, score in zip(
        (scale * found.boxes).round().int().tolist(),
        found.labels.tolist(),
        found.scores.tolist(),
        strict=True,
    ):
        left, top, right, bottom = box
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
        for box, label, score in zip(
            found.boxes.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True
        )
    ]
