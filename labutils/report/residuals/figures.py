"""What gradients and activations do, layer by layer."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labutils.analysis.lesions import lesions_of, swap_groups
from labutils.report import style
from labutils.report.names import cell, family_and_data
from labutils.report.residuals.experiments import QUICK, SIGNAL_KEPT, followed, keeps_both
from labutils.report.statistics import by_fields, grouped, select
from labutils.report.untrained import Kept, shattering
from labutils.runs.store import Run


@plt.rc_context(style.STYLE)
def untrained_overview(panels: Mapping[str, Mapping[int, Mapping[str, Sequence[float]]]]) -> Figure:
    """Positions of the gradient explorer: a column a kind of network, a colour a depth.

    Above, the gradient at what each layer hands on, relative to that at the logits; below, what
    each layer still tells apart: a unit's deviation across images, averaged over its units.

    Args:
        panels: by title and depth, what `untrained_statistics` returns.
    """
    colors = style.shades_of(depth for panel in panels.values() for depth in panel)
    fig, axes = style.make_axes(2, len(panels), (9, 4.6), sharey="row", sharex=True)
    for (above, below), (title, panel) in zip(axes.T, panels.items(), strict=True):
        for depth, found in panel.items():
            gradient = style.no_zeros(found["activation_gradient_norm"])
            spread = style.no_zeros(found["activation_image_std"])
            for ax, values in ((above, gradient / gradient[-1]), (below, spread)):
                ax.plot(range(1, depth + 1), values, color=colors[depth], lw=1.2)
        above.set_title(title.replace(", ", ",\n"))
        below.set_xlabel("layer")
        style.whole_numbers(below, 2)
    style.powers_axis(axes[0, 0], "gradient / at the logits")
    style.powers_axis(axes[1, 0], "deviation across images")
    style.legend_above(fig, style.handles(colors, words="depth {}"))
    return fig


@plt.rc_context(style.STYLE)
def gradient_by_layer(runs: Sequence[Run]) -> Figure:
    """Gradient norm of every layer's weight, and its ratio to the weight's norm; a column a depth.

    Dotted before training, solid after it.
    """
    groups = by_fields(followed(runs), "depth")
    fig, axes = style.make_axes(2, len(groups), (9, 5), sharey="row")
    for (norm, ratio), (depth, chosen) in zip(axes.T, groups, strict=True):
        for run in sorted(chosen, key=lambda run: run.config.residual):
            layers, color = run.history["layers"], style.color_of(run)
            for epoch, line in ((0, ":"), (-1, "-")):
                gradient = style.no_zeros(layers["gradient_norm"][epoch])
                weight = style.no_zeros(layers["weight_norm"][epoch])
                for ax, values in ((norm, gradient), (ratio, gradient / weight)):
                    ax.plot(range(1, len(values) + 1), values, line, color=color, lw=1.2)
        norm.set_title(f"{style.title_of(runs)}, depth {depth}")
        ratio.set_xlabel("layer")
        style.whole_numbers(ratio)
    style.powers_axis(axes[0, 0], "gradient norm")
    style.powers_axis(axes[1, 0], "gradient norm / weight norm")
    style.legend_above(fig, style.handles(style.KIND_COLORS, style.TIMES))
    return fig


@plt.rc_context(style.IMAGES)
def gradient_maps(runs: Sequence[Run], epochs: Sequence[int]) -> Figure:
    """Absolute gradient of the first layer's first filter, as a share of its largest value.

    A row plain and residual, a column a depth and epoch; in each, the filter's input channels
    side by side. One scale for all would leave most panels in one colour: the largest value,
    which may be smaller by twenty orders of magnitude, stands below each.
    """
    depths = sorted({run.config.depth for run in runs})
    columns = [(depth, epoch) for depth in depths for epoch in epochs]
    fig, axes = style.make_axes(2, len(columns), (9, 2.5))
    for row, (residual, kind, _) in zip(axes, style.PLAIN_AND_RESIDUAL, strict=True):
        row[0].set_ylabel(kind)
        for ax, (depth, epoch) in zip(row, columns, strict=True):
            (run,) = select(runs, depth=depth, residual=residual)
            channels = np.abs(run.history["first_gradient"][str(epoch)][0])
            largest = channels.max()
            shares = np.hstack(list(channels)) / (largest or 1)
            picture = ax.imshow(shares, vmin=0, vmax=1, cmap="viridis")
            for edge in range(1, len(channels)):
                ax.axvline(edge * channels.shape[-1] - 0.5, color="white", lw=2)
            ax.set(xticks=[], yticks=[], xlabel=f"largest: {largest:.1g}")
            ax.spines[:].set_visible(False)
            if not residual:
                ax.set_title(f"depth {depth}, epoch {epoch}")
    fig.colorbar(picture, ax=axes, label="|gradient| / largest", fraction=0.03)
    return fig


@plt.rc_context(style.STYLE)
def ablation(*grids: Sequence[Run]) -> Figure:
    """Final training loss of every run of skip x norm x initialisation, a panel a grid.

    A row a cell, a point a seed; grey, the loss of always giving the same answer.
    """
    cells = list(dict.fromkeys(cell(run) for runs in grids for run in runs))
    fig, axes = style.make_axes(1, len(grids), (9, 3.6), sharey=True)
    for ax, runs in zip(axes, grids, strict=True):
        for run in runs:
            loss, row = run.history["train_loss"][-1], cells.index(cell(run))
            ax.plot(loss, row, "o", color=style.color_of(run), alpha=0.6, ms=4)
        ax.axvline(np.log(10), color="gray", lw=1, ls=":")  # ten classes
        ax.set(title=_title(runs), xlabel="training loss", xscale="log")
        style.plain_numbers(ax.xaxis)
    axes[0].set(yticks=range(len(cells)), yticklabels=[", ".join(names) for names in cells])
    axes[0].invert_yaxis()
    style.legend_above(fig, style.handles({}, [("gray", ":", "the same answer for every image")]))
    return fig


def _title(runs: Sequence[Run]) -> str:
    return f"{family_and_data(runs[0].config)}, depth {runs[0].config.depth}"


def _joined(labels: Sequence[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """Labels at places (x, y), those that would hide one another as one, the lower y first."""
    found: list[tuple[str, float, float]] = []
    for text, x, y in sorted(labels, key=lambda label: label[2]):
        if found and abs(x - found[-1][1]) < 0.06 and y < 1.4 * found[-1][2]:
            others, far, _ = found.pop()
            text, x = f"{others}; {text}", max(x, far)
        found.append((text, x, y))
    return found


@plt.rc_context(style.STYLE)
def shattered(*grids: Sequence[Run]) -> Figure:
    """Before training, how alike gradients of nearby images are, and the training loss in the end.

    A row a grid. Left, correlation against the distance on a line between two images, a line a
    kind (seed 0); right, training loss against the correlation at one step, a point a run.
    """
    fig, axes = style.make_axes(len(grids), 2, (10, 3.2 * len(grids)))
    for (left, right), runs in zip(np.reshape(axes, (-1, 2)), grids, strict=True):
        for run in runs:
            found, color = shattering(run.config), style.color_of(run)
            dashed = "--" if run.config.norm == "batch" else "-"
            if run.config.seed == 0:
                distance = np.arange(1, len(found) + 1) / len(found)
                left.plot(distance, found, dashed, color=color, lw=1)
            right.plot(found[0], run.history["train_loss"][-1], "o", color=color, alpha=0.6, ms=4)
        left.set(xlabel="distance, 1 being that of the two images", title=_title(runs))
        left.set_ylabel("correlation of gradients")
        right.set(xlabel=f"correlation at a distance of 1/{len(found)}")
        style.log_axis(right, "training loss")
    style.legend_above(fig, style.handles(style.KIND_COLORS, [("gray", "--", "batch norm")]))
    return fig


@plt.rc_context(style.STYLE)
def deciding(*grids: Sequence[Run]) -> Figure:
    """Final training loss of kinds against what they keep of the signal; a panel a grid.

    A point a seed; filled where the kind keeps both, and grey, the limit of what counts as quick.
    """
    fig, axes = style.make_axes(1, len(grids), (9, 3.8))
    for ax, runs in zip(axes, grids, strict=True):
        kinds, reference = grouped(runs, cell), ("residual", "no norm", "default")
        labels: dict[str, list[tuple[str, float, float]]] = {"plain": [], "residual": []}
        for names, chosen in kinds.items():
            kept, color = Kept.of([run.config for run in chosen]), style.color_of(chosen[0])
            losses = [run.history["train_loss"][-1] for run in chosen]
            fill, at = color if keeps_both(kept) else "none", [kept.signal] * len(losses)
            ax.plot(at, losses, "o", mec=color, mfc=fill, alpha=0.7, ms=5)
            text = ", ".join(names[1:]) if names[1] != "no norm" else names[2]
            labels[names[0]].append((text, kept.signal, float(np.mean(losses))))
        for text, x, y in (label for some in labels.values() for label in _joined(some)):
            ax.annotate(text, (x, y), (7, 0), textcoords="offset points", va="center", size=8)
        limit = QUICK * np.mean([run.history["train_loss"][-1] for run in kinds[reference]])
        ax.axhline(limit, color="gray", lw=1, ls=":")
        ax.axvline(SIGNAL_KEPT, color="gray", lw=1, ls=":")
        ax.set(xlabel="share of variance across images, untrained", xlim=(-0.05, 1.3))
        ax.set_title(_title(runs))
        style.log_axis(ax, "training loss")
    style.legend_above(fig, style.handles(style.KIND_COLORS))
    return fig


@plt.rc_context(style.STYLE)
def lesions(panels: Mapping[str, Sequence[Run]]) -> Figure:
    """What blocks are worth to trained networks, a row a pair: accuracy without training again.

    Left, one block deleted, first to last of those that can be; in the middle, more and more
    blocks in random orders (thin) and their mean; right, two blocks of a stage swapped, the mean
    at each distance between them. Dotted, the accuracy of the whole networks. Dashed, with
    crosses, batch norm uses the images' own statistics in the cut network. A marker is a seed; of
    several the line is the mean, with its deviation.

    Args:
        panels: by title the networks, plain and residual.
    """
    fig, axes = style.make_axes(len(panels), 3, (9, 2.7 * len(panels)), sharey=True)
    for row, (title, runs) in zip(axes.reshape(-1, 3), panels.items(), strict=True):
        for residual, _, color in style.PLAIN_AND_RESIDUAL:
            found = [lesions_of(run) for run in select(runs, residual=residual)]
            for one in found:
                row[1].plot(np.transpose(one["deletions"]), color=color, lw=0.8, alpha=0.3)
            _draw_lesions(row, [one["own_statistics"] for one in found], color, "x--")
            _draw_lesions(row, found, color, "o-", named=residual)
            for ax in row:
                whole = np.mean([one["deletions"][0][0] for one in found])
                ax.axhline(whole, color=color, lw=0.8, ls=":")
        style.percent_axis(row[0], f"{title}\naccuracy")
        names = ("deleted block", "number of deleted blocks", "distance of two swapped blocks")
        for ax, name in zip(row, names, strict=True):
            ax.set(xlabel=name, ylim=(0, 1))
            style.whole_numbers(ax, 6)
        right = row[2].get_xlim()[1]
        row[2].set_xlim(right=max(1.5 * right, right + 1.5))  # room for the names of the lines
    others = [("gray", "--", "batch norm with its own statistics"), ("gray", ":", "whole network")]
    style.legend_above(fig, style.handles(style.KIND_COLORS, others))
    return fig


def _draw_lesions(
    row: Sequence[Axes], seeds: Sequence[Any], color: style.Color, line: str, named: bool = False
) -> None:
    """One network's lesions; of swaps a line a stage, with the numbers of its blocks if `named`."""

    def draw(ax: Axes, values: Sequence[Sequence[float]], first: int = 1) -> None:
        at, mean = range(first, first + len(values[0])), np.mean(values, 0)
        ax.plot(at, np.transpose(values), line[0], color=color, ms=3, alpha=0.6)
        deviation = np.std(values, 0, ddof=1) if len(values) > 1 else None
        ax.errorbar(at, mean, deviation, fmt=line[1:], color=color, lw=1, capsize=2)

    draw(row[0], [list(found["single"].values()) for found in seeds])
    draw(row[1], [np.mean(found["deletions"], 0) for found in seeds], 0)
    groups = [swap_groups(found) for found in seeds]
    for first, last in groups[0]:
        pairs = [pd.DataFrame(group[first, last]) for group in groups]
        means = [list(one.groupby("distance")["accuracy"].mean()) for one in pairs]
        draw(row[2], means)
        if named:
            text, place = f"blocks {first} to {last}", (len(means[0]), np.mean(means, 0)[-1])
            row[2].annotate(text, place, (5, 0), textcoords="offset points", va="center", size=8)
