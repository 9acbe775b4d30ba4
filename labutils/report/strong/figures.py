"""Section 1.5: what accuracy costs, and what the strong network gets wrong."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from labutils.models.costs import inference_cost, training_cost
from labutils.report import style
from labutils.report.names import family_name
from labutils.report.statistics import by_network, learned
from labutils.runs.store import Run


@plt.rc_context(style.STYLE)
def cost(runs: Sequence[Run]) -> Figure:
    """Test accuracy of every network against what one answer and what its training cost.

    A point a network, the mean over its seeds; a colour a family, hollow without skips. Networks
    of which no seed learned are not drawn.
    """
    groups = [group for group in by_network(runs) if any(map(learned, group))]
    colors = style.colors_of(family_name(group[0].config) for group in groups)
    fig, axes = style.make_axes(1, 2, (9, 4), sharey=True)
    for group in groups:
        config = group[0].config
        accuracy = np.mean([run.metrics["test_accuracy"] for run in group])
        color = colors[family_name(config)]
        fill = color if config.residual else "none"
        for ax, operations in zip(axes, (inference_cost, training_cost), strict=True):
            ax.plot(operations(config), accuracy, "o", ms=5, mec=color, mfc=fill, mew=1.2)
    axes[0].set(xscale="log", xlabel="multiply-adds of one image")
    axes[1].set(xscale="log", xlabel="multiply-adds of the training")
    style.percent_axis(axes[0], "test accuracy")
    style.legend(
        axes[1], colors, [("black", "", "residual"), ("black", "", "no skip")], outside=True
    )
    for handle in axes[1].get_legend().legend_handles:
        handle.set(marker="o", linestyle="")
    axes[1].get_legend().legend_handles[-1].set_markerfacecolor("none")
    return fig


@plt.rc_context(style.STYLE | {"axes.grid": False})
def confusion(counts: Sequence[Sequence[int]], class_names: Sequence[str]) -> Figure:
    """A confusion matrix, in counts: a row a true class, a column an answer."""
    counts = np.asarray(counts)
    wrong = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    fig, ax = plt.subplots(figsize=(6, 5.2), layout="constrained")
    # coloured by the mistakes: the diagonal, fifty times as large, would hide them
    sns.heatmap(
        wrong, annot=counts, fmt="d", cmap="Oranges", cbar=False, square=True, ax=ax,
        xticklabels=class_names, yticklabels=class_names, annot_kws={"size": 8},
    )  # fmt: skip
    ax.set(xlabel="answer", ylabel="true class")
    ax.tick_params(length=0)
    return fig


@plt.rc_context(style.STYLE | {"axes.grid": False})
def mistakes(images: np.ndarray, titles: Sequence[str], columns: int = 6) -> Figure:
    """Pictures with a title each.

    Args:
        images: count x height x width x channels, uint8.
    """
    fig, axes = style.picture_axes(len(images), columns, (9, 1.75))
    for ax, image, title in zip(axes.flat, images, titles, strict=False):
        ax.imshow(image, cmap="gray" if image.shape[-1] == 1 else None, interpolation="nearest")
        ax.set_title(title, fontsize=8)
    return fig
