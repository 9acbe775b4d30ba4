"""Exercise 3: images, their maps, and the curves that maps are judged by."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from torch import Tensor, nn

from labutils.cam import at_pixels, class_activation_maps, overlay
from labutils.cam.kinds import Kind
from labutils.cam.layers import Images
from labutils.data import Split
from labutils.report import style
from labutils.report.cams.tables import Found, kind_name, of_kind
from labutils.training.evaluation import predict

SIGNED = "PuOr"  # of differences, white at 0; its ends differ for colour-blind readers, too
SCALES = {  # by whether a map is signed: colours, limits and what these are called
    False: ("viridis", (0, 1), ("0", "largest")),
    True: (SIGNED, (-1, 1), ("against", "for")),
}
FILL_NAMES = {"mean": "the mean colour", "blur": "the blurred image"}


class Panel(NamedTuple):
    """A picture of a sheet.

    Attributes:
        image: height x width x 3, uint8.
        pixel_map: height x width, laid over the image; without one the image stands alone.
        signed: negative values are shown, too, in a colour of their own.
        outline: height x width, a mask whose border is drawn.
    """

    image: np.ndarray
    title: str = ""
    pixel_map: np.ndarray | None = None
    signed: bool = False
    outline: np.ndarray | None = None


@plt.rc_context(style.IMAGES)
def sheet(rows: Sequence[Sequence[Panel]], names: Sequence[str] = (), side: float = 1.4) -> Figure:
    """Pictures in rows, each row with its name at the left, and the scale of the maps.

    Every map is divided by its own largest value: colours compare places, not images.

    Args:
        side: of a picture, in inches, where a sheet of `style.WIDTH` inches has room for it.
    """
    width = max(map(len, rows))
    signs = {panel.signed for row in rows for panel in row if panel.pixel_map is not None}
    beside = (1.1 if names else 0) + 0.7 * len(signs)
    side = min(side, (style.WIDTH - beside) / width)
    lines = 1 + max(panel.title.count("\n") for row in rows for panel in row)
    size = (side * width + beside, side + 0.14 * lines)
    fig, axes = style.picture_axes(width * len(rows), width, size)
    for number, row in enumerate(rows):
        for ax, panel in zip(axes[number], row, strict=False):
            _draw(ax, panel)
        if names:
            place = {"transform": axes[number, 0].transAxes, "ha": "right", "va": "center"}
            axes[number, 0].text(-0.1, 0.5, names[number], fontsize=9, **place)
    for signed in sorted(signs):
        colors, limits, ends = SCALES[signed]
        drawn = plt.cm.ScalarMappable(plt.Normalize(*limits), colors)
        bar = fig.colorbar(drawn, ax=axes, fraction=0.03, pad=0.01, aspect=30, shrink=0.9)
        bar.set_ticks(limits, labels=ends, fontsize=8)
    return fig


def _draw(ax: Axes, panel: Panel) -> None:
    ax.set_title(panel.title, fontsize=8, pad=2)
    image, pixel_map = panel.image, panel.pixel_map
    if pixel_map is not None and not panel.signed:
        image = overlay(image, pixel_map)
    elif pixel_map is not None:  # on grey, or its two colours could not be told from the image's
        image = np.repeat(image.mean(2, keepdims=True).astype(np.uint8), 3, 2)
    ax.imshow(image, interpolation="nearest")
    if panel.signed:
        peak = np.abs(pixel_map).max() or 1.0
        strength = 0.8 * np.abs(pixel_map) / peak
        ax.imshow(pixel_map, cmap=SIGNED, vmin=-peak, vmax=peak, alpha=strength)
    if panel.outline is not None:
        ax.contour(panel.outline, [0.5], colors="white", linewidths=0.8)


def rgb(images: Images) -> UInt8[np.ndarray, "n height width 3"]:
    """A batch as pictures; grey ones have three equal channels."""
    pictures = images.permute(0, 2, 3, 1).cpu().numpy()
    return np.repeat(pictures, 3, 3) if pictures.shape[3] == 1 else pictures


def drawn(
    network: nn.Module, images: Images, placement: str = "receptive-field", **asked: Any
) -> np.ndarray:
    """Maps at each pixel: n x height x width. `asked` goes to `class_activation_maps`."""
    maps = class_activation_maps(network, images, **asked)
    return at_pixels(network, images, maps, placement).cpu().numpy()


def right(network: nn.Module, images: Split, class_names: Sequence[str]) -> Figure:
    """Images above their maps for the predicted class."""
    probability = predict(network, images.images)
    pictures, maps = rgb(images.images), drawn(network, images.images)
    said = [f"{class_names[p.argmax()]}\n{p.max():.0%}" for p in probability]
    first = list(map(Panel, pictures, [class_names[label] for label in images.labels]))
    return sheet(
        [first, list(map(Panel, pictures, said, maps))], ["image, class", "map, prediction"]
    )


def wrong(network: nn.Module, images: Split, class_names: Sequence[str]) -> Figure:
    """Wrong predictions: the map of the predicted class, of the true one, and what differs."""
    probability = predict(network, images.images)
    predicted = probability.argmax(1)
    pictures, labels = rgb(images.images), images.labels

    def row(classes: Tensor) -> list[Panel]:
        found = zip(classes.tolist(), probability, strict=True)
        titles = [f"{class_names[one]}\n{p[one]:.1%}" for one, p in found]
        return list(map(Panel, pictures, titles, drawn(network, images.images, class_idx=classes)))

    against = drawn(network, images.images, class_idx=predicted, versus=labels, rectify=False)
    rows = {
        "image,\ntrue class": list(map(Panel, pictures, [class_names[label] for label in labels])),
        "map of the\npredicted class": row(predicted),
        "map of the\ntrue class": row(labels),
        "predicted\nagainst true": [
            Panel(picture, pixel_map=one, signed=True)
            for picture, one in zip(pictures, against, strict=True)
        ],
    }
    return sheet(list(rows.values()), list(rows))


def by_layer(network: nn.Module, images: Images, layers: Sequence[str], method: str) -> Figure:
    """A row an image: its map of the predicted class at each layer, with the number of cells."""
    columns = {}
    for layer in layers:
        maps = class_activation_maps(network, images, method=method, target_layer=layer)
        title = "{}\n{} x {}".format(layer, *maps.values.shape[1:])
        columns[title] = at_pixels(network, images, maps).cpu().numpy()
    return _in_columns(images, columns, [None] * len(images))


def masked(columns: Mapping[str, tuple[nn.Module, Mapping[str, Any]]], images: Split) -> Figure:
    """A row an image, its mask outlined; a column a network and how its map is made.

    Args:
        columns: by its title a network and what `drawn` is asked of it besides the true class.
    """
    maps = {
        title: drawn(network, images.images, class_idx=images.labels, **asked)
        for title, (network, asked) in columns.items()
    }
    return _in_columns(images.images, maps, images.masks)


def _in_columns(images: Images, columns: Mapping[str, np.ndarray], masks: Iterable[Any]) -> Figure:
    """A row an image: it and its map of each column, outlined; titles stand above the first."""
    rows = []
    for number, (picture, mask) in enumerate(zip(rgb(images), masks, strict=True)):
        row = [Panel(picture, "image")]
        row += [
            Panel(picture, title, maps[number], outline=mask) for title, maps in columns.items()
        ]
        rows.append([panel._replace(title="") for panel in row] if number else row)
    return sheet(rows)


def photographs(
    network: nn.Module, images: Mapping[str, Images], class_names: Sequence[str]
) -> Figure:
    """A photograph in several sizes, side by side: each with the map of its prediction."""
    row = []
    for size, image in images.items():
        probability = predict(network, image)[0]
        title = f"{class_names[probability.argmax()]}, {probability.max():.1%}"
        picture = rgb(image)[0]
        row += [Panel(picture, size), Panel(picture, title, drawn(network, image)[0])]
    return sheet([row], side=2.2)


@plt.rc_context(style.STYLE)
def curves(groups: Sequence[Found], kinds: Sequence[Kind]) -> Figure:
    """Deletion and insertion, a line a kind of map: mean over the networks, a panel a fill."""
    fills = list(dict.fromkeys(row["fill"] for row in groups[0]))
    fig, axes = style.make_axes(2, len(fills), (9, 6))
    colors = style.colors_of(kinds)
    styles = dict(zip(kinds, itertools.cycle(("-", "--")), strict=False))  # some lines coincide
    names = {"deletion": "deleted", "insertion": "inserted"}
    for row, (name, done) in zip(axes, names.items(), strict=True):
        for ax, fill in zip(row, fills, strict=True):
            for kind in kinds:
                lines = [of_kind(found, kind, fill=fill)[name] for found in groups]
                share = np.linspace(0, 1, len(lines[0]))
                ax.plot(share, np.mean(lines, 0), styles[kind], color=colors[kind], lw=1.4)
            style.percent_axis(ax, "probability of the class")
            ax.set(title=f"{name}, filled with {FILL_NAMES[fill]}", ylim=(0, 1))
            ax.set_xlabel(f"share of pixels {done}, largest values first")
            ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    entries = [(colors[kind], styles[kind], kind_name(kind)) for kind in kinds]
    style.legend_above(fig, style.handles({}, entries))
    return fig


@plt.rc_context(style.STYLE)
def randomised(groups: Sequence[Found], kinds: Sequence[Kind]) -> Figure:
    """Rank correlation with the trained maps as layers lose their training, a line a network."""
    fig, (ax,) = style.make_axes(1, 1, (9, 3.6))
    colors = style.colors_of(kinds)
    for kind in kinds:
        for found in groups:
            row = of_kind(found, kind)
            at = range(len(row["layers"]) + 1)
            ax.plot(at, [1.0, *row["correlation"]], color=colors[kind], lw=1.2, marker="o", ms=2.5)
    names = ["none", *row["layers"]]
    ax.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=8)
    ax.set(xlabel="untrained down to this layer", ylabel="rank correlation with the trained map")
    ax.axhline(0, color="gray", lw=0.8)
    entries = {kind_name(kind): color for kind, color in colors.items()}
    style.legend_above(fig, style.handles(entries))
    return fig
