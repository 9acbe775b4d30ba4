"""Canvases without any digit: blank, noise, strokes, and fragments of letters."""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

LETTERS = "ABCDEFGHJKLMNPQRTUVWXYabdefhkmnrtwy"  # no O, I, l, S, Z, g, q: they look like digits
FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
)
# The smallest digits, of scale 0.7, are 14 pixels high: what is shorter is none of them.
FRAGMENT = 9  # side in pixels of what is seen of a letter
SHORT = 9  # pixels, the longest stroke that does not cross the canvas


def draw_clutter(
    kind: str, count: int, size: tuple[int, int], *, seed: int
) -> UInt8[Tensor, "count 1 height width"]:
    """Digit-free canvases of one kind, light on black, drawn from a seed.

    `blank` is black. `noise` is a grey value a pixel, up to a brightness drawn for each canvas,
    half of them blurred. `strokes` are one to four, one to three pixels wide: bent ones of at most
    9 pixels, and straight ones from edge to edge. `letters` are one to four pieces of 9x9 pixels
    cut from letters of five fonts. What is as long as a digit of scale 0.7 crosses the canvas.

    Raises:
        ValueError: there is no such kind; the message lists them.
    """
    if kind not in CLUTTER:
        raise ValueError(f"no clutter {kind!r}: choose one of {', '.join(CLUTTER)}")
    random = np.random.default_rng([seed, list(CLUTTER).index(kind)])
    canvases = np.zeros((count, *size), np.uint8)
    for canvas in canvases:
        CLUTTER[kind](canvas, random)
    return torch.from_numpy(canvases)[:, None]


def put_clutter_behind(
    images: UInt8[Tensor, "n 1 height width"],
    digit: Bool[Tensor, "n 1 height width"],
    share: float,
    seed: int,
    generator: torch.Generator,
) -> UInt8[Tensor, "n 1 height width"]:
    """Canvases with clutter on a share of them; where a `digit` is the pixels stay as they are."""
    kinds = [kind for kind in CLUTTER if kind != "blank"]
    chosen = torch.randperm(len(images), generator=generator)[: round(share * len(images))]
    images = images.clone()
    for kind, part in zip(kinds, chosen.tensor_split(len(kinds)), strict=True):
        behind = draw_clutter(kind, len(part), tuple(images.shape[2:]), seed=seed)
        images[part] = torch.where(digit[part], images[part], torch.maximum(images[part], behind))
    return images


def _blank(canvas: np.ndarray, random: np.random.Generator) -> None:
    pass


def _noise(canvas: np.ndarray, random: np.random.Generator) -> None:
    canvas[:] = random.integers(0, random.integers(30, 256), canvas.shape, dtype=np.uint8)
    if random.random() < 0.5:
        canvas[:] = cv2.GaussianBlur(canvas, (0, 0), random.uniform(0.5, 2.0))


def _strokes(canvas: np.ndarray, random: np.random.Generator) -> None:
    """Strokes too short for a digit, and lines from edge to edge: anything between may be a 1."""
    height, width = canvas.shape
    for _ in range(random.integers(1, 5)):
        angle = random.uniform(0, 2 * np.pi)
        start = random.uniform((0, 0), (width, height))
        if random.random() < 0.5:
            bend = random.uniform(-1.5, 1.5)
            directions = angle + bend * np.linspace(0, 1, 8)
            length = random.uniform(3, SHORT)
            moves = length / 8 * np.stack([np.cos(directions), np.sin(directions)], 1)
            points = start + np.cumsum(moves, 0)
        else:
            far = (width + height) * np.array([np.cos(angle), np.sin(angle)])
            points = np.stack([start - far, start + far])
        color = int(random.integers(120, 256))
        at = np.round(points).astype(np.int32)
        cv2.polylines(canvas, [at], False, color, int(random.integers(1, 4)), cv2.LINE_AA)


def _letters(canvas: np.ndarray, random: np.random.Generator) -> None:
    height, width = canvas.shape
    for _ in range(random.integers(1, 5)):
        piece = _fragment(random)
        top = random.integers(0, max(height - FRAGMENT, 0) + 1)
        left = random.integers(0, max(width - FRAGMENT, 0) + 1)
        place = canvas[top : top + FRAGMENT, left : left + FRAGMENT]
        np.maximum(place, piece[: place.shape[0], : place.shape[1]], out=place)


def _fragment(random: np.random.Generator) -> np.ndarray:
    """A piece of a letter with at least a few light pixels."""
    letter, font = random.choice(list(LETTERS)), int(random.choice(FONTS))
    sheet = np.zeros((40, 40), np.uint8)
    thickness = int(random.integers(1, 4))
    cv2.putText(sheet, letter, (6, 32), font, 1.0, 255, thickness, cv2.LINE_AA)
    rows, columns = sheet.nonzero()
    at = random.integers(len(rows))  # some light pixel is in the piece
    top = np.clip(rows[at] - random.integers(FRAGMENT), 0, 40 - FRAGMENT)
    left = np.clip(columns[at] - random.integers(FRAGMENT), 0, 40 - FRAGMENT)
    piece = sheet[top : top + FRAGMENT, left : left + FRAGMENT]
    return (piece * random.uniform(0.6, 1.0)).astype(np.uint8)


CLUTTER: dict[str, Callable[[np.ndarray, np.random.Generator], None]] = {
    "blank": _blank,
    "noise": _noise,
    "strokes": _strokes,
    "letters": _letters,
}
