"""Colours, axes, labels and lines that all figures share."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter

from labutils.config import DATA_SETS
from labutils.report.names import family_and_data
from labutils.runs.store import Run

Color = tuple[float, float, float]
Key = TypeVar("Key")
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
KIND_COLORS = {"plain": PLAIN, "residual": RESIDUAL}
TIMES = [("gray", ":", "untrained"), ("gray", "-", "trained")]  # for legends
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "font.size": 9,
    "axes.titlesize": 10,
}


def make_axes(
    rows: int, columns: int, size: tuple[float, float], **kwargs: object
) -> tuple[Figure, np.ndarray]:
    """A figure and its axes: an array of rows and columns, or of columns for a single row."""
    kwargs = {"layout": "constrained", "squeeze": False, **kwargs}
    fig, axes = plt.subplots(rows, columns, figsize=size, **kwargs)
    return fig, axes if rows > 1 else axes[0]


def colors_of(keys: Iterable[Key]) -> dict[Key, Color]:
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
    shift: float,
    label: str | None,
    mixed: Collection[int] = (),
) -> None:
    """Every value at its depth, and a line through the means with their deviations.

    There is no mean at `mixed` depths, where only some of the networks learned.
    """
    for depth, several in values.items():
        ax.plot([depth + shift] * len(several), several, "o", ms=3.5, color=color, alpha=0.6)
    means = [np.nan if depth in mixed else np.mean(values[depth]) for depth in values]
    stds = [np.std(several, ddof=len(several) > 1) for several in values.values()]
    at = np.add(list(values), shift)
    ax.errorbar(at, means, stds, color=color, lw=1.3, capsize=2, label=label)


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


def draw_gradient_by_layer(ax: Axes, run: Run, color: Color, alpha: float = 0.8) -> None:
    """Gradient at what each layer hands on, relative to that at the logits: before and after."""
    for epoch, style in ((0, ":"), (-1, "-")):
        norms = no_zeros(run.history["layers"]["activation_gradient_norm"][epoch])
        ax.plot(range(1, len(norms) + 1), norms / norms[-1], style, color=color, lw=1, alpha=alpha)
    whole_numbers(ax, 4)


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
    if not high > 3 * low > 0:
        return
    ax.set_yscale("log")
    plain_numbers(ax.yaxis, (1, 2, 5) if high > 10 * low else (1, 1.5, 2, 3, 4, 5, 7))


def plain_numbers(axis: Axis, subs: Sequence[float] = (1, 2, 5)) -> None:
    """Ticks of a logarithmic axis as plain numbers, at these multiples of powers of ten."""
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def powers_axis(ax: Axes, label: str, limits: tuple[float, float]) -> None:
    """A logarithmic axis over many powers of ten, for what is drawn while somebody waits.

    Its ticks are plain text: setting powers as formulas takes a third of the drawing.
    """
    ax.set(ylabel=label, yscale="log", ylim=limits)
    ax.yaxis.set_major_locator(LogLocator(numticks=8))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"1e{round(np.log10(value))}"))


def percent_axis(ax: Axes, label: str) -> None:
    """An axis for shares, its ticks in percent."""
    ax.set_ylabel(label)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def legend(
    ax: Axes,
    colors: Mapping[Any, Color],
    more: Iterable[tuple[object, str, str]] = (),
    *,
    words: str = "{}",
    outside: bool = False,
) -> None:
    """A legend of what need not be drawn.

    Args:
        colors: of solid lines; `words` makes names of its keys.
        more: colours, line styles and names of other lines.
    """
    entries = [(color, "-", words.format(key)) for key, color in colors.items()] + list(more)
    handles = [plt.Line2D([], [], color=c, ls=line, label=label) for c, line, label in entries]
    where = {"loc": "upper left", "bbox_to_anchor": (1, 1)} if outside else {}
    ax.legend(handles=handles, **where)


def title_of(runs: Sequence[Run]) -> str:
    """The data set, and the family where it is not the MLP, with which the report begins."""
    config = runs[0].config
    return DATA_SETS[config.data].title if config.model == "mlp" else family_and_data(config)
