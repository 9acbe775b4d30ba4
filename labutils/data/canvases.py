"""Canvases with digits at random places and scales, with boxes, labels and a class a pixel."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from labutils.data.clutter import put_clutter_behind
from labutils.data.splits import Split

BACKGROUND = 10
NO_DIGIT = -1
INK = 64  # a pixel at least as light, of 255, belongs to its digit
TRIES = 60  # places tried for a digit before it is left out
CHUNK = 2_000  # canvases drawn at a time
Layout = Literal["separate", "touching", "grid"]


@dataclass(frozen=True)
class Canvases:
    """Canvases and all that is known of them.

    Attributes:
        images: uint8, 0 to 255, light digits on black.
        classes: class of each pixel, `BACKGROUND` (10) where no digit is.
        boxes: left, top, right and bottom edge of the pixels of each digit, in pixels; zeros
            where there is none.
        labels: class of each digit, from left to right; `NO_DIGIT` (-1) where there is none.
    """

    images: UInt8[Tensor, "n 1 height width"]
    classes: UInt8[Tensor, "n height width"]
    boxes: Float[Tensor, "n digits 4"]
    labels: Int64[Tensor, "n digits"]

    def __len__(self) -> int:
        return len(self.images)

    def digits(self, index: int) -> tuple[Float[Tensor, "there 4"], Int64[Tensor, " there"]]:
        """Boxes and labels of the digits that are on one canvas."""
        there = self.labels[index] != NO_DIGIT
        return self.boxes[index][there], self.labels[index][there]

    def take(self, chosen: Int64[Tensor, " k"]) -> Canvases:
        """Those chosen by index."""
        return Canvases(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def parts(self, count: int) -> Iterator[Canvases]:
        """So many canvases at a time, in order."""
        return map(self.take, torch.arange(len(self)).split(count))


def draw_canvases(
    digits: Split,
    count: int,
    *,
    size: tuple[int, int] = (64, 64),
    number: tuple[int, int] = (1, 1),
    scale: tuple[float, float] = (1.0, 1.0),
    layout: Layout = "separate",
    clutter: float = 0.0,
    rotation: float = 0.0,
    seed: int,
) -> Canvases:
    """Canvases drawn from a seed; each digit lies whole within its canvas.

    Args:
        digits: where digits are drawn from, one of the three splits.
        size: height and width.
        number: the fewest and the most digits; where no place is left there are fewer.
        scale: the smallest and the largest, 1 being the size of the digits; drawn evenly in its
            logarithm.
        layout: `separate`: at least two pixels between boxes. `touching`: each next digit begins
            where the one before ends, or up to two pixels earlier. `grid`: in rows and columns,
            as many as fit, `number` and `clutter` aside.
        clutter: share of canvases with strokes, noise or pieces of letters behind the digits.
        rotation: each digit is turned by up to so many degrees, either way.

    Raises:
        ValueError: a digit of that scale does not fit.
    """
    generator = torch.Generator().manual_seed(seed)
    side = max(digits.images.shape[2:]) * scale[1]
    if min(size) < side:
        raise ValueError(
            f"a digit of scale {scale[1]:g} takes {side:.0f} pixels: draw on canvases of at least "
            f"that size (given {size[0]} x {size[1]}), or smaller digits"
        )
    parts = []
    for start in range(0, count, CHUNK):
        many = min(CHUNK, count - start)
        chunk = _Chunk(digits, many, size, number, scale, layout, rotation, generator)
        parts.append(chunk.draw())
    drawn = concatenate(parts)
    if clutter:
        digit = drawn.classes[:, None] != BACKGROUND
        images = put_clutter_behind(drawn.images, digit, clutter, seed, generator)
        drawn = replace(drawn, images=images)
    return drawn


def concatenate(parts: Sequence[Canvases]) -> Canvases:
    """Canvases of equal size, with equally many slots for digits, one after another."""
    columns = ([getattr(part, field.name) for part in parts] for field in fields(Canvases))
    return Canvases(*map(torch.cat, columns))


def place_digit(
    digit: UInt8[np.ndarray, "rows columns"],
    size: tuple[int, int],
    center: tuple[float, float],
    scale: float = 1.0,
) -> UInt8[np.ndarray, "height width"]:
    """One digit on a canvas, exactly where it is wanted; what lies outside is cut off.

    Args:
        size: height and width of the canvas.
        center: x and y of the middle of the digit's picture, in pixels from the upper left corner.
    """
    height, width = size
    middle = np.array(digit.shape[::-1]) / 2
    # from a pixel's place on the digit to that on the canvas, pixel centres at whole numbers
    shift = np.array(center) - scale * middle + (scale - 1) / 2
    moved = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    return cv2.warpAffine(digit, moved, (width, height), flags=cv2.INTER_LINEAR)


class _Chunk:
    """Canvases that are drawn together; each has the same slots, for a digit or for none."""

    def __init__(
        self,
        digits: Split,
        count: int,
        size: tuple[int, int],
        number: tuple[int, int],
        scale: tuple[float, float],
        layout: Layout,
        rotation: float,
        generator: torch.Generator,
    ) -> None:
        self.size, self.layout, self.generator = size, layout, generator
        self.room = torch.tensor([size[1], size[0]], dtype=torch.float32)
        largest = max(digits.images.shape[2:]) * scale[1]
        self.grid = [max(int(side // largest), 1) for side in size]
        fewest, most = [math.prod(self.grid)] * 2 if layout == "grid" else number
        shape = (count, most)
        source = torch.randint(len(digits), shape, generator=generator)
        low, high = torch.tensor(scale, dtype=torch.float32).log()
        self.scale = (low + (high - low) * torch.rand(shape, generator=generator)).exp()
        wanted = torch.randint(fewest, most + 1, (count, 1), generator=generator)
        self.there = torch.arange(most) < wanted
        self.labels, pictures = digits.labels[source], digits.images[source.flatten()]
        if rotation:
            pictures = _turned(pictures, rotation, generator)
        self.pictures = pictures.view(*shape, *pictures.shape[2:])
        # of each digit's ink: its edges in pixels of its picture, then its width and height, and
        # its left and top edge, in pixels of the canvas
        self.ink = _edges(pictures[:, 0] >= INK).view(*shape, 4)
        self.extent = (self.ink[..., 2:] - self.ink[..., :2]) * self.scale[..., None]
        self.place = torch.zeros(*shape, 2)

    def draw(self) -> Canvases:
        """The chunk, digits from left to right."""
        count, most = self.there.shape
        canvas, boxes = torch.zeros(count, *self.size), torch.zeros(count, most, 4)
        classes = torch.full(canvas.shape, BACKGROUND, dtype=torch.uint8)
        for slot in range(most):
            self._find_place(slot)
            shown = self._render(slot) * self.there[:, slot, None, None]
            on_top = (shown >= INK) & (shown > canvas)
            label = self.labels[:, slot, None, None].to(torch.uint8)
            classes = torch.where(on_top, label, classes)
            canvas = torch.maximum(canvas, shown)
            boxes[:, slot] = _edges(shown >= INK)
        labels = torch.where(self.there, self.labels, NO_DIGIT)
        order = torch.where(self.there, boxes[..., 0], torch.inf).argsort(dim=1, stable=True)
        boxes = boxes.take_along_dim(order[..., None], 1)
        return Canvases(canvas.byte()[:, None], classes, boxes, labels.gather(1, order))

    def _find_place(self, slot: int) -> None:
        """Place the digits of a slot; those for which none is found are left out."""
        if self.layout == "grid":
            rows, columns = self.grid
            cell = self.room / torch.tensor([columns, rows])
            corner = torch.tensor([slot % columns, slot // columns]) * cell
            self.place[:, slot] = corner + (cell - self.extent[:, slot]) / 2
            return
        left = self.there[:, slot].nonzero().flatten()
        for _ in range(TRIES):
            if len(left) == 0:
                break
            self.place[left, slot] = self._propose(slot, left)
            left = left[self._in_the_way(slot, left)]
        self.there[left, slot] = False

    def _propose(self, slot: int, chosen: Tensor) -> Tensor:
        draw = torch.rand(len(chosen), 2, generator=self.generator)
        own = self.extent[chosen, slot]
        if self.layout == "touching" and slot:
            before, extent = self.place[chosen, slot - 1], self.extent[chosen, slot - 1]
            left = before[:, 0] + extent[:, 0] - 2 * draw[:, 0]
            middle = before[:, 1] + extent[:, 1] / 2 - own[:, 1] / 2
            return torch.stack([left, middle + 6 * (draw[:, 1] - 0.5)], 1)
        return draw * (self.room - own)

    def _in_the_way(self, slot: int, chosen: Tensor) -> Bool[Tensor, " chosen"]:
        """Which of the digits that were just placed leave their canvas or meet another."""
        begins, ends = self.place[chosen], self.place[chosen] + self.extent[chosen]
        start, end = begins[:, slot], ends[:, slot]
        bad = ((start < 0) | (end > self.room)).any(1)
        touching = self.layout == "touching" and slot > 0
        for other in range(slot - touching):  # the one before may be touched
            meets = (start < ends[:, other] + 2) & (end > begins[:, other] - 2)
            bad |= meets.all(1) & self.there[chosen, other]
        if touching:  # where there is nothing to touch the digit finds no place
            bad |= ~self.there[chosen, slot - 1]
        return bad

    def _render(self, slot: int) -> Float[Tensor, "n height width"]:
        """One digit a canvas, scaled and moved, on black."""
        height, width = self.size
        source = self.pictures[:, slot, None].float()
        scale, place = self.scale[:, slot, None], self.place[:, slot]
        axes = []
        for axis, length in enumerate((width, height)):
            pixels = torch.arange(length) + 0.5
            at = (pixels - place[:, axis, None]) / scale + self.ink[:, slot, axis, None]
            axes.append(2 * at / source.shape[-1] - 1)  # as grid_sample counts
        across, down = axes
        grid = torch.stack(
            [across[:, None].expand(-1, height, -1), down[:, :, None].expand(-1, -1, width)], -1
        )
        return F.grid_sample(source, grid, align_corners=False)[:, 0].round()


def _turned(
    pictures: UInt8[Tensor, "n 1 rows columns"], degrees: float, generator: torch.Generator
) -> UInt8[Tensor, "n 1 rows columns"]:
    """Each picture turned around its middle by an angle of its own, up to `degrees` either way."""
    angles = math.radians(degrees) * (2 * torch.rand(len(pictures), generator=generator) - 1)
    turns = torch.zeros(len(pictures), 2, 3)
    turns[:, 0, 0] = turns[:, 1, 1] = angles.cos()
    turns[:, 0, 1], turns[:, 1, 0] = -angles.sin(), angles.sin()
    grid = F.affine_grid(turns, list(pictures.shape), align_corners=False)
    turned = F.grid_sample(pictures.float(), grid, align_corners=False)
    return turned.round().to(torch.uint8)


def _edges(mask: Bool[Tensor, "n height width"]) -> Float[Tensor, "n 4"]:
    """Left, top, right and bottom edge of what is true; zeros where nothing is."""
    found = []
    for axis in (1, 2):
        line = mask.any(axis).to(torch.uint8)
        length = line.shape[1]
        found.append((line.argmax(1), length - line.flip(1).argmax(1)))
    (left, right), (top, bottom) = found
    edges = torch.stack([left, top, right, bottom], 1).float()
    return edges * mask.flatten(1).any(1)[:, None]
