"""Networks compared with one another, and what the best of them gets wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from labutils.costs import inference_cost, training_cost
from labutils.figures.axes import (
    KINDS,
    LABELS,
    OTHERS,
    STYLE,
    draw_line,
    legend,
    log_axis,
    make_axes,
    percent_axis,
)
from labutils.runs import Run
from labutils.summaries import by_network, family_name, learned, network_name, squared_errors


@plt.rc_context(STYLE)
def training_curves(
    runs: Sequence[Run],
    label: Callable[[Run], str],
    quantities: tuple[str, str] = ("train_loss", "val_accuracy"),
) -> Figure:
    """A loss and an accuracy of a few networks through training, a colour for each label."""
    labels = list(dict.fromkeys(label(run) for run in runs))
    colors = dict(zip(labels, OTHERS, strict=False))
    colors |= {kind: color for _, kind, color in KINDS}  # the same in every figure
    fig, axes = make_axes(1, 2, (9, 3.4))
    for run in runs:
        for ax, quantity in zip(axes, quantities, strict=True):
            draw_line(ax, run, quantity, colors[label(run)])
    log_axis(axes[0], LABELS[quantities[0]])
    percent_axis(axes[1], LABELS[quantities[1]])
    many = len(labels) > 2
    legend(axes[int(many)], [(colors[name], "-", name) for name in labels], outside=many)
    return fig


@plt.rc_context(STYLE)
def protocol_curves(protocols: Mapping[str, Sequence[Run]]) -> Figure:
    """Section 1.4: validation accuracy of the same networks, a panel for each way to train them."""
    names = list(dict.fromkeys(network_name(r.config) for runs in protocols.values() for r in runs))
    colors = dict(zip(names, OTHERS, strict=False))
    fig, axes = make_axes(1, len(protocols), (9, 3.4), sharey=True)
    for ax, (title, runs) in zip(axes, protocols.items(), strict=True):
        for run in runs:
            draw_line(ax, run, "val_accuracy", colors[network_name(run.config)])
        ax.set_title(title)
    percent_axis(axes[0], "validation accuracy")
    legend(axes[-1], [(colors[name], "-", name) for name in names], outside=True)
    return fig


@plt.rc_context(STYLE)
def schedule_curves(runs: Sequence[Run]) -> Figure:
    """Section 1.4: one network without and with a schedule, measured in two ways after each epoch.

    Left, validation accuracy, where batch norm uses its running averages; right, the squared
    error on 512 training images, where it uses those images' own statistics.
    """
    names = ("constant", "one-cycle")
    colors = dict(zip(names, OTHERS, strict=False))
    fig, axes = make_axes(1, 2, (9, 3.4))
    for run in runs:
        color = colors[run.config.schedule]
        draw_line(axes[0], run, "val_accuracy", color)
        errors = squared_errors(run)[1:]
        axes[1].plot(range(1, len(errors) + 1), errors, color=color, lw=1, alpha=0.8)
    percent_axis(axes[0], "validation accuracy")
    axes[0].set_title("running averages in batch norm")
    axes[1].set(ylabel="squared error, training images", xlabel="epoch", ylim=(0, None))
    axes[1].set_title("the images' own statistics")
    legend(axes[1], [(colors[name], "-", name) for name in names])
    return fig


@plt.rc_context(STYLE)
def cost(runs: Sequence[Run]) -> Figure:
    """Test accuracy of every network against what one answer and what its training cost.

    A point a network, the mean over its seeds; a colour a family, hollow without skips. Networks
    of which no seed learned are not drawn.
    """
    groups = [group for group in by_network(runs) if any(map(learned, group))]
    families = list(dict.fromkeys(family_name(group[0].config) for group in groups))
    colors = dict(zip(families, OTHERS, strict=False))
    fig, axes = make_axes(1, 2, (9, 4), sharey=True)
    for group in groups:
        config = group[0].config
        accuracy = np.mean([run.metrics["test_accuracy"] for run in group])
        color = colors[family_name(config)]
        fill = color if config.residual else "none"
        for ax, operations in zip(axes, (inference_cost, training_cost), strict=True):
            ax.plot(operations(config), accuracy, "o", ms=5, mec=color, mfc=fill, mew=1.2)
    axes[0].set(xscale="log", xlabel="multiply-adds of one image")
    axes[1].set(xscale="log", xlabel="multiply-adds of the training")
    percent_axis(axes[0], "test accuracy")
    entries = [(colors[family], "", family) for family in families]
    legend(axes[1], [*entries, ("black", "", "residual"), ("black", "", "no skip")], outside=True)
    for handle in axes[1].get_legend().legend_handles:
        handle.set_marker("o")
    axes[1].get_legend().legend_handles[-1].set_markerfacecolor("none")
    return fig


@plt.rc_context(STYLE | {"axes.grid": False})
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


@plt.rc_context(STYLE | {"axes.grid": False})
def mistakes(images: np.ndarray, titles: Sequence[str], columns: int = 6) -> Figure:
    """Pictures with a title each.

    Args:
        images: count x height x width x channels, uint8.
    """
    rows = -(-len(images) // columns)
    fig, axes = plt.subplots(
        rows, columns, figsize=(9, 1.75 * rows), layout="constrained", squeeze=False
    )
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, title in zip(axes.flat, images, titles, strict=False):
        ax.imshow(image, cmap="gray" if image.shape[-1] == 1 else None, interpolation="nearest")
        ax.set_title(title, fontsize=8)
    return fig
