"""How good the pixels of a detector are: classes, outlines, and where the surest pixel lies."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from labutils.data.canvases import BACKGROUND, Canvases
from labutils.fcn.detection import Probabilities

BIN = 2  # pixels of distance


class Pointing(NamedTuple):
    """Of canvases with one digit, shares in [0, 1] by their most probable digit pixel."""

    right: float  # it lies in the digit's box and names it
    in_box: float  # it lies there, whatever it names


def pointing(probability: Probabilities, canvases: Canvases) -> Pointing:
    """Where the most probable digit pixel of each canvas lies, and whether it names the digit."""
    digits = probability[:, :BACKGROUND]
    places = digits.flatten(1).argmax(1)
    label, row, column = torch.unravel_index(places, digits.shape[1:])
    left, top, right, bottom = canvases.boxes[:, 0].unbind(1)
    inside = (column >= left) & (column < right) & (row >= top) & (row < bottom)
    right = inside & (label == canvases.labels[:, 0])
    return Pointing(right.sum().item() / len(canvases), inside.sum().item() / len(canvases))


def background_accuracy(canvases: Canvases) -> float:
    """Share of pixels that are right if all are called background."""
    return (canvases.classes == BACKGROUND).float().mean().item()


def pixel_confusion(
    scores: Float[Tensor, "some classes height width"], labels: Int64[Tensor, "some height width"]
) -> Int64[Tensor, "11 11"]:
    """Pixels by their class (rows) and by the class with the highest score (columns).

    Background is among the classes, also of a network that never answers it.
    """
    classes = BACKGROUND + 1
    pairs = labels * classes + scores.argmax(1)
    return torch.bincount(pairs.flatten(), minlength=classes**2).view(classes, classes)


def pixel_accuracy(confusion: Int64[Tensor, "classes classes"]) -> float:
    """Share of pixels that are right, in [0, 1]."""
    return (confusion.diagonal().sum() / confusion.sum()).item()


def mean_iou(confusion: Int64[Tensor, "classes classes"]) -> float:
    """Mean over the classes that occur of intersection over union, in [0, 1]."""
    inter = confusion.diagonal().double()
    union = confusion.sum(0) + confusion.sum(1) - confusion.diagonal()
    return (inter / union)[confusion.sum(1) > 0].mean().item()


def accuracy_by_distance(
    probability: Probabilities, canvases: Canvases, fewest: int = 1
) -> tuple[list[float], list[float]]:
    """How far from the middle of its box a digit's pixels are named, on canvases of one digit.

    Returns:
        Distances in pixels, the middles of bins of `BIN`, and in each bin the share in [0, 1] of
        the digits' own pixels whose most probable class is the digit. Bins with fewer than
        `fewest` such pixels are left out.
    """
    height, width = probability.shape[2:]
    left, top, right, bottom = canvases.boxes[:, 0].unbind(1)
    across = torch.arange(width) + 0.5 - ((left + right) / 2)[:, None]
    down = torch.arange(height) + 0.5 - ((top + bottom) / 2)[:, None]
    distance = torch.hypot(down[:, :, None], across[:, None, :])
    label = canvases.labels[:, :1, None]
    own, named = canvases.classes == label, probability.argmax(1) == label
    bins = (distance / BIN).long()[own]
    counts, rights = torch.bincount(bins), torch.bincount(bins, named[own].double())
    there = counts >= max(fewest, 1)
    middles = BIN * (torch.arange(len(counts)) + 0.5)
    return middles[there].tolist(), (rights[there] / counts[there]).tolist()
