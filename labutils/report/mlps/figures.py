"""Width, depth and early stopping: curves and final numbers of the grids."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import attrgetter

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from labutils.report import style
from labutils.report.mlps.experiments import untrained_signals
from labutils.report.names import family_and_data
from labutils.report.panels import draw_depth_accuracy
from labutils.report.statistics import by_fields, grouped, learned, select, share_of
from labutils.runs.store import Run


@plt.rc_context(style.STYLE)
def width_curves(runs: Sequence[Run]) -> Figure:
    """Section 1.1: validation loss and accuracy through training, a colour a width.

    Solid lines see the images as they are, dashed ones shifted by up to a pixel; a dot is the
    epoch whose weights early stopping restored.
    """
    colors = style.colors_of(sorted({run.config.width for run in runs}))
    fig, axes = style.make_axes(1, 2, (9, 3.6))
    for ax, quantity in zip(axes, ("val_loss", "val_accuracy"), strict=True):
        for run in runs:
            line = "--" if run.config.crop_padding else "-"
            color, best = colors[run.config.width], run.metrics["best_epoch"]
            style.draw_line(ax, run, quantity, color, line)
            ax.plot(best, run.history[quantity][best - 1], ".", color=color)
    style.log_axis(axes[0], "validation loss")
    style.percent_axis(axes[1], "validation accuracy")
    more = [("gray", "--", "shifted images"), ("gray", "", "weights restored")]
    entries = style.handles(colors, more, "width {}")
    entries[-1].set_marker(".")
    style.legend_above(fig, entries)
    return fig


@plt.rc_context(style.STYLE)
def depth_curves(runs: Sequence[Run]) -> Figure:
    """Training loss and validation accuracy through training, plain left, residual right.

    One thin line a run, a colour a depth, equal axes in a row.
    """
    depth = attrgetter("config.depth")
    colors = style.shades_of(map(depth, runs))
    fig, axes = style.make_axes(2, 2, (9, 5.6), sharex=True, sharey="row")
    for column, (residual, kind, _) in enumerate(style.PLAIN_AND_RESIDUAL):
        chosen = [r for r in runs if r.config.residual == residual or r.config.depth == 2]
        for ax, quantity in zip(axes[:, column], ("train_loss", "val_accuracy"), strict=True):
            style.draw_lines(ax, chosen, quantity, depth, colors)
        axes[0, column].set_title(f"{style.title_of(runs)}, {kind}")
    style.log_axis(axes[0, 0], "training loss")
    style.percent_axis(axes[1, 0], "validation accuracy")
    style.label_lines(fig, "depth")
    return fig


@plt.rc_context(style.STYLE)
def depth_accuracy(*grids: Sequence[Run]) -> Figure:
    """Test accuracy against depth, a panel a grid: every run, mean and standard deviation.

    Grids of one data set share an axis, and are named by their families.
    """
    one_set = len({runs[0].config.data for runs in grids}) == 1
    fig, axes = style.make_axes(1, len(grids), (9, 3.6), sharey=one_set)
    for ax, runs in zip(axes, grids, strict=True):
        draw_depth_accuracy(ax, runs)
        title = family_and_data(runs[0].config) if one_set else style.title_of(runs)
        ax.set(title=title, xlabel="depth (weight layers)")
        style.percent_axis(ax, "test accuracy" if ax is axes[0] or not one_set else "")
        ax.legend(loc="lower left")
    for ax in axes:  # once all is drawn: a limit that is set keeps a shared axis from growing
        ax.set_ylim(bottom=0)
    return fig


@plt.rc_context(style.STYLE)
def learning_by_depth(runs: Sequence[Run]) -> Figure:
    """Share of the plain networks that learn against depth, and what is left of the image.

    Left with 95 % intervals; right before training, a point a network, a unit's deviation across
    images at the last hidden layer, at all depths in each precision, and the rounding of fp32.
    """
    colors = style.colors_of(("fp32", "fp64"))
    fig, (left, right) = style.make_axes(1, 2, (9, 3.4))
    for shift, (precision, color) in zip((-0.15, 0.15), colors.items(), strict=True):
        groups = by_fields(select(runs, precision=precision), "depth")
        found = np.array([share_of(sum(map(learned, chosen)), len(chosen)) for _, chosen in groups])
        depths = np.array([depth for depth, _ in groups]) + shift
        errors = np.abs(found[:, 1:] - found[:, :1]).T
        line = "o:" if precision == "fp32" else "o"
        left.errorbar(depths, found[:, 0], errors, fmt=line, ms=4, color=color, lw=1, capsize=2)
        for depth, chosen in by_fields(select(runs, precision="fp32"), "depth"):
            configs = [replace(run.config, precision=precision) for run in chosen]
            signals = untrained_signals(configs)
            values = [signal["deviation"] for signal in signals]
            right.plot([depth + shift] * len(values), values, "o", ms=3, color=color, alpha=0.6)
            if precision == "fp32":
                mean = np.mean([signal["mean"] for signal in signals])
                rounding = mean * torch.finfo(torch.float32).eps / 2
                right.plot((depth - 1, depth + 1), [rounding] * 2, ":", color="gray")
    for ax in (left, right):
        ax.set(xlabel="depth (weight layers)", xticks=sorted({run.config.depth for run in runs}))
    left.set_ylim(0, 1.03)
    style.percent_axis(left, "share that learns")
    style.powers_axis(right, "deviation across images")
    style.legend_above(fig, style.handles(colors, [("gray", ":", "rounding of fp32")]))
    return fig


@plt.rc_context(style.STYLE)
def rescue_curves(runs: Sequence[Run]) -> Figure:
    """Training loss of stalled plain networks under several learning rates, a panel a set."""
    sets, rate = grouped(runs, attrgetter("config.data")), attrgetter("config.learning_rate")
    colors = style.shades_of(map(rate, runs))
    fig, axes = style.make_axes(1, len(sets), (9, 3.4), sharey=True)
    for ax, chosen in zip(axes, sets.values(), strict=True):
        style.draw_lines(ax, chosen, "train_loss", rate, colors)
        ax.set_title(f"{style.title_of(chosen)}, plain, depth {chosen[0].config.depth}")
    style.log_axis(axes[0], "training loss")
    style.label_lines(fig, "rate")
    return fig


@plt.rc_context(style.STYLE)
def early_stopping(runs: Sequence[Run]) -> Figure:
    """Epochs until early stopping and test accuracy of each network of report-d's table."""
    groups = by_fields(runs, "width", "depth", "residual")
    fig, axes = style.make_axes(1, 2, (9, 3.2), sharey=True)
    for row, ((_, depth, _), chosen) in enumerate(groups):
        color = "gray" if depth == 2 else style.color_of(chosen[0])
        for ax, key in zip(axes, ("epochs", "test_accuracy"), strict=True):
            values = [run.metrics[key] for run in chosen]
            ax.plot(values, [row] * len(values), "o", color=color, alpha=0.6, ms=4)
            ax.plot(np.mean(values), row, "|", color=color, ms=16, mew=2)
    labels = [
        f"width {w}, depth {d}" + ("" if d == 2 else ", residual" if r else ", plain")
        for (w, d, r), _ in groups
    ]
    axes[0].set(yticks=range(len(groups)), yticklabels=labels, ylim=(len(groups) - 0.5, -0.5))
    axes[0].set_xlabel("epochs until early stopping")
    axes[1].set_xlabel("test accuracy")
    axes[1].xaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    axes[1].xaxis.set_major_locator(MaxNLocator(4))
    return fig


@plt.rc_context(style.STYLE)
def training_curves(
    runs: Sequence[Run],
    label: Callable[[Run], str],
    quantities: tuple[str, str] = ("train_loss", "val_accuracy"),
) -> Figure:
    """A loss and an accuracy of a few networks through training, a colour for each label."""
    colors = style.colors_of(map(label, runs))
    # plain and residual have the same colours in every figure
    colors = {name: style.KIND_COLORS.get(name, color) for name, color in colors.items()}
    fig, axes = style.make_axes(1, 2, (9, 3.4))
    for ax, quantity in zip(axes, quantities, strict=True):
        style.draw_lines(ax, runs, quantity, label, colors)
    style.log_axis(axes[0], style.LABELS[quantities[0]])
    style.percent_axis(axes[1], style.LABELS[quantities[1]])
    if len(colors) > 2:
        style.label_lines(fig)
    else:
        axes[0].legend(handles=style.handles(colors))
    return fig


@plt.rc_context(style.STYLE)
def first_layer_gradient(runs: Sequence[Run], depths: Sequence[int]) -> Figure:
    """Gradient of the first hidden layer through training, and its ratio to the weight's norm.

    A line ends where the gradient has become exactly zero.
    """
    fig, axes = style.make_axes(2, len(depths), (9, 5.2), sharex=True, sharey="row")
    for (norm, ratio), depth in zip(axes.T, depths, strict=True):
        for run in select(runs, depth=depth):
            gradient, weight = (
                style.no_zeros([epoch[0] for epoch in run.history["layers"][name]])
                for name in ("gradient_norm", "weight_norm")
            )
            norm.plot(gradient, color=style.color_of(run), lw=1)
            ratio.plot(gradient / weight, color=style.color_of(run), lw=1)
        norm.set_title(f"{style.title_of(runs)}, depth {depth}")
        ratio.set_xlabel("epoch")
        style.whole_numbers(ratio)
    style.powers_axis(axes[0, 0], "gradient norm")
    style.powers_axis(axes[1, 0], "gradient norm / weight norm")
    axes[0, 0].legend(handles=style.handles(style.KIND_COLORS))
    return fig


@plt.rc_context(style.STYLE)
def signal_by_layer(runs: Sequence[Run], depths: Sequence[int]) -> Figure:
    """What is left of the image in each layer before training: a unit's deviation across images.

    Measured in fp32. Dotted, the rounding of a number as large as the plain layer's mean
    activation, in fp32 and where the networks train in bf16 in that, too: below it two images
    look the same.
    """
    formats = {"fp32": torch.float32, "bf16": torch.bfloat16}
    fig, axes = style.make_axes(1, len(depths), (9, 3.2), sharey=True)
    for ax, depth in zip(axes, depths, strict=True):
        chosen = sorted(select(runs, depth=depth), key=lambda run: run.config.residual)
        for number, run in enumerate(chosen):
            deviation, mean = (
                np.array(run.history["layers"][name][0], dtype=float)[:-1]  # without the logits
                for name in ("activation_image_std", "activation_mean")
            )
            layers = range(1, len(mean) + 1)
            ax.plot(layers, deviation, color=style.color_of(run), lw=1)
            arithmetic = run.arithmetic.removesuffix(" emulated")
            for numbers in dict.fromkeys(("fp32", arithmetic)) if number == 0 else ():
                rounding = mean * torch.finfo(formats[numbers]).eps / 2
                line = ":" if numbers == "fp32" else "--"
                label = f"rounding in {numbers} (plain)"
                ax.plot(layers, rounding, line, color="gray", lw=1, label=label)
        ax.set(title=f"{style.title_of(runs)}, depth {depth}", xlabel="layer")
        style.whole_numbers(ax, 6)
    style.powers_axis(axes[0], "deviation across images")
    roundings, _ = axes[0].get_legend_handles_labels()
    style.legend_above(fig, [*style.handles(style.KIND_COLORS), *roundings])
    return fig
