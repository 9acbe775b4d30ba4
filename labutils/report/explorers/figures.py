"""What the explorers draw, and all their positions at once."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labutils.report import style
from labutils.report.names import count_of, kind_name
from labutils.report.statistics import by_fields
from labutils.runs.store import Run


@plt.rc_context(style.STYLE)
def depth_overview(runs: Sequence[Run]) -> Figure:
    """All positions of the depth explorer at once: a column a depth.

    Validation accuracy through training above; below, the gradient at each layer's output
    relative to that at the logits, before training (dotted) and after it (solid). Below a layer
    whose units are all dead it is zero, and a line ends.
    """
    groups = by_fields(runs, "depth")
    fig, axes = style.make_axes(2, len(groups), (9, 4.4), sharey="row")
    for column, (depth, chosen) in enumerate(groups):
        for run in sorted(chosen, key=lambda run: run.config.residual):
            style.draw_line(axes[0, column], run, "val_accuracy", style.color_of(run))
            _draw_gradient(axes[1, column], run)
        axes[0, column].set(title=f"depth {depth}", xlabel="epoch")
        axes[1, column].set_xlabel("layer")
        for ax in axes[:, column]:
            style.whole_numbers(ax, 3)
    style.percent_axis(axes[0, 0], "validation accuracy")
    style.powers_axis(axes[1, 0], "gradient / at the logits")
    title = f"{style.title_of(runs)} (a gradient of zero is not drawn)"
    style.legend_above(fig, style.handles(style.KIND_COLORS, style.TIMES), title)
    return fig


@plt.rc_context(style.STYLE)
def explorer_view(runs: Sequence[Run], twins: Sequence[Run] = ()) -> Figure:
    """What the depth explorer shows of the seeds of one configuration; faintly, of its twins."""
    # a computed layout takes most of 200 ms
    fig, axes = style.make_axes(1, 3, (9, 2.8), layout=None)
    fig.subplots_adjust(left=0.08, right=0.99, bottom=0.16, top=0.9, wspace=0.36)
    config = runs[0].config
    for run, alpha in [*((twin, 0.25) for twin in twins), *((run, 0.9) for run in runs)]:
        for ax, quantity in zip(axes, ("train_loss", "val_accuracy"), strict=False):
            style.draw_line(ax, run, quantity, style.color_of(run), alpha=alpha)
        _draw_gradient(axes[2], run, alpha)
    axes[0].set_title(f"{style.title_of(runs)}, {kind_name(config)}")
    axes[1].set_title(f"depth {config.depth}, {count_of(runs)}")
    axes[2].set(title="dotted: untrained; 0 is left out", xlabel="layer")
    # the same axes at every position, so that moving the slider shows what changes
    style.log_axis(axes[0], "training loss", limits=(1e-3, 3))
    style.percent_axis(axes[1], "validation accuracy")
    axes[1].set_ylim(0, 1)
    style.powers_axis(axes[2], "gradient / at the logits", (1e-22, 1e3))
    return fig


def _draw_gradient(ax: Axes, run: Run, alpha: float = 0.8) -> None:
    """Gradient at what each layer hands on, relative to that at the logits: before and after."""
    for epoch, line in ((0, ":"), (-1, "-")):
        norms = style.no_zeros(run.history["layers"]["activation_gradient_norm"][epoch])
        at, look = range(1, len(norms) + 1), {"color": style.color_of(run), "alpha": alpha}
        ax.plot(at, norms / norms[-1], line, lw=1, **look)
    style.whole_numbers(ax, 4)


@plt.rc_context(style.STYLE)
def gradient_view(statistics: dict[str, list[float]], residual: bool) -> Figure:
    """What the gradient explorer shows of what `layer_statistics` found in one network."""
    # a computed layout takes most of 200 ms
    fig, axes = style.make_axes(1, 3, (9, 2.8), layout=None)
    fig.subplots_adjust(left=0.08, right=0.99, bottom=0.16, top=0.96, wspace=0.35)
    color = style.RESIDUAL if residual else style.PLAIN
    values = {name: style.no_zeros(numbers) for name, numbers in statistics.items()}
    layers = range(1, len(values["gradient_norm"]) + 1)
    gradient = values["activation_gradient_norm"]
    shown = (
        ("gradient / at the logits", gradient / gradient[-1], 1e-22),
        ("gradient / weight norm", values["gradient_norm"] / values["weight_norm"], 1e-22),
        ("activations", values["activation_std"], 1e-12),
    )
    for ax, (label, numbers, lowest) in zip(axes, shown, strict=True):
        ax.plot(layers, numbers, ".-", ms=4, lw=1, color=color, label="deviation")
        ax.set_xlabel("layer")
        style.powers_axis(ax, label, (lowest, 1e6))
        style.whole_numbers(ax)
    axes[2].plot(layers, values["activation_image_std"], ":", color=color, label="across images")
    axes[2].legend(loc="lower left")
    return fig


@plt.rc_context(style.STYLE)
def live_curves(histories: dict[str, dict[str, list[float]]], epochs: int) -> Figure:
    """Training loss and validation accuracy of two networks while they train.

    Args:
        histories: for `plain` and `residual` what has been measured so far, a list a quantity.
        epochs: how many there will be.
    """
    fig, axes = style.make_axes(1, 2, (8, 2.8), layout=None)
    fig.subplots_adjust(left=0.09, right=0.98, bottom=0.18, top=0.93, wspace=0.28)
    for _, kind, color in style.PLAIN_AND_RESIDUAL:
        for ax, quantity in zip(axes, ("train_loss", "val_accuracy"), strict=True):
            values = histories[kind].get(quantity, [])
            ax.plot(range(1, len(values) + 1), values, ".-", color=color, label=kind)
            ax.set(xlim=(0.5, epochs + 0.5), xlabel="epoch", ylabel=style.LABELS[quantity])
            style.whole_numbers(ax)
    axes[0].set_ylim(0, 2.6)
    axes[1].set_ylim(0, 1)
    style.percent_axis(axes[1], style.LABELS["val_accuracy"])
    axes[0].legend(loc="lower left")
    return fig
