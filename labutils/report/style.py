"""Colours, axes, labels and lines that all figures share."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter
from scipy.optimize import isotonic_regression

from labutils.config import DATA_SETS
from labutils.report.names import family_and_data
from labutils.report.statistics import learned
from labutils.runs.store import Run

Color = tuple[float, float, float]
Colors = Mapping[Any, Color]
PLAIN, RESIDUAL = sns.color_palette("colorblind")[1], sns.color_palette("colorblind")[0]
# of what is neither; purple's neighbour in the palette, pink, is hard to tell from it and last
OTHERS = [sns.color_palette("colorblind")[number] for number in (2, 3, 4, 5, 7, 9, 6)]
LABELS = {
    "train_loss": "training loss",
    "train_accuracy": "training accuracy",
    "val_loss": "validation loss",
    "val_accuracy": "validation accuracy",
}
PLAIN_AND_RESIDUAL = ((False, "plain", PLAIN), (True, "residual", RESIDUAL))
KIND_COLORS = {kind: color for _, kind, color in PLAIN_AND_RESIDUAL}
THICKNESS = 0.004  # of a line, as a share of the axes' height
TIMES = [("gray", ":", "untrained"), ("gray", "-", "trained")]  # for legends
WIDTH = 9  # inches, of the widest figures: on a page of 830 pixels 8 points are 10 pixels there
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "font.size": 9,
    "axes.titlesize": 10,
}
IMAGES = STYLE | {"axes.grid": False}


def make_axes(
    rows: int, columns: int, size: tuple[float, float], **options: object
) -> tuple[Figure, np.ndarray]:
    """A figure and its axes: an array of rows and columns, or of columns for a single row."""
    options = {"layout": "constrained", "squeeze": False} | options
    fig, axes = plt.subplots(rows, columns, figsize=size, **options)
    return fig, axes if rows > 1 else axes[0]


def colors_of(keys: Iterable[Any]) -> dict[Any, Color]:
    """A colour for each of what is neither plain nor residual, in order of first appearance.

    Raises:
        ValueError: there are more than colours that a reader can tell apart.
    """
    different = list(dict.fromkeys(keys))
    if len(different) > len(OTHERS):
        raise ValueError(f"{len(different)} lines, {len(OTHERS)} colours: draw fewer at a time")
    return dict(zip(different, OTHERS, strict=False))


def shades_of(numbers: Iterable[float]) -> dict[float, Color]:
    """A shade for each number, the darker the larger it is."""
    numbers = sorted(set(numbers))
    return dict(zip(numbers, sns.color_palette("viridis_r", len(numbers)), strict=True))


def picture_axes(count: int, columns: int, size: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    """A figure, `size` inches wide and high a row, and an array of frames for so many pictures."""
    rows = -(-count // columns)
    fig, axes = make_axes(rows, columns, (size[0], size[1] * rows))
    for ax in axes.flat:
        ax.axis("off")
    return fig, axes.reshape(rows, columns)


def draw_points(
    ax: Axes,
    values: Mapping[int, Sequence[float]],
    color: Color,
    label: str | None = None,
    shift: float = 0,
    mixed: Collection[int] = (),
) -> None:
    """Every value at its depth, and the means with their deviations.

    The line from mean to mean is dotted, for nothing was measured in between. There is no mean at
    `mixed` depths, where only some of the networks learned.
    """
    for depth, several in values.items():
        ax.plot([depth + shift] * len(several), several, "o", ms=3.5, color=color, alpha=0.6)
    means = [np.nan if depth in mixed else np.mean(values[depth]) for depth in values]
    stds = [np.std(several, ddof=len(several) > 1) for several in values.values()]
    at = np.add(list(values), shift)
    ax.errorbar(at, means, stds, fmt=":", color=color, lw=1.6, capsize=2, label=label)


def color_of(run: Run) -> Color:
    """That of plain or of residual networks."""
    return RESIDUAL if run.config.residual else PLAIN


def draw_line(
    ax: Axes, run: Run, quantity: str, color: Color, style: object = "-", alpha: float = 0.8
) -> None:
    """One run's value after each epoch, from 1 on."""
    values = run.history[quantity]
    ax.plot(range(1, len(values) + 1), values, ls=style, color=color, lw=1, alpha=alpha)
    whole_numbers(ax)
    if ax.get_subplotspec().is_last_row():
        ax.set_xlabel("epoch")


def draw_lines(
    ax: Axes, runs: Sequence[Run], quantity: str, key: Callable[[Run], Any], colors: Colors
) -> None:
    """Every run's values after each epoch, a colour and a label a key.

    Runs that do not learn lie on one another: each key has its turn in their dashes.
    """
    stalled = sorted({key(run) for run in runs if not learned(run)})
    for run in runs:
        name = key(run)
        turn = "-" if learned(run) else (8 * stalled.index(name), (8, 8 * (len(stalled) - 1)))
        draw_line(ax, run, quantity, colors[name], turn)
        ax.lines[-1].set_label(str(name))


def label_lines(fig: Figure, word: str = "") -> None:
    """Name what `draw_lines` drew at the ends of the lines, once limits and scales are set.

    Lines that end among one another share a label; labels move apart until none overlap. With a
    word for what names are numbers of they are `depth 4`, `depths 4, 22`, `depths 4 to 22`.
    """
    fig.draw_without_rendering()  # settles how high the axes are
    every = list(dict.fromkeys(line.get_label() for ax in fig.axes for line in ax.lines))
    every = sorted(every, key=float) if word else every
    for ax in (ax for ax in fig.axes if ax.lines):
        colors = {line.get_label(): 0.75 * np.array(line.get_color()) for line in ax.lines}
        shared = _shared_ends(ax)
        height = 1.2 * plt.rcParams["font.size"] / 72 * fig.dpi / ax.bbox.height
        apart = height * np.arange(len(shared))
        middles = [(low + high) / 2 for low, high, _ in shared]
        places = isotonic_regression(middles - apart).x.clip(0, 1 - apart[-1]) + apart
        for place, (_, _, names) in zip(places, shared, strict=True):
            names = sorted(set(names), key=every.index)
            apart_in_all = every.index(names[-1]) - every.index(names[0])
            whole = word and len(names) > 2 and apart_in_all == len(names) - 1
            start = f"{word}{'s' * (len(names) > 1)} " if word else ""
            text = start + (f"{names[0]} to {names[-1]}" if whole else ", ".join(names))
            color = colors[names[0]] if len(names) == 1 else "0.3"
            ax.text(1.01, place, text, transform=ax.transAxes, va="center", color=color)


def _shared_ends(ax: Axes) -> list[tuple[float, float, list[str]]]:
    """Lowest and highest end of lines that end among one another, in shares of the axes' height."""
    ends: dict[tuple[str, str], list[float]] = {}
    for line in ax.lines:
        _, end = (ax.transData - ax.transAxes).transform((1, line.get_ydata()[-1]))
        ends.setdefault((line.get_label(), line.get_linestyle()), []).append(np.nan_to_num(end))
    shared: list[tuple[float, float, list[str]]] = []
    for low, high, name in sorted((min(at), max(at), name) for (name, _), at in ends.items()):
        names = [name]
        if shared and low <= shared[-1][1] + THICKNESS:
            low, last, before = shared.pop()
            high, names = max(high, last), [*before, name]
        shared.append((low, high, names))
    return shared


def whole_numbers(ax: Axes, most: int = 5) -> None:
    """Ticks of epochs or layers, `most` at the most between the ends of the axis."""
    ax.xaxis.set_major_locator(MaxNLocator(most, integer=True))


def no_zeros(values: Sequence[float]) -> np.ndarray:
    """The values with nan for zero, where a line on a logarithmic axis ends."""
    array = np.array(values, dtype=float)
    return np.where(array == 0, np.nan, array)


def log_axis(ax: Axes, label: str, limits: tuple[float, float] | None = None) -> None:
    """A logarithmic axis for losses, its ticks plain numbers; linear where little is spanned."""
    ax.set_ylabel(label)
    if limits:
        ax.set_ylim(limits)
    low, high = limits or ax.dataLim.intervaly
    if high > 3 * low > 0:
        ax.set_yscale("log")
        plain_numbers(ax.yaxis, (1, 2, 5) if high > 10 * low else (1, 1.5, 2, 3, 4, 5, 7))


def plain_numbers(axis: Axis, subs: Sequence[float] = (1, 2, 5)) -> None:
    """Ticks of a logarithmic axis as plain numbers, at these multiples of powers of ten."""
    _plain_ticks(axis, LogLocator(subs=subs), "{:g}".format)


def _plain_ticks(axis: Axis, locator: LogLocator, text: Callable[[float], str]) -> None:
    axis.set_major_locator(locator)
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))


def powers_axis(ax: Axes, label: str, limits: tuple[float, float] | None = None) -> None:
    """A logarithmic axis over many powers of ten."""
    ax.set(ylabel=label, yscale="log", ylim=limits)
    powers(ax.yaxis)


def powers(axis: Axis) -> None:
    """Ticks of a logarithmic axis as plain text: exponents are small, and take long to draw."""
    _plain_ticks(axis, LogLocator(numticks=8), lambda value: f"1e{round(np.log10(value))}")


def percent_axis(ax: Axes, label: str) -> None:
    """An axis for shares, its ticks in percent."""
    ax.set_ylabel(label)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def handles(
    colors: Colors, more: Iterable[tuple[object, object, str]] = (), words: str = "{}"
) -> list[plt.Line2D]:
    """Entries of a legend: a solid line a colour, its key in `words`; then `more` lines."""
    entries = [(color, "-", words.format(key)) for key, color in colors.items()] + list(more)
    return [plt.Line2D([], [], color=c, ls=line, label=label) for c, line, label in entries]


def legend_above(fig: Figure, entries: Sequence[plt.Line2D], title: str | None = None) -> None:
    """A legend of all axes, above them, where it takes no width from them."""
    letters = sum(len(entry.get_label()) + 6 for entry in entries)  # a line has room for 110
    columns = -(-len(entries) // max(1 + len(entries) // 6, -(-letters // 110)))
    where = {"loc": "outside upper center", "ncols": columns, "title_fontsize": 10}
    fig.legend(handles=entries, title=title, **where)


def title_of(runs: Sequence[Run]) -> str:
    """The data set, and the family where it is not the MLP, with which the report begins."""
    config = runs[0].config
    return DATA_SETS[config.data].title if config.model == "mlp" else family_and_data(config)
