"""What several figures draw on a pair of axes: accuracy against depth, a canvas with boxes."""

from collections.abc import Sequence

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from labutils.fcn.detection import Detections
from labutils.report import style
from labutils.report.statistics import by_fields, select, some_learned
from labutils.runs.store import Run

DIGIT_COLORS = np.array(sns.color_palette("colorblind", 10))  # on black, and below black text


def draw_depth_accuracy(ax: Axes, runs: Sequence[Run]) -> None:
    """Test accuracy of plain and of residual networks against depth."""
    for residual, kind, color in style.PLAIN_AND_RESIDUAL:
        groups = dict(by_fields(select(runs, residual=residual), "depth"))
        values = {d: [run.metrics["test_accuracy"] for run in groups[d]] for d in groups}
        mixed = [depth for depth, chosen in groups.items() if some_learned(chosen)]
        shift = 0.25 if residual else -0.25  # so that points do not hide one another
        style.draw_points(ax, values, color, kind, shift, mixed)


def draw_confusion(ax: Axes, colored: np.ndarray, shown: np.ndarray, names: Sequence[str]) -> None:
    """A confusion matrix, its cells coloured by one number and showing another."""
    sns.heatmap(
        colored, annot=shown, fmt="", cmap="Oranges", cbar=False, square=True, ax=ax,
        xticklabels=names, yticklabels=names, annot_kws={"size": 8},
    )  # fmt: skip
    ax.tick_params(length=0)


def draw_canvas(
    ax: Axes, image: np.ndarray, found: Detections | None, true_boxes: np.ndarray | None
) -> None:
    """A canvas with what was found on it, and with dashed true boxes.

    From left to right labels stand above and below their boxes in turn, where there is room.
    """
    ax.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    for box in () if true_boxes is None else np.asarray(true_boxes):
        _draw_box(ax, box, "white", "--")
    if found is None:
        return
    for number, (box, label, score) in enumerate(sorted(found, key=lambda one: one[0][0])):
        _draw_box(ax, box, DIGIT_COLORS[label], "-")
        height, width = image.shape
        room = 0.1 * height  # for a label that would leave the canvas on the other side
        above = (box[1] >= room and number % 2 == 0) or box[3] > height - room
        y, va = (box[1] - 1, "bottom") if above else (box[3], "top")
        x, ha = (box[0], "left") if box[0] < 0.7 * width else (box[2], "right")
        ground = {"facecolor": DIGIT_COLORS[label], "edgecolor": "none", "pad": 0.8}
        look = {"color": "black", "fontsize": 8, "bbox": ground, "clip_on": True}
        ax.text(x, y, f"{label} {score:.2f}", ha=ha, va=va, **look)


def _draw_box(ax: Axes, box: Sequence[float], color: object, line: str) -> None:
    left, top, right, bottom = box
    # edges lie between pixels, whose centres imshow puts at whole numbers
    corner, size = (left - 0.5, top - 0.5), (right - left, bottom - top)
    ax.add_patch(Rectangle(corner, *size, fill=False, ec=color, ls=line, lw=1.2))
