"""What single blocks are worth to trained networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from labutils.figures.axes import KINDS, STYLE, make_axes, percent_axis
from labutils.lesions import swap_groups


@plt.rc_context(STYLE)
def lesions(panels: Mapping[str, Mapping[bool, Mapping[str, Any]]]) -> Figure:
    """What blocks are worth to trained networks, a row a pair: accuracy without training again.

    Left, one block deleted, first to last of those that can be; in the middle, more and more
    blocks in random orders (thin) and their mean; right, two blocks of a stage swapped, the mean
    at each distance between them. Dotted, the accuracy of the whole networks. Dashed (a dash
    where there is one pair alone), batch norm uses the images' own statistics in the cut network.

    Args:
        panels: by title, for the residual and the plain network what `lesions.lesions_of` returns.
    """
    fig, axes = make_axes(len(panels), 3, (11, 2.9 * len(panels)), sharey=True)
    for row, (title, networks) in zip(axes.reshape(-1, 3), panels.items(), strict=True):
        for residual, kind, color in KINDS:
            found = networks[residual]
            single, curves = found["single"], np.asarray(found["deletions"])
            numbers, own = range(1, len(single) + 1), found["own_statistics"]
            row[0].plot(numbers, list(single.values()), "o-", ms=3, color=color)
            row[0].plot(numbers, list(own["single"].values()), "--", lw=1, color=color)
            row[1].plot(curves.T, color=color, lw=0.8, alpha=0.3)
            row[1].plot(np.mean(own["deletions"], 0), "--", lw=1, color=color)
            row[1].plot(curves.mean(0), "o-", color=color, ms=3, label=kind)
            _plot_swaps(row[2], found, "o-", color, named=residual)
            _plot_swaps(row[2], own, "--", color)
            for ax in row:
                ax.axhline(curves[0, 0], color=color, lw=0.8, ls=":")
        percent_axis(row[0], f"{title}\naccuracy")
        row[1].plot([], [], "--", lw=1, color="gray", label="batch norm with\nits own statistics")
        row[1].plot([], [], ":", lw=0.8, color="gray", label="the whole network")
        handles, labels = row[1].get_legend_handles_labels()
        row[2].legend(handles, labels, loc="upper left", bbox_to_anchor=(1, 1))
        names = (
            "deleted block, of those that can be",
            "number of deleted blocks",
            "distance of two swapped blocks",
        )
        for ax, name in zip(row, names, strict=True):
            ax.set(xlabel=name, ylim=(0, 1))
            ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        right = row[2].get_xlim()[1]
        row[2].set_xlim(right=max(1.4 * right, right + 1.5))  # room for the names of the lines
    return fig


def _plot_swaps(
    ax: Axes, found: Mapping[str, Any], style: str, color: str, named: bool = False
) -> None:
    """Accuracy against distance, a line a stage, with the numbers of its blocks if `named`."""
    for (first, last), pairs in swap_groups(found).items():
        at = np.array([pair["distance"] for pair in pairs])
        accuracy = np.array([pair["accuracy"] for pair in pairs])
        means = [accuracy[at == distance].mean() for distance in np.unique(at)]
        marker = {"marker": "_", "ms": 8} if style == "--" and len(means) == 1 else {"ms": 3}
        ax.plot(np.unique(at), means, style, lw=1, color=color, **marker)
        if named:
            text, place = f"blocks {first} to {last}", (at.max(), means[-1])
            ax.annotate(text, place, (5, 0), textcoords="offset points", va="center", size=8)
