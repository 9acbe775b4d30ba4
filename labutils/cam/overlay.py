"""Pictures of maps: in colours, and laid over their image."""

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
