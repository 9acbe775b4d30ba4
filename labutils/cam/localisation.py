"""Maps against masks: does a map point at the object, and how much of it lies inside?"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labutils.cam.layers import PixelMaps

Masks = Bool[Tensor, "batch height width"]
Scores = Float[Tensor, " batch"]

BORDER = 0.125  # of the sides of an image: an eighth at each edge


def pointing(maps: PixelMaps, masks: Masks) -> Scores:
    """1 where the map's maximum lies in the mask, else 0; a map that is nowhere positive is a miss.

    Where several pixels share the maximum, the share of them in the mask: what a random choice
    among them hits.

    Source: Zhang et al. 2016, "Top-down Neural Attention by Excitation Backprop", section 4.1, here
    without a tolerance around the object.
    """
    peak = maps.amax((1, 2), keepdim=True)
    best = maps == peak
    return (best & masks).sum((1, 2)) / best.sum((1, 2)) * (peak.flatten() > 0)


def boxes_of(masks: Masks) -> Masks:
    """The smallest box that holds each mask, filled."""
    rows, columns = (_from_first_to_last(masks.any(dim)) for dim in (2, 1))
    return rows[:, :, None] & columns[:, None]


def _from_first_to_last(line: Bool[Tensor, "batch side"]) -> Bool[Tensor, "batch side"]:
    begun = line.cumsum(1) > 0
    return begun & (line.flip(1).cumsum(1).flip(1) > 0)


def displacement(maps: PixelMaps, masks: Masks) -> Float[Tensor, "batch 2"]:
    """From the mask's centre of gravity to that of the map's positive values: down and right.

    In pixels. Nan for a map without positive values.
    """
    return _centre(maps.clamp_min(0)) - _centre(masks.float())


def _centre(weights: PixelMaps) -> Float[Tensor, "batch 2"]:
    total = weights.sum((1, 2))
    sides = weights.sum(2), weights.sum(1)
    return torch.stack([side @ torch.arange(side.shape[1]).to(side) / total for side in sides], 1)


def energy_inside(maps: PixelMaps, masks: Masks) -> Scores:
    """Share in [0, 1] of the map's positive values inside the mask; 0 for a map without any.

    Source: Wang et al. 2020, "Score-CAM", section 4.3 (energy-based pointing game).
    """
    return (_shares(maps) * masks).sum((1, 2))


def iou(maps: PixelMaps, masks: Masks, threshold: float) -> Scores:
    """Intersection over union of mask and the pixels above `threshold` times the map's maximum.

    Args:
        threshold: in [0, 1); chosen on validation images by `best_threshold`.
    """
    peak = maps.amax((1, 2), keepdim=True)
    region = (maps > threshold * peak) & (peak > 0)
    return (region & masks).sum((1, 2)) / (region | masks).sum((1, 2)).clamp_min(1)


def best_threshold(
    maps: PixelMaps, masks: Masks, thresholds: Sequence[float] = tuple(n / 20 for n in range(20))
) -> float:
    """The threshold with the largest mean IoU; give it validation images."""
    return max(thresholds, key=lambda threshold: iou(maps, masks, threshold).mean().item())


def energy_at_border(maps: PixelMaps) -> Scores:
    """Share in [0, 1] of the map's positive values in the outer `BORDER` of the image."""
    border = torch.ones_like(maps[0], dtype=torch.bool)
    rows, columns = (round(BORDER * side) for side in border.shape)
    border[rows : len(border) - rows, columns : border.shape[1] - columns] = False
    return energy_inside(maps, border.expand(maps.shape))


def entropy(maps: PixelMaps) -> Scores:
    """How far a map spreads: entropy of its positive values, 0 for one cell, 1 for all alike.

    For a map without positive values it is 1: it points nowhere.
    """
    shares = _shares(maps).flatten(1)
    spread = torch.special.entr(shares).sum(1) / torch.tensor(shares.shape[1]).log()
    return torch.where(shares.sum(1) > 0, spread, 1)


def _shares(maps: PixelMaps) -> PixelMaps:
    """The map's positive values as shares of their sum; all 0 where there are none."""
    positive = maps.clamp_min(0)
    total = positive.sum((1, 2), keepdim=True)
    return torch.where(total > 0, positive / total, 0)


def warmest_box(
    pixel_map: Float[np.ndarray, "height width"], threshold: float = 0.5
) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom edges of the region around a map's maximum, in pixels.

    The region is what is above `threshold` times the maximum and in one piece with it. A map that
    is nowhere positive has none.
    """
    peak = pixel_map.max()
    if not peak > 0:
        return None
    above = (pixel_map > threshold * peak).astype(np.uint8)
    _, pieces, boxes, _ = cv2.connectedComponentsWithStats(above)
    left, top, width, height = boxes[pieces.flat[pixel_map.argmax()]][:4].tolist()
    return left, top, left + width, top + height
