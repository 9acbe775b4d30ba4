"""Section 1.3: what the skip changes at each depth."""

from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from labutils.report import style
from labutils.report.statistics import by_fields
from labutils.runs.store import Run


@plt.rc_context(style.STYLE)
def depth_differences(*grids: Sequence[Run]) -> Figure:
    """What the skip changes at each depth, seed by seed: training loss and test accuracy.

    A column a grid. A point is a pair of runs of one seed, residual minus plain.
    """
    quantities: dict[str, Callable[[Run], float]] = {
        "training loss": lambda run: run.history["train_loss"][-1],
        "points of test accuracy": lambda run: 100 * run.metrics["test_accuracy"],
    }
    fig, axes = style.make_axes(2, len(grids), (9, 5), sharex="col")
    for column, runs in enumerate(grids):
        pairs = by_fields(runs, "depth", "seed")
        for ax, (name, value) in zip(axes[:, column], quantities.items(), strict=True):
            values: dict[int, list[float]] = {}
            for (depth, _), pair in pairs:
                if len(pair) == 2:
                    plain, residual = sorted(pair, key=lambda run: run.config.residual)
                    values.setdefault(depth, []).append(value(residual) - value(plain))
            style.draw_points(ax, values, "black")
            ax.axhline(0, color="gray", lw=1)
            ax.set_ylabel(f"{name}\nresidual - plain" if column == 0 else None)
        axes[0, column].set_title(style.title_of(runs))
        axes[1, column].set_xlabel("depth (weight layers)")
    return fig
