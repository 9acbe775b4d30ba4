"""Section 1.5: what accuracy costs, and what the strong network gets wrong."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from labutils.models.costs import inference_cost, training_cost
from labutils.report import style
from labutils.report.names import family_name, kind_name, network_name
from labutils.report.panels import draw_confusion
from labutils.report.statistics import by_network, learned
from labutils.runs.store import Run


@plt.rc_context(style.STYLE)
def cost(runs: Sequence[Run]) -> Figure:
    """Test accuracy of every network against what one answer and what its training cost.

    A point a network, the mean over its seeds; a colour a family, hollow without skips. Named are
    the best of each family and, of the best family, the one trained at least cost; the others are
    faint. Networks of which no seed learned are not drawn.
    """
    accuracies = {
        group[0].config: float(np.mean([run.metrics["test_accuracy"] for run in group]))
        for group in by_network(runs)
        if any(map(learned, group))
    }
    ranked = sorted(accuracies, key=accuracies.__getitem__, reverse=True)
    families = {family_name(config): config for config in reversed(ranked)}  # the best stays
    best, title = ranked[0], family_name(ranked[0])
    brief = min((one for one in ranked if family_name(one) == title), key=training_cost)
    sides = {brief: "top", best: "bottom"}  # of their points: the two lie near one another
    colors = style.colors_of(map(family_name, ranked))
    fig, axes = style.make_axes(1, 2, (9, 4.4), sharey=True)
    for config, accuracy in accuracies.items():
        color, named = colors[family_name(config)], config in (*families.values(), brief)
        fill = color if config.residual else "none"
        text = network_name(config).replace(f", {kind_name(config)}", "")  # the fill says that
        text += f", {config.epochs} epochs" if config in (best, brief) else ""
        for ax, operations in zip(axes, (inference_cost, training_cost), strict=True):
            at, alpha = (operations(config), accuracy), 1 if named else 0.35
            ax.plot(*at, "o", ms=5, mec=color, mfc=fill, mew=1.2, alpha=alpha)
            ax.annotate(
                text if named else "", at, (-6, 0), textcoords="offset points", ha="right",
                va=sides.get(config, "center"), size=8, color=0.7 * np.array(color),
                bbox={"fc": "white", "alpha": 0.7, "ec": "none", "pad": 0.5},
            )  # fmt: skip
    for ax, what in zip(axes, ("one image", "the training"), strict=True):
        ax.set(xscale="log", xlabel=f"multiply-adds of {what}")
        style.powers(ax.xaxis)
    style.percent_axis(axes[0], "test accuracy")
    for name, fill in (("residual", "black"), ("plain", "none")):
        axes[0].plot([], [], "o", ms=5, mec="black", mfc=fill, mew=1.2, label=name)
    axes[0].legend(loc="lower right")
    return fig


@plt.rc_context(style.IMAGES)
def confusion(counts: Sequence[Sequence[int]], class_names: Sequence[str]) -> Figure:
    """A confusion matrix, in counts: a row a true class, a column a predicted one."""
    counts = np.asarray(counts)
    wrong = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    fig, ax = plt.subplots(figsize=(6, 5.2), layout="constrained")
    # coloured by the mistakes: the diagonal, fifty times as large, would hide them
    draw_confusion(ax, wrong, counts, class_names)
    ax.set(xlabel="predicted class", ylabel="true class")
    return fig


@plt.rc_context(style.IMAGES)
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
