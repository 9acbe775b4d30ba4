"""Every figure of the report, drawn from stored runs, and the one way to save them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter

from labutils.experiments import select
from labutils.profiles import Profile, profile
from labutils.runs import Run, inference_cost, training_cost
from labutils.summaries import FAMILIES, TITLES, by_network, cell

PLAIN, RESIDUAL = sns.color_palette("colorblind")[1], sns.color_palette("colorblind")[0]
LABELS = {
    "train_loss": "training loss",
    "train_accuracy": "training accuracy",
    "val_loss": "validation loss",
    "val_accuracy": "validation accuracy",
}
KINDS = ((False, "plain", PLAIN), (True, "residual", RESIDUAL))
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "font.size": 9,
    "axes.titlesize": 10,
}


def save_figure(fig: Figure, name: str, *, alt: str, which: Profile | None = None) -> Path:
    """Write `images/NAME.png` with its alternative text inside, and show that file.

    Args:
        name: of the file, without ending.
        alt: what the figure shows, the finding, for readers who do not see it.

    Raises:
        ValueError: the alternative text is missing or says only what kind of picture it is.
    """
    if len(alt.split()) < 5:
        raise ValueError(f"{name}: alt is {alt!r}: say in a sentence what the figure shows")
    folder = (which or profile()).images
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    # without Software a new release of matplotlib alone does not change the file
    fig.savefig(path, dpi=110, metadata={"Description": alt, "Software": None})
    plt.close(fig)
    _show(path, alt, (which or profile()).notice)
    return path


def report(name: str) -> str:
    """The Markdown of a saved figure, as README.md shows it; the alternative text is the file's."""
    path = profile("full").images / f"{name}.png"
    with PIL.Image.open(path) as image:
        return f"![{image.info['Description']}](images/{name}.png)"


def _show(path: Path, alt: str, notice: str) -> None:
    """Display a picture where there is a notebook to display it in."""
    try:
        from IPython import get_ipython
        from IPython.display import Image, Markdown, display
    except ModuleNotFoundError:
        return
    if get_ipython() is not None:
        display(Image(filename=path, alt=alt))
        if notice:
            display(Markdown(notice))


@plt.rc_context(STYLE)
def width_curves(runs: Sequence[Run]) -> Figure:
    """Section 1.1: validation loss and accuracy through training, a colour a width.

    Solid lines see the images as they are, dashed ones shifted by up to a pixel; a dot is the
    epoch whose weights early stopping restored.
    """
    widths = sorted({run.config.width for run in runs})
    colors = dict(zip(widths, sns.color_palette("colorblind"), strict=False))
    fig, axes = _axes(1, 2, (9, 3.6))
    for ax, quantity in zip(axes, ("val_loss", "val_accuracy"), strict=True):
        for run in runs:
            style = "--" if run.config.crop_padding else "-"
            color, best = colors[run.config.width], run.metrics["best_epoch"]
            _line(ax, run, quantity, color, style)
            ax.plot(best, run.history[quantity][best - 1], ".", color=color)
    _log(axes[0], "validation loss")
    _percent(axes[1], "validation accuracy")
    entries = [(colors[width], "-", f"width {width}") for width in widths]
    entries += [("gray", "--", "shifted images"), ("gray", "", "weights restored")]
    _legend(axes[1], entries, outside=True)
    axes[1].get_legend().legend_handles[-1].set_marker(".")
    return fig


@plt.rc_context(STYLE)
def depth_curves(runs: Sequence[Run]) -> Figure:
    """Training loss and validation accuracy through training, plain left, residual right.

    One thin line a run, a colour a depth, equal axes in a row.
    """
    depths = sorted({run.config.depth for run in runs})
    colors = dict(zip(depths, sns.color_palette("viridis_r", len(depths)), strict=True))
    fig, axes = _axes(2, 2, (9, 5.6), sharex=True, sharey="row")
    for column, (residual, kind, _) in enumerate(KINDS):
        chosen = [r for r in runs if r.config.residual == residual or r.config.depth == 2]
        for run in chosen:
            _line(axes[0, column], run, "train_loss", colors[run.config.depth])
            _line(axes[1, column], run, "val_accuracy", colors[run.config.depth])
        axes[0, column].set_title(f"{_title(runs)}, {kind}")
    _log(axes[0, 0], "training loss")
    _percent(axes[1, 0], "validation accuracy")
    _legend(axes[0, 1], [(colors[d], "-", f"depth {d}") for d in depths], outside=True)
    return fig


@plt.rc_context(STYLE)
def depth_accuracy(*grids: Sequence[Run]) -> Figure:
    """Test accuracy against depth, a panel a grid: every run, mean and standard deviation."""
    fig, axes = _axes(1, len(grids), (9, 3.6))
    for ax, runs in zip(axes, grids, strict=True):
        for residual, kind, color in KINDS:
            chosen = select(runs, residual=residual)
            shift = 0.25 if residual else -0.25  # so that points do not hide one another
            _points(ax, _by_depth(chosen, lambda r: r.metrics["test_accuracy"]), color, shift, kind)
        ax.set(title=_title(runs), xlabel="depth (weight layers)")
        _percent(ax, "test accuracy")
        ax.set_ylim(bottom=0)
        ax.legend()
    return fig


@plt.rc_context(STYLE)
def depth_differences(*grids: Sequence[Run]) -> Figure:
    """What the skip changes at each depth, seed by seed: training loss and test accuracy.

    A column a grid. A point is a pair of runs of one seed, residual minus plain.
    """
    quantities: dict[str, Callable[[Run], float]] = {
        "train loss": lambda run: run.history["train_loss"][-1],
        "points of test accuracy": lambda run: 100 * run.metrics["test_accuracy"],
    }
    fig, axes = _axes(2, len(grids), (9, 5), sharex="col")
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
            _points(ax, dict(sorted(values.items())), "black", 0, None)
            ax.axhline(0, color="gray", lw=1)
            ax.set_ylabel(f"{name}\nresidual - plain" if column == 0 else None)
        axes[0, column].set_title(_title(runs))
        axes[1, column].set_xlabel("depth (weight layers)")
    return fig


@plt.rc_context(STYLE)
def first_layer_gradient(runs: Sequence[Run], depths: Sequence[int]) -> Figure:
    """Gradient of the first hidden layer through training, and its ratio to the weight's norm.

    A line ends where the gradient has become exactly zero.
    """
    fig, axes = _axes(2, len(depths), (9, 5.2), sharex=True, sharey="row")
    for column, depth in enumerate(depths):
        for residual, kind, color in KINDS:
            for number, run in enumerate(select(runs, depth=depth, residual=residual)):
                gradient, weight = (
                    _no_zeros([epoch[0] for epoch in run.history["layers"][name]])
                    for name in ("gradient_norm", "weight_norm")
                )
                label = kind if number == 0 else None
                axes[0, column].plot(gradient, color=color, lw=1, label=label)
                axes[1, column].plot(gradient / weight, color=color, lw=1)
        axes[0, column].set_title(f"{_title(runs)}, depth {depth}")
        axes[1, column].set_xlabel("epoch")
        axes[1, column].xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes[0, 0].set(ylabel="gradient norm", yscale="log")
    axes[1, 0].set(ylabel="gradient norm / weight norm", yscale="log")
    axes[0, 0].legend()
    return fig


@plt.rc_context(STYLE)
def signal_by_layer(runs: Sequence[Run], depths: Sequence[int]) -> Figure:
    """What is left of the image in each layer before training: a unit's deviation across images.

    Dotted, the rounding of an fp32 number as large as the plain layer's mean activation: below
    it two images look the same.
    """
    fig, axes = _axes(1, len(depths), (9, 3.2), sharey=True)
    for ax, depth in zip(axes, depths, strict=True):
        for number, (_, kind, color, run) in enumerate(_kinds_of(runs, depth)):
            deviation, mean = (
                np.array(run.history["layers"][name][0], dtype=float)[:-1]  # without the logits
                for name in ("activation_image_std", "activation_mean")
            )
            layers = range(1, len(mean) + 1)
            label = kind if run.config.seed == 0 else None
            ax.plot(layers, deviation, color=color, lw=1, label=label)
            if number == 0:
                rounding = mean * np.finfo(np.float32).eps / 2
                ax.plot(layers, rounding, ":", color="gray", label="rounding in fp32 (plain)")
        ax.set(title=f"{_title(runs)}, depth {depth}", xlabel="layer", yscale="log")
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes[0].set_ylabel("deviation across images")
    axes[0].legend()
    return fig


@plt.rc_context(STYLE)
def rescue_curves(runs: Sequence[Run]) -> Figure:
    """Training loss of stalled plain networks under several learning rates, a panel a set."""
    names = list(dict.fromkeys(run.config.data for run in runs))
    rates = sorted({run.config.learning_rate for run in runs})
    colors = dict(zip(rates, sns.color_palette("viridis", len(rates)), strict=True))
    fig, axes = _axes(1, len(names), (9, 3.4))
    for ax, name in zip(axes, names, strict=True):
        chosen = select(runs, data=name)
        for run in chosen:
            _line(ax, run, "train_loss", colors[run.config.learning_rate])
        ax.set_title(f"{_title(chosen)}, plain, depth {chosen[0].config.depth}")
        _log(ax, "training loss")
    _legend(axes[-1], [(colors[r], "-", f"rate {r:g}") for r in rates])
    return fig


@plt.rc_context(STYLE)
def early_stopping(runs: Sequence[Run]) -> Figure:
    """Epochs until early stopping and test accuracy of each network of report-d's table."""
    groups = sorted({(r.config.width, r.config.depth, r.config.residual) for r in runs})
    fig, axes = _axes(1, 2, (9, 3.2), sharey=True)
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
    colors = dict(zip(labels, sns.color_palette("colorblind")[2:], strict=False))
    colors |= {kind: color for _, kind, color in KINDS}  # the same in every figure
    fig, axes = _axes(1, 2, (9, 3.4))
    for run in runs:
        for ax, quantity in zip(axes, quantities, strict=True):
            _line(ax, run, quantity, colors[label(run)])
    _log(axes[0], LABELS[quantities[0]])
    _percent(axes[1], LABELS[quantities[1]])
    many = len(labels) > 2
    _legend(axes[int(many)], [(colors[name], "-", name) for name in labels], outside=many)
    return fig


@plt.rc_context(STYLE)
def cost(runs: Sequence[Run]) -> Figure:
    """Test accuracy of every network against what one answer and what its training cost.

    A point a network, the mean over its seeds; a colour a family, hollow without skips.
    """
    groups = by_network(runs)
    families = list(dict.fromkeys(group[0].config.model for group in groups))
    colors = dict(zip(families, sns.color_palette("colorblind"), strict=False))
    fig, axes = _axes(1, 2, (9, 4), sharey=True)
    for group in groups:
        config = group[0].config
        accuracy = np.mean([run.metrics["test_accuracy"] for run in group])
        fill = colors[config.model] if config.residual else "none"
        for ax, operations in zip(axes, (inference_cost, training_cost), strict=True):
            ax.plot(
                operations(config), accuracy, "o", ms=5, mec=colors[config.model], mfc=fill, mew=1.2
            )
    axes[0].set(xscale="log", xlabel="multiply-adds of one image")
    axes[1].set(xscale="log", xlabel="multiply-adds of the training")
    _percent(axes[0], "test accuracy")
    entries = [(colors[family], "", FAMILIES[family]) for family in families]
    _legend(axes[1], [*entries, ("black", "", "residual"), ("black", "", "no skip")], outside=True)
    for handle in axes[1].get_legend().legend_handles:
        handle.set_marker("o")
    axes[1].get_legend().legend_handles[-1].set_markerfacecolor("none")
    return fig


@plt.rc_context(STYLE)
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


@plt.rc_context(STYLE)
def depth_overview(runs: Sequence[Run]) -> Figure:
    """All positions of the depth explorer at once: a column a depth.

    Validation accuracy through training above; below, the gradient at each layer's output
    relative to that at the logits, before training (dotted) and after it (solid).
    """
    depths = sorted({run.config.depth for run in runs})
    fig, axes = _axes(2, len(depths), (11, 4.2), sharey="row")
    for column, depth in enumerate(depths):
        for _, _, color, run in _kinds_of(runs, depth):
            _line(axes[0, column], run, "val_accuracy", color)
            _gradient_by_layer(axes[1, column], run, color)
        axes[0, column].set_title(f"depth {depth}")
        axes[1, column].set_xlabel("layer")
    _percent(axes[0, 0], f"{_title(runs)}\nvalidation accuracy")
    axes[1, 0].set(yscale="log", ylabel="gradient / at the logits")
    _legend(axes[0, -1], [(color, "-", kind) for _, kind, color in KINDS])
    _legend(axes[1, -1], [("gray", ":", "untrained"), ("gray", "-", "trained")])
    return fig


@plt.rc_context(STYLE)
def explorer_view(runs: Sequence[Run]) -> Figure:
    """What the depth explorer shows of the seeds of one configuration."""
    fig, axes = _axes(1, 3, (10, 2.9), layout=None)  # a computed layout takes most of 200 ms
    fig.subplots_adjust(left=0.07, right=0.99, bottom=0.16, top=0.9, wspace=0.28)
    config = runs[0].config
    color = RESIDUAL if config.residual else PLAIN
    for run in runs:
        _line(axes[0], run, "train_loss", color)
        _line(axes[1], run, "val_accuracy", color)
        _gradient_by_layer(axes[2], run, color)
    kind = "residual" if config.residual else "plain"
    axes[0].set_title(f"{_title(runs)}, {kind}")
    # the same axes at every position, so that moving the slider shows what changes
    _log(axes[0], "training loss", limits=(1e-3, 3))
    axes[1].set(title=f"depth {config.depth}, {len(runs)} seeds")
    axes[2].set(ylabel="gradient / at the logits", yscale="log", xlabel="layer")
    axes[2].set_title("dotted: untrained; zero is not drawn")
    _percent(axes[1], "validation accuracy")
    axes[1].set_ylim(0, 1)
    axes[2].set_ylim(1e-22, 1e3)
    return fig


@plt.rc_context(STYLE)
def gradient_by_layer(runs: Sequence[Run]) -> Figure:
    """Gradient norm of every layer's weight, and its ratio to the weight's norm; a column a depth.

    Dotted before training, solid after it.
    """
    depths = sorted({run.config.depth for run in runs})
    fig, axes = _axes(2, len(depths), (9, 5), sharey="row")
    for column, depth in enumerate(depths):
        for _, _, color, run in _kinds_of(runs, depth):
            layers = run.history["layers"]
            for epoch, style in ((0, ":"), (-1, "-")):
                gradient = _no_zeros(layers["gradient_norm"][epoch])
                weight = _no_zeros(layers["weight_norm"][epoch])
                at = range(1, len(gradient) + 1)
                axes[0, column].plot(at, gradient, style, color=color, lw=1.2)
                axes[1, column].plot(at, gradient / weight, style, color=color, lw=1.2)
        axes[0, column].set_title(f"{_title(runs)}, depth {depth}")
        axes[1, column].set_xlabel("layer")
        axes[1, column].xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes[0, 0].set(yscale="log", ylabel="gradient norm")
    axes[1, 0].set(yscale="log", ylabel="gradient norm / weight norm")
    _legend(axes[0, -1], [(color, "-", kind) for _, kind, color in KINDS])
    _legend(axes[1, -1], [("gray", ":", "untrained"), ("gray", "-", "trained")])
    return fig


@plt.rc_context(STYLE | {"axes.grid": False})
def gradient_maps(runs: Sequence[Run], epochs: Sequence[int]) -> Figure:
    """Absolute gradient of the first layer's first filter, on one logarithmic scale for all.

    A row plain and residual, a column a depth and epoch; in each, the filter's input channels
    side by side. What is exactly zero is white.
    """
    depths = sorted({run.config.depth for run in runs})
    panels = {
        (residual, depth, epoch): _no_zeros(
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
    fig, axes = _axes(2, len(columns), (9, 2.6))
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
    fig, axes = _axes(1, len(grids), (9, 3.6), sharey=True)
    for ax, runs in zip(axes, grids, strict=True):
        for run in runs:
            color = RESIDUAL if run.config.residual else PLAIN
            loss = run.history["train_loss"][-1]
            ax.plot(loss, cells.index(cell(run)), "o", color=color, alpha=0.6, ms=4)
        ax.axvline(np.log(10), color="gray", lw=1, ls=":")  # ten classes
        ax.set(title=f"{_title(runs)}, depth {runs[0].config.depth}", xlabel="training loss")
    axes[0].set(yticks=range(len(cells)), yticklabels=[", ".join(names) for names in cells])
    axes[0].invert_yaxis()
    return fig


@plt.rc_context(STYLE)
def lesion_curves(panels: dict[str, dict[bool, Sequence[Sequence[float]]]]) -> Figure:
    """Accuracy against deleted blocks, a panel a pair of networks.

    Args:
        panels: by title, for the residual and the plain network, one list of accuracies an order
            of deletion: after 0, 1, 2, ... blocks.
    """
    fig, axes = _axes(1, len(panels), (9, 3.4), sharey=True)
    for ax, (title, networks) in zip(axes, panels.items(), strict=True):
        for residual, kind, color in KINDS:
            curves = np.asarray(networks[residual])
            ax.plot(curves.T, color=color, lw=0.8, alpha=0.4)
            ax.plot(curves.mean(0), "o-", color=color, ms=3, label=kind)
        ax.set(title=title, xlabel="deleted blocks", ylim=(0, 1))
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    _percent(axes[0], "accuracy, not trained again")
    axes[0].legend()
    return fig


@plt.rc_context(STYLE)
def gradient_view(statistics: dict[str, list[float]], residual: bool) -> Figure:
    """What the gradient explorer shows of one untrained network, layer by layer.

    Args:
        statistics: what `gradients.layer_statistics` returns.
    """
    fig, axes = _axes(1, 3, (10, 2.9), layout=None)  # a computed layout takes most of 200 ms
    fig.subplots_adjust(left=0.07, right=0.99, bottom=0.16, top=0.9, wspace=0.3)
    color = RESIDUAL if residual else PLAIN
    values = {name: _no_zeros(numbers) for name, numbers in statistics.items()}
    layers = range(1, len(values["gradient_norm"]) + 1)
    shown = (
        ("gradient / at the logits", values["activation_gradient_norm"], 1e-22),
        ("gradient / weight norm", values["gradient_norm"] / values["weight_norm"], 1e-22),
        ("activations", values["activation_std"], 1e-12),
    )
    for ax, (label, numbers, lowest) in zip(axes, shown, strict=True):
        scale = numbers[-1] if "logits" in label else 1
        ax.plot(layers, numbers / scale, ".-", ms=4, lw=1, color=color, label="deviation")
        ax.set(ylabel=label, yscale="log", xlabel="layer", ylim=(lowest, 1e6))
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes[2].plot(layers, values["activation_image_std"], ":", color=color, label="across images")
    axes[2].legend(loc="lower left")
    return fig


@plt.rc_context(STYLE)
def live_curves(histories: dict[str, dict[str, list[float]]], epochs: int) -> Figure:
    """Training loss and validation accuracy of two networks while they train.

    Args:
        histories: for `plain` and `residual` what has been measured so far, a list a quantity.
        epochs: how many there will be.
    """
    fig, axes = _axes(1, 2, (8, 2.8), layout=None)
    fig.subplots_adjust(left=0.09, right=0.98, bottom=0.18, top=0.93, wspace=0.28)
    for _, kind, color in KINDS:
        for ax, quantity in zip(axes, ("train_loss", "val_accuracy"), strict=True):
            values = histories[kind].get(quantity, [])
            ax.plot(range(1, len(values) + 1), values, ".-", color=color, label=kind)
            ax.set(xlim=(0.5, epochs + 0.5), xlabel="epoch", ylabel=LABELS[quantity])
            ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes[0].set_ylim(0, 2.6)
    axes[1].set_ylim(0, 1)
    _percent(axes[1], LABELS["val_accuracy"])
    axes[0].legend(loc="lower left")
    return fig


def _axes(
    rows: int, columns: int, size: tuple[float, float], **kwargs: object
) -> tuple[Figure, np.ndarray]:
    """A figure and its axes: an array of rows and columns, or of columns for a single row."""
    kwargs = {"layout": "constrained", "squeeze": False, **kwargs}
    fig, axes = plt.subplots(rows, columns, figsize=size, **kwargs)
    return fig, axes if rows > 1 else axes[0]


def _by_depth(runs: Iterable[Run], value: Callable[[Run], float]) -> dict[int, list[float]]:
    values: dict[int, list[float]] = {}
    for run in sorted(runs, key=lambda run: run.config.depth):
        values.setdefault(run.config.depth, []).append(value(run))
    return values


def _points(
    ax: Axes, values: dict[int, list[float]], color: object, shift: float, label: str | None
) -> None:
    """Every value at its depth, and a line through the means with their deviations."""
    for depth, several in values.items():
        ax.plot([depth + shift] * len(several), several, "o", ms=3.5, color=color, alpha=0.6)
    means = [np.mean(several) for several in values.values()]
    stds = [np.std(several, ddof=len(several) > 1) for several in values.values()]
    at = np.add(list(values), shift)
    ax.errorbar(at, means, stds, color=color, lw=1.3, capsize=2, label=label)


def _kinds_of(
    runs: Iterable[Run], depth: int
) -> Iterable[tuple[bool, str, tuple[float, float, float], Run]]:
    for residual, kind, color in KINDS:
        for run in select(runs, depth=depth, residual=residual):
            yield residual, kind, color, run


def _line(ax: Axes, run: Run, quantity: str, color: object, style: str = "-") -> None:
    """One run's value after each epoch, from 1 on."""
    values = run.history[quantity]
    ax.plot(range(1, len(values) + 1), values, style, color=color, lw=1, alpha=0.8)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if ax.get_subplotspec().is_last_row():
        ax.set_xlabel("epoch")


def _gradient_by_layer(ax: Axes, run: Run, color: object) -> None:
    """Gradient at what each layer hands on, relative to that at the logits: before and after."""
    for epoch, style in ((0, ":"), (-1, "-")):
        norms = _no_zeros(run.history["layers"]["activation_gradient_norm"][epoch])
        ax.plot(range(1, len(norms) + 1), norms / norms[-1], style, color=color, lw=1, alpha=0.8)
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))


def _no_zeros(values: Sequence[float]) -> np.ndarray:
    """The values with nan for zero, where a line on a logarithmic axis ends."""
    array = np.array(values, dtype=float)
    return np.where(array == 0, np.nan, array)


def _log(ax: Axes, label: str, limits: tuple[float, float] | None = None) -> None:
    """A logarithmic axis for losses, its ticks plain numbers; linear where little is spanned."""
    ax.set_ylabel(label)
    if limits:
        ax.set_ylim(limits)
    low, high = limits or ax.dataLim.intervaly
    if not high > 3 * low > 0:
        return
    ax.set_yscale("log")
    subs = (1, 2, 5) if high > 10 * low else (1, 1.5, 2, 3, 4, 5, 7)
    ax.yaxis.set_major_locator(LogLocator(subs=subs))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _percent(ax: Axes, label: str) -> None:
    ax.set_ylabel(label)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _legend(ax: Axes, entries: Iterable[tuple[object, str, str]], *, outside: bool = False) -> None:
    handles = [plt.Line2D([], [], color=c, ls=style, label=label) for c, style, label in entries]
    where = {"loc": "upper left", "bbox_to_anchor": (1, 1)} if outside else {}
    ax.legend(handles=handles, **where)


def _title(runs: Sequence[Run]) -> str:
    """The data set, and the family where it is not the MLP, with which the report begins."""
    config = runs[0].config
    data = TITLES[config.data]
    return data if config.model == "mlp" else f"{FAMILIES[config.model]}, {data}"
