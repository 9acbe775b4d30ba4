"""Width, depth and early stopping: curves and final numbers of the grids."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from labutils.config.data_sets import DATA_SETS
from labutils.report.names import family_name
from labutils.report.statistics import learned, select
from labutils.report.style import (
    LABELS,
    OTHERS,
    PLAIN,
    PLAIN_AND_RESIDUAL,
    RESIDUAL,
    STYLE,
    by_depth,
    draw_line,
    draw_points,
    kinds_of,
    legend,
    log_axis,
    make_axes,
    no_zeros,
    percent_axis,
    title_of,
)
from labutils.runs.store import Run


@plt.rc_context(STYLE)
def width_curves(runs: Sequence[Run]) -> Figure:
    """Section 1.1: validation loss and accuracy through training, a colour a width.

    Solid lines see the images as they are, dashed ones shifted by up to a pixel; a dot is the
    epoch whose weights early stopping restored.
    """
    widths = sorted({run.config.width for run in runs})
    colors = dict(zip(widths, OTHERS, strict=False))
    fig, axes = make_axes(1, 2, (9, 3.6))
    for ax, quantity in zip(axes, ("val_loss", "val_accuracy"), strict=True):
        for run in runs:
            style = "--" if run.config.crop_padding else "-"
            color, best = colors[run.config.width], run.metrics["best_epoch"]
            draw_line(ax, run, quantity, color, style)
            ax.plot(best, run.history[quantity][best - 1], ".", color=color)
    log_axis(axes[0], "validation loss")
    percent_axis(axes[1], "validation accuracy")
    entries = [(colors[width], "-", f"width {width}") for width in widths]
    entries += [("gray", "--", "shifted images"), ("gray", "", "weights restored")]
    legend(axes[1], entries, outside=True)
    axes[1].get_legend().legend_handles[-1].set_marker(".")
    return fig


@plt.rc_context(STYLE)
def depth_curves(runs: Sequence[Run]) -> Figure:
    """Training loss and validation accuracy through training, plain left, residual right.

    One thin line a run, a colour a depth, equal axes in a row.
    """
    depths = sorted({run.config.depth for run in runs})
    colors = dict(zip(depths, sns.color_palette("viridis_r", len(depths)), strict=True))
    fig, axes = make_axes(2, 2, (9, 5.6), sharex=True, sharey="row")
    for column, (residual, kind, _) in enumerate(PLAIN_AND_RESIDUAL):
        chosen = [r for r in runs if r.config.residual == residual or r.config.depth == 2]
        for run in chosen:
            draw_line(axes[0, column], run, "train_loss", colors[run.config.depth])
            draw_line(axes[1, column], run, "val_accuracy", colors[run.config.depth])
        axes[0, column].set_title(f"{title_of(runs)}, {kind}")
    log_axis(axes[0, 0], "training loss")
    percent_axis(axes[1, 0], "validation accuracy")
    legend(axes[0, 1], [(colors[d], "-", f"depth {d}") for d in depths], outside=True)
    return fig


@plt.rc_context(STYLE)
def depth_accuracy(*grids: Sequence[Run]) -> Figure:
    """Test accuracy against depth, a panel a grid: every run, mean and standard deviation.

    Grids of one data set share an axis, and are named by their families.
    """
    one_set = len({runs[0].config.data for runs in grids}) == 1
    fig, axes = make_axes(1, len(grids), (9, 3.6), sharey=one_set)
    for ax, runs in zip(axes, grids, strict=True):
        for residual, kind, color in PLAIN_AND_RESIDUAL:
            chosen = select(runs, residual=residual)
            shift = 0.25 if residual else -0.25  # so that points do not hide one another
            draw_points(
                ax, by_depth(chosen, lambda r: r.metrics["test_accuracy"]), color, shift, kind
            )
        family = family_name(runs[0].config)
        title = f"{family}, {DATA_SETS[runs[0].config.data].title}" if one_set else title_of(runs)
        ax.set(title=title, xlabel="depth (weight layers)")
        percent_axis(ax, "test accuracy" if ax is axes[0] or not one_set else "")
        ax.legend(loc="lower left")
    for ax in axes:  # once all is drawn: a limit that is set keeps a shared axis from growing
        ax.set_ylim(bottom=0)
    return fig


@plt.rc_context(STYLE)
def rescue_curves(runs: Sequence[Run]) -> Figure:
    """Training loss of stalled plain networks under several learning rates, a panel a set."""
    names = list(dict.fromkeys(run.config.data for run in runs))
    rates = sorted({run.config.learning_rate for run in runs})
    colors = dict(zip(rates, sns.color_palette("viridis_r", len(rates)), strict=True))
    fig, axes = make_axes(1, len(names), (9, 3.4), sharey=True)
    for ax, name in zip(axes, names, strict=True):
        chosen = sorted(select(runs, data=name), key=lambda run: run.config.learning_rate)
        for place, run in enumerate(chosen):  # lines of equal values stay visible side by side
            style = "-" if learned(run) else (4 * place, (4, 4 * (len(chosen) - 1)))
            draw_line(ax, run, "train_loss", colors[run.config.learning_rate], style)
        ax.set_title(f"{title_of(chosen)}, plain, depth {chosen[0].config.depth}")
    log_axis(axes[0], "training loss")
    legend(axes[-1], [(colors[r], "-", f"rate {r:g}") for r in rates], outside=True)
    return fig


@plt.rc_context(STYLE)
def early_stopping(runs: Sequence[Run]) -> Figure:
    """Epochs until early stopping and test accuracy of each network of report-d's table."""
    groups = sorted({(r.config.width, r.config.depth, r.config.residual) for r in runs})
    fig, axes = make_axes(1, 2, (9, 3.2), sharey=True)
    for row, (width, depth, residual) in enumerate(groups):
        chosen = select(runs, width=width, depth=depth, residual=residual)
        color = "gray" if depth == 2 else RESIDUAL if residual else PLAIN
        for ax, key in zip(axes, ("epochs", "test_accuracy"), strict=True):
            values = [run.metrics[key] for run in chosen]
            ax.plot(values, [row] * len(values), "o", color=color, alpha=0.6, ms=4)
            ax.plot(np.mean(values), row, "|", color=color, ms=16, mew=2)
    labels = [
        f"width {w}, depth {d}" + ("" if d == 2 else ", residual" if r else ", plain")
        for w, d, r in groups
    ]
    axes[0].set(yticks=range(len(groups)), yticklabels=labels, xlabel="epochs until early stopping")
    axes[0].invert_yaxis()
    axes[1].set_xlabel("test accuracy")
    axes[1].xaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    return fig


@plt.rc_context(STYLE)
def training_curves(
    runs: Sequence[Run],
    label: Callable[[Run], str],
    quantities: tuple[str, str] = ("train_loss", "val_accuracy"),
) -> Figure:
    """A loss and an accuracy of a few networks through training, a colour for each label."""
    labels = list(dict.fromkeys(label(run) for run in runs))
    colors = dict(zip(labels, OTHERS, strict=False))
    colors |= {kind: color for _, kind, color in PLAIN_AND_RESIDUAL}  # the same in every figure
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
def first_layer_gradient(runs: Sequence[Run], depths: Sequence[int]) -> Figure:
    """Gradient of the first hidden layer through training, and its ratio to the weight's norm.

    A line ends where the gradient has become exactly zero.
    """
    fig, axes = make_axes(2, len(depths), (9, 5.2), sharex=True, sharey="row")
    for column, depth in enumerate(depths):
        for residual, kind, color in PLAIN_AND_RESIDUAL:
            for number, run in enumerate(select(runs, depth=depth, residual=residual)):
                gradient, weight = (
                    no_zeros([epoch[0] for epoch in run.history["layers"][name]])
                    for name in ("gradient_norm", "weight_norm")
                )
                label = kind if number == 0 else None
                axes[0, column].plot(gradient, color=color, lw=1, label=label)
                axes[1, column].plot(gradient / weight, color=color, lw=1)
        axes[0, column].set_title(f"{title_of(runs)}, depth {depth}")
        axes[1, column].set_xlabel("epoch")
        axes[1, column].xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes[0, 0].set(ylabel="gradient norm", yscale="log")
    axes[1, 0].set(ylabel="gradient norm / weight norm", yscale="log")
    axes[0, 0].legend()
    return fig


@plt.rc_context(STYLE)
def signal_by_layer(runs: Sequence[Run], depths: Sequence[int]) -> Figure:
    """What is left of the image in each layer before training: a unit's deviation across images.

    Measured in fp32. Dotted, the rounding of a number as large as the plain layer's mean
    activation, in fp32 and where the networks train in bf16 in that, too: below it two images
    look the same.
    """
    formats = {"fp32": torch.float32, "bf16": torch.bfloat16}
    fig, axes = make_axes(1, len(depths), (9, 3.2), sharey=True)
    for ax, depth in zip(axes, depths, strict=True):
        for number, (_, kind, color, run) in enumerate(kinds_of(runs, depth)):
            deviation, mean = (
                np.array(run.history["layers"][name][0], dtype=float)[:-1]  # without the logits
                for name in ("activation_image_std", "activation_mean")
            )
            layers = range(1, len(mean) + 1)
            label = kind if run.config.seed == 0 else None
            ax.plot(layers, deviation, color=color, lw=1, label=label)
            for precision in dict.fromkeys(("fp32", run.config.precision)) if number == 0 else ():
                rounding = mean * torch.finfo(formats[precision]).eps / 2
                style = ":" if precision == "fp32" else "--"
                label = f"rounding in {precision} (plain)"
                ax.plot(layers, rounding, style, color="gray", lw=1, label=label)
        ax.set(title=f"{title_of(runs)}, depth {depth}", xlabel="layer", yscale="log")
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes[0].set_ylabel("deviation across images")
    handles, labels = axes[0].get_legend_handles_labels()
    axes[-1].legend(handles, labels, loc="upper left", bbox_to_anchor=(1, 1))
    return fig
