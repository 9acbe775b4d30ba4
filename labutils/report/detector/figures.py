"""Exercise 2: what a detector sees, where it draws boxes, and how good these are."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MultipleLocator, PercentFormatter

from labutils.data.canvases import BACKGROUND, Canvases
from labutils.fcn.detection import Detections
from labutils.report import style
from labutils.report.names import HEADS
from labutils.report.panels import DIGIT_COLORS, draw_canvas
from labutils.report.statistics import percent
from labutils.runs.store import Run


def decision_map(classes: np.ndarray) -> np.ndarray:
    """Height x width x 3 in [0, 1]: a colour a pixel's class index, black for the background."""
    return np.vstack([DIGIT_COLORS, np.zeros(3)])[np.minimum(classes, BACKGROUND)]


@plt.rc_context(style.IMAGES)
def dense_map(
    image: np.ndarray,
    probability: np.ndarray,
    found: Detections | None = None,
    true_boxes: np.ndarray | None = None,
) -> Figure:
    """A canvas with its boxes, the decision map, and the probability of each class a pixel.

    Args:
        image: height x width, uint8.
        probability: classes x height x width, in [0, 1].
        true_boxes: drawn in white, dashed.
    """
    fig, axes = style.picture_axes(14, 7, (9, 1.5))
    draw_canvas(axes[0, 0], image, found, true_boxes)
    axes[0, 0].set_title("canvas, boxes" if found is not None else "canvas", fontsize=8)
    decided = probability.argmax(0)
    axes[1, 0].imshow(decision_map(decided), interpolation="nearest")
    axes[1, 0].set_title("decision", fontsize=8)
    shown = [label for label in range(10) if (decided == label).any()]
    handles = [Patch(color=DIGIT_COLORS[label], label=str(label)) for label in shown]
    if handles:  # in the last place, which no class has: on the map it would hide answers
        axes[1, -1].legend(
            handles=handles, loc="center", title="decision", title_fontsize=8, fontsize=8,
            handlelength=0.8, ncols=2 if len(shown) > 5 else 1,
        )  # fmt: skip
    for label, of_class in enumerate(probability):
        ax = axes[label // 6, 1 + label % 6]
        drawn = ax.imshow(of_class, vmin=0, vmax=1, cmap="magma", interpolation="nearest")
        ax.set_title("background" if label == BACKGROUND else str(label), fontsize=8)
    fig.colorbar(drawn, ax=axes[:, -1], shrink=0.8, label="probability")
    return fig


@plt.rc_context(style.IMAGES)
def detections_sheet(
    images: Sequence[np.ndarray],
    found: Sequence[Detections],
    titles: Sequence[str],
    columns: int = 6,
) -> Figure:
    """Canvases with what was found on them, a title each."""
    fig, axes = style.picture_axes(len(images), columns, (min(9, 2 * columns), 1.8))
    for ax, image, detections, title in zip(axes.flat, images, found, titles, strict=False):
        draw_canvas(ax, image, detections, None)
        ax.set_title(title, fontsize=8)
    return fig


@plt.rc_context(style.IMAGES)
def canvas_sheet(kinds: Mapping[str, Canvases]) -> Figure:
    """Two canvases of each kind with their true boxes, a title a kind."""
    rows = -(-len(kinds) // 5)
    fig = plt.figure(figsize=(9, 2.5 * rows), layout="constrained")
    panels = fig.subfigures(rows, 5).flat
    for panel, (title, canvases) in zip(panels, kinds.items(), strict=False):
        panel.suptitle(textwrap.fill(title, 28), fontsize=8)
        for index, ax in enumerate(panel.subplots(2, 1)):
            ax.axis("off")
            draw_canvas(ax, canvases.images[index, 0].numpy(), None, canvases.digits(index)[0])
    return fig


@plt.rc_context(style.IMAGES)
def failure_sheet(kinds: Mapping[str, tuple[Canvases, Mapping[str, object]]]) -> Figure:
    """Canvases that are not read right, with true boxes (dashed) and detections: a row a kind.

    Args:
        kinds: by title, what `conditions.canvases_of` and `fcn.scores.failures` return.
    """
    fig = plt.figure(figsize=(9, 2.0 * len(kinds)), layout="constrained")
    panels = fig.subfigures(len(kinds), 1, squeeze=False).flat
    for panel, (title, (canvases, failures)) in zip(panels, kinds.items(), strict=True):
        panel.suptitle(f"{title}: {percent(failures['share'])} of canvases", fontsize=9)
        axes = panel.subplots(1, 6)
        for ax in axes:
            ax.axis("off")
        for ax, example in zip(axes, failures["examples"], strict=False):
            index = example["index"]
            boxes, labels = canvases.digits(index)
            found = Detections.of(example["boxes"], example["labels"], example["scores"])
            draw_canvas(ax, canvases.images[index, 0].numpy(), found, boxes)
            truth = "".join(map(str, labels.tolist()))
            ax.set_title(f"{truth or 'none'}, read {found.text or 'nothing'}", fontsize=8)
    return fig


@plt.rc_context(style.IMAGES)
def detector_view(
    image: np.ndarray, probability: np.ndarray, found: Detections, digit: int
) -> Figure:
    """What the detector explorer shows: boxes, decision map, probability of one digit."""
    fig, axes = plt.subplots(1, 3, figsize=(9, 3.0))
    fig.subplots_adjust(left=0.01, right=0.99, bottom=0.02, top=0.9, wspace=0.05)
    draw_canvas(axes[0], image, found, None)
    axes[1].imshow(decision_map(probability.argmax(0)), interpolation="nearest")
    axes[2].imshow(probability[digit], vmin=0, vmax=1, cmap="magma", interpolation="nearest")
    titles = ("canvas, boxes", "decision", f"probability of {digit}, 0 to 1")
    for ax, title in zip(axes, titles, strict=True):
        ax.axis("off")
        ax.set_title(title)
    return fig


@plt.rc_context(style.STYLE)
def detector_curves(runs: Sequence[Run]) -> Figure:
    """Loss, pixel accuracy and mean IoU through training: a colour a head, a line a seed.

    Solid on canvases of validation digits, dotted on canvases of training digits.
    """
    colors = style.colors_of(HEADS[run.config.head] for run in runs)
    fig, (loss, accuracy, overlap) = style.make_axes(1, 3, (9, 3))
    for run in runs:
        color = colors[HEADS[run.config.head]]
        for split, line in (("val", "-"), ("train", ":")):
            style.draw_line(loss, run, f"{split}_loss", color, line)
            style.draw_line(accuracy, run, f"{split}_accuracy", color, line)
        style.draw_line(overlap, run, "val_mean_iou", color)
    style.log_axis(loss, "loss")
    style.percent_axis(accuracy, "pixels right")
    style.percent_axis(overlap, "mean IoU")
    splits = [("gray", "-", "validation"), ("gray", ":", "training")]
    style.legend_above(fig, style.handles(colors, splits))
    return fig


@plt.rc_context(style.STYLE)
def condition_scores(scores: Mapping[str, Sequence[float]], label: str) -> Figure:
    """A score in [0, 1] under several conditions: a row each, a point a seed.

    Args:
        label: what is scored, for the axis.
    """
    fig, ax = plt.subplots(figsize=(7, 0.6 + 0.28 * len(scores)), layout="constrained")
    for row, values in enumerate(scores.values()):
        ax.plot(values, [row] * len(values), "o", color="black", alpha=0.6, ms=4)
        ax.plot(np.mean(values), row, "|", color="black", ms=14, mew=2)
    ax.set(yticks=range(len(scores)), yticklabels=list(scores))
    ax.invert_yaxis()
    ax.set_xlabel(label)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return fig


@plt.rc_context(style.STYLE)
def accuracy_by_distance(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Share of a digit's pixels that name it against their distance from the middle of its box.

    Args:
        curves: by head, what `fcn.scores.named_by_distance` returns.
    """
    fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
    for (name, found), color in zip(curves.items(), style.OTHERS, strict=False):
        ax.plot(found["distances"], found["shares"], ".-", color=color, label=HEADS[name])
    ax.set_xlabel("distance from the middle of the digit in pixels")
    style.percent_axis(ax, "the digit's pixels that name it")
    ax.set_ylim(0, 1.02)
    ax.legend()
    return fig


@plt.rc_context(style.STYLE)
def answers_on_black(found: Mapping[str, Sequence[float]]) -> Figure:
    """Where a network without a background class sees nothing: its answers, and the labels there.

    Args:
        found: what `fcn.black.answers_on_black` returns.
    """
    fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
    classes = np.arange(len(found["digits"]))
    bars = (("probability", "answered"), ("labels", "labels of such pixels"))
    for (name, label), side, color in zip(bars, (-0.2, 0.2), style.OTHERS, strict=False):
        ax.bar(classes + side, found[name], 0.38, color=color, label=label)
    for label, share in zip(classes, found["digits"], strict=True):
        name = "share of the digits" if label == 0 else None
        ax.plot([label - 0.42, label + 0.42], [share, share], color="black", lw=1.2, label=name)
    ax.set(xticks=classes, xlabel="class")
    style.percent_axis(ax, "share")
    ax.yaxis.set_major_locator(MultipleLocator(0.05))
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    return fig
