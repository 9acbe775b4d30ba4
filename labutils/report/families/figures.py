"""Networks compared with one another, and what the best of them gets wrong."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from labutils.report import style
from labutils.report.names import network_name
from labutils.report.statistics import squared_errors
from labutils.runs.store import Run


@plt.rc_context(style.STYLE)
def protocol_curves(protocols: Mapping[str, Sequence[Run]]) -> Figure:
    """Section 1.4: validation accuracy of the same networks, a panel for each way to train them."""
    colors = style.colors_of(
        network_name(run.config) for runs in protocols.values() for run in runs
    )
    fig, axes = style.make_axes(1, len(protocols), (9, 3.4), sharey=True)
    for ax, (title, runs) in zip(axes, protocols.items(), strict=True):
        style.draw_lines(ax, runs, "val_accuracy", lambda run: network_name(run.config), colors)
        ax.set_title(title)
    style.percent_axis(axes[0], "validation accuracy")
    style.label_lines(fig)
    return fig


@plt.rc_context(style.STYLE)
def schedule_curves(runs: Sequence[Run]) -> Figure:
    """Section 1.4: one network without and with a schedule, measured in two ways after each epoch.

    Left, validation accuracy, where batch norm uses its running averages; right, the squared
    error on 512 training images, where it uses those images' own statistics.
    """
    colors = style.colors_of(("constant", "one-cycle"))
    fig, axes = style.make_axes(1, 2, (9, 3.4))
    for run in runs:
        color = colors[run.config.schedule]
        style.draw_line(axes[0], run, "val_accuracy", color)
        errors = squared_errors(run)[1:]
        axes[1].plot(range(1, len(errors) + 1), errors, color=color, lw=1, alpha=0.8)
    style.percent_axis(axes[0], "validation accuracy")
    axes[0].set_title("running averages in batch norm")
    axes[1].set(ylabel="squared error, training images", xlabel="epoch", ylim=(0, None))
    axes[1].set_title("the images' own statistics")
    axes[1].legend(handles=style.handles(colors))
    return fig
