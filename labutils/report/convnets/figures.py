"""Section 1.3: what the skip changes at each depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from labutils.report.statistics import select
from labutils.report.style import STYLE, draw_points, make_axes, title_of
from labutils.runs.store import Run


@plt.rc_context(STYLE)
def depth_differences(*grids: Sequence[Run]) -> Figure:
    """What the skip changes at each depth, seed by seed: training loss and test accuracy.

    A column a grid. A point is a pair of runs of one seed, residual minus plain.
    """
    quantities: dict[str, Callable[[Run], float]] = {
        "train loss": lambda run: run.history["train_loss"][-1],
        "points of test accuracy": lambda run: 100 * run.metrics["test_accuracy"],
    }
    fig, axes = make_axes(2, len(grids), (9, 5), sharex="col")
    for column, runs in enumerate(grids):
        pairs = {
            (residual, run.config.depth, run.config.seed): run
            for residual in (False, True)
            for run in select(runs, residual=residual)
        }
        for ax, (name, value) in zip(axes[:, column], quantities.items(), strict=True):
            values: dict[int, list[float]] = {}
            for (residual, depth, seed), run in pairs.items():
                if residual and (False, depth, seed) in pairs:
                    difference = value(run) - value(pairs[False, depth, seed])
                    values.setdefault(depth, []).append(difference)
            draw_points(ax, dict(sorted(values.items())), "black", 0, None)
            ax.axhline(0, color="gray", lw=1)
            ax.set_ylabel(f"{name}\nresidual - plain" if column == 0 else None)
        axes[0, column].set_title(title_of(runs))
        axes[1, column].set_xlabel("depth (weight layers)")
    return fig
