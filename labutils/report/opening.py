"""The figure that opens README.md: depth with and without skips, a map, and a detection."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure

from labutils.cam import overlay
from labutils.report import style
from labutils.report.panels import draw_canvas, draw_depth_accuracy
from labutils.runs.store import Run


@plt.rc_context(style.STYLE)
def opening(
    grids: Mapping[str, Sequence[Run]],
    image: UInt8[np.ndarray, "height width 3"],
    pixel_map: Float[np.ndarray, "height width"],
    said: str,
    canvas: tuple[Any, ...],
) -> Figure:
    """Test accuracy against depth, a panel a grid; below an image, its map, both, and a canvas.

    Args:
        grids: the runs of each, by title.
        pixel_map: what speaks for the class `said`, not negative.
        canvas: height x width, uint8, its detections, and its true boxes or None.
    """
    fig = plt.figure(figsize=(9, 4.9), layout="constrained")
    above, below = fig.subfigures(2, 1, height_ratios=(1.4, 1))
    axes = above.subplots(1, len(grids), sharey=True)
    for ax, (title, runs) in zip(axes, grids.items(), strict=True):
        draw_depth_accuracy(ax, runs)
        ax.set(title=title, xlabel="depth (weight layers)", ylim=(0, 1))
        style.percent_axis(ax, "")
    axes[0].set_ylabel("test accuracy")
    axes[0].legend(loc="lower left")
    axes = below.subplots(1, 4, width_ratios=(1.5, 1.5, 1.5, 1.02))
    axes[0].imshow(image)
    axes[1].imshow(pixel_map, cmap="viridis")
    axes[2].imshow(overlay(image, pixel_map))
    draw_canvas(axes[3], *canvas)
    titles = ("a photograph", f"what speaks for “{said}”", "one on the other", "digits, found")
    for ax, title in zip(axes, titles, strict=True):
        ax.axis("off")
        ax.set_title(title)
    return fig
