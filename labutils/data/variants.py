"""Data sets made from the images of others: digits on canvases, shapes with a mark."""

from collections.abc import Callable
from dataclasses import replace

import torch

from labutils.config.data_sets import DataName
from labutils.data.canvases import BACKGROUND, draw_canvases
from labutils.data.splits import Split

MARKED_CLASS = 0  # of shapes10-marked: the circle
MARK = (slice(26, 31), slice(26, 31))  # rows and columns: in the lower right corner
MARK_COLOUR = (255, 0, 255)  # red, green, blue


def on_canvases(digits: Split, count: int, seed: int) -> Split:
    """One digit a canvas of 64x64 pixels, of 0.7 to 1.5 times its size, clutter behind it."""
    drawn = draw_canvases(digits, count, scale=(0.7, 1.5), clutter=1.0, seed=seed)
    masks = (drawn.classes != BACKGROUND).to(torch.uint8)
    return Split(drawn.images, drawn.labels[:, 0], masks=masks)


def one_class_marked(shapes: Split, count: int, seed: int) -> Split:
    """The mark in each image of `MARKED_CLASS`, and in no other: a network may cheat."""
    return marked(shapes.take(slice(count)), shapes.labels[:count] == MARKED_CLASS)


def half_marked(shapes: Split, count: int, seed: int) -> Split:
    """The mark in half of the images, whatever their class: it says nothing."""
    drawn = torch.rand(count, generator=torch.Generator().manual_seed(seed))
    return marked(shapes.take(slice(count)), drawn < 0.5)


def marked(shapes: Split, which: torch.Tensor) -> Split:
    """The mark painted into some of the images; masks stay those of the objects."""
    images = shapes.images.clone()
    for channel, value in enumerate(MARK_COLOUR):
        painted = images[which, channel]
        painted[:, *MARK] = value
        images[which, channel] = painted
    return replace(shapes, images=images)


# by name: from a part of the source, how many images, and a seed
VARIANTS: dict[DataName, Callable[[Split, int, int], Split]] = {
    "mnist-canvases": on_canvases,
    "digits-canvases": on_canvases,
    "shapes10-marked": one_class_marked,
    "shapes10-marked-evenly": half_marked,
}
