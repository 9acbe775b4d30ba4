"""Pictures of maps: in colours, and laid over their image."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8

Picture = UInt8[np.ndarray, "height width 3"]  # red, green, blue
PixelMap = Float[np.ndarray, "height width"]


def relative(pixel_map: PixelMap, peak: float | None = None) -> PixelMap:
    """The map from 0 to 1: divided by `peak`, by default its own maximum; what is negative is 0."""
    peak = float(pixel_map.max()) if peak is None else peak
    if peak <= 0:
        return np.zeros_like(pixel_map)
    return np.clip(pixel_map / peak, 0, 1)


def colours(pixel_map: PixelMap, peak: float | None = None) -> Picture:
    """The map in viridis, whose steps look equally large, from dark (0) to light (its peak)."""
    levels = (255 * relative(pixel_map, peak)).round().astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)


def overlay(
    image: Picture, pixel_map: PixelMap, *, opacity: float = 0.7, peak: float | None = None
) -> Picture:
    """The map's colours over the image: transparent at 0, `opacity` at the peak.

    Args:
        pixel_map: as `at_pixels` returns it, for this image.
        opacity: from 0 to 1.
        peak: value of the brightest colour; one for several maps makes them comparable.

    Raises:
        ValueError: an opacity out of range.
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity is {opacity}: expected a number from 0 to 1")
    alpha = opacity * relative(pixel_map, peak)[..., None]
    mixed = (1 - alpha) * image + alpha * colours(pixel_map, peak)
    return mixed.round().astype(np.uint8)


def triptych(
    image: Picture, pixel_map: PixelMap, *, opacity: float = 0.7, peak: float | None = None
) -> UInt8[np.ndarray, "height wide 3"]:
    """Original, map and overlay side by side, and the scale: 0 at the bottom, the peak on top."""
    height = len(image)
    scale = np.linspace(1, 0, height, dtype=np.float32)[:, None]
    bar = colours(np.repeat(scale, max(height // 16, 1), axis=1), 1.0)
    gap = np.full((height, max(height // 64, 1), 3), 255, np.uint8)
    drawn = overlay(image, pixel_map, opacity=opacity, peak=peak)
    return np.concatenate([image, gap, colours(pixel_map, peak), gap, drawn, gap, bar], axis=1)


def captioned(
    drawing: UInt8[np.ndarray, "height wide 3"], peak: float, lines: Sequence[str]
) -> UInt8[np.ndarray, "taller wider 3"]:
    """A triptych with the numbers of its scale on its right and lines of text below."""
    font, size, step, margin = cv2.FONT_HERSHEY_SIMPLEX, 0.45, 18, 6

    def width(text: str) -> int:
        return cv2.getTextSize(text, font, size, 1)[0][0]

    numbers, edge, bottom = (f"{peak:.3g}", "0"), drawing.shape[1], max(len(drawing), 2 * step)
    right = max(edge + max(map(width, numbers)), *map(width, lines)) + 2 * margin
    page = np.full((bottom + step * len(lines) + margin, right, 3), 255, np.uint8)
    page[: len(drawing), :edge] = drawing
    places = [(edge + margin, 12), (edge + margin, max(len(drawing) - 2, 28))]
    places += [(margin, bottom + step * number - 4) for number in range(1, len(lines) + 1)]
    for text, place in zip((*numbers, *lines), places, strict=True):
        cv2.putText(page, text, place, font, size, (0, 0, 0), 1, cv2.LINE_AA)
    return page
