"""What gradients and activations do, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from labutils.experiments import select
from labutils.figures.axes import (
    KINDS,
    PLAIN,
    RESIDUAL,
    STYLE,
    kinds_of,
    legend,
    make_axes,
    no_zeros,
    title_of,
)
from labutils.runs import Run
from labutils.summaries import TITLES, cell, family_name


@plt.rc_context(STYLE)
def first_layer_gradient(runs: Sequence[Run], depths: Sequence[int]) -> Figure:
    """Gradient of the first hidden layer through training, and its ratio to the weight's norm.

    A line ends where the gradient has become exactly zero.
    """
    fig, axes = make_axes(2, len(depths), (9, 5.2), sharex=True, sharey="row")
    for column, depth in enumerate(depths):
        for residual, kind, color in KINDS:
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


@plt.rc_context(STYLE)
def untrained_overview(panels: Mapping[str, Mapping[int, Mapping[str, Sequence[float]]]]) -> Figure:
    """Positions of the gradient explorer: a column a kind of network, a colour a depth.

    Above, the gradient at what each layer hands on, relative to that at the logits; below, what
    each layer still tells apart: a unit's deviation across images, averaged over its units.

    Args:
        panels: by title and depth, what `gradients.untrained_statistics` returns.
    """
    depths = sorted({depth for panel in panels.values() for depth in panel})
    colors = dict(zip(depths, sns.color_palette("viridis_r", len(depths)), strict=True))
    fig, axes = make_axes(2, len(panels), (11, 4.4), sharey="row", sharex=True)
    for column, (title, panel) in enumerate(panels.items()):
        for depth, found in panel.items():
            gradient = no_zeros(found["activation_gradient_norm"])
            spread = no_zeros(found["activation_image_std"])
            for ax, values in zip(axes[:, column], (gradient / gradient[-1], spread), strict=True):
                ax.plot(range(1, depth + 1), values, color=colors[depth], lw=1.2)
        axes[0, column].set_title(title)
        axes[1, column].set_xlabel("layer")
        axes[1, column].xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes[0, 0].set(yscale="log", ylabel="gradient / at the logits")
    axes[1, 0].set(yscale="log", ylabel="deviation across images")
    legend(axes[0, -1], [(colors[d], "-", f"depth {d}") for d in depths], outside=True)
    return fig


@plt.rc_context(STYLE)
def gradient_by_layer(runs: Sequence[Run]) -> Figure:
    """Gradient norm of every layer's weight, and its ratio to the weight's norm; a column a depth.

    Dotted before training, solid after it.
    """
    depths = sorted({run.config.depth for run in runs})
    fig, axes = make_axes(2, len(depths), (9, 5), sharey="row")
    for column, depth in enumerate(depths):
        for _, _, color, run in kinds_of(runs, depth):
            layers = run.history["layers"]
            for epoch, style in ((0, ":"), (-1, "-")):
                gradient = no_zeros(layers["gradient_norm"][epoch])
                weight = no_zeros(layers["weight_norm"][epoch])
                at = range(1, len(gradient) + 1)
                axes[0, column].plot(at, gradient, style, color=color, lw=1.2)
                axes[1, column].plot(at, gradient / weight, style, color=color, lw=1.2)
        axes[0, column].set_title(f"{title_of(runs)}, depth {depth}")
        axes[1, column].set_xlabel("layer")
        axes[1, column].xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes[0, 0].set(yscale="log", ylabel="gradient norm")
    axes[1, 0].set(yscale="log", ylabel="gradient norm / weight norm")
    legend(axes[0, -1], [(color, "-", kind) for _, kind, color in KINDS], outside=True)
    times = [("gray", ":", "untrained"), ("gray", "-", "trained")]
    legend(axes[1, -1], times, outside=True)
    return fig


@plt.rc_context(STYLE | {"axes.grid": False})
def gradient_maps(runs: Sequence[Run], epochs: Sequence[int]) -> Figure:
    """Absolute gradient of the first layer's first filter, on one logarithmic scale for all.

    A row plain and residual, a column a depth and epoch; in each, the filter's input channels
    side by side. What is exactly zero is white.
    """
    depths = sorted({run.config.depth for run in runs})
    panels = {
        (residual, depth, epoch): no_zeros(
            np.abs(run.history["first_gradient"][str(epoch)][0])  # channels x height x width
        )
        for residual, _, _ in KINDS
        for depth in depths
        for run in select(runs, depth=depth, residual=residual)
        for epoch in epochs
    }
    values = np.concatenate([panel.ravel() for panel in panels.values()])
    norm = LogNorm(np.nanmin(values), np.nanmax(values))
    columns = [(depth, epoch) for depth in depths for epoch in epochs]
    fig, axes = make_axes(2, len(columns), (9, 1.9))
    for row, (residual, kind, _) in enumerate(KINDS):
        for column, (depth, epoch) in enumerate(columns):
            ax, panel = axes[row, column], panels[residual, depth, epoch]
            picture = ax.imshow(np.hstack(list(panel)), norm=norm, cmap="viridis")
            for edge in range(1, len(panel)):
                ax.axvline(edge * panel.shape[-1] - 0.5, color="white", lw=1)
            ax.set(xticks=[], yticks=[], ylabel=kind if column == 0 else None)
            if row == 0:
                ax.set_title(f"depth {depth}, epoch {epoch}")
    fig.colorbar(picture, ax=axes, label="|gradient|", fraction=0.03)
    return fig


@plt.rc_context(STYLE)
def ablation(*grids: Sequence[Run]) -> Figure:
    """Final training loss of every run of skip x norm x initialisation, a panel a grid.

    A row a cell, a point a seed; grey, the loss of always giving the same answer.
    """
    cells = list(dict.fromkeys(cell(run) for runs in grids for run in runs))
    fig, axes = make_axes(1, len(grids), (9, 3.6), sharey=True)
    for ax, runs in zip(axes, grids, strict=True):
        for run in runs:
            color = RESIDUAL if run.config.residual else PLAIN
            loss = run.history["train_loss"][-1]
            ax.plot(loss, cells.index(cell(run)), "o", color=color, alpha=0.6, ms=4)
        ax.axvline(np.log(10), color="gray", lw=1, ls=":")  # ten classes
        config = runs[0].config
        title = f"{family_name(config)}, {TITLES[config.data]}, depth {config.depth}"
        ax.set(title=title, xlabel="training loss")
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes[0].set(yticks=range(len(cells)), yticklabels=[", ".join(names) for names in cells])
    axes[0].invert_yaxis()
    return fig
