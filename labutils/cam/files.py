"""Class activation maps of picture files: what looks at each, draws the map, and says where."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import PIL.Image
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from labutils.cam.localisation import warmest_box
from labutils.cam.maps import METHODS, Maps, class_activation_maps
from labutils.cam.overlay import Picture, captioned, triptych
from labutils.cam.placement import Axis, Cells, locate_cells, upsample
from labutils.config.classifier import RunConfig
from labutils.config.data_sets import DATA_SETS
from labutils.data.class_names import class_names
from labutils.data.ink import light_on_black
from labutils.data.picture_files import Seen
from labutils.models.blocks import GlobalAveragePool
from labutils.runs.store import Run

MOST_PIXELS = 512 * 512  # that a network looks at: all that it computes of them is in memory
SMALLEST, LARGEST = 300, 600  # pixels of the longer side of a picture as it is drawn

Size = tuple[int, int]  # height, width
Resized = UInt8[np.ndarray, "rows columns 3"]
Side = int | Literal["own"]


class CamError(ValueError):
    """What is asked for does not fit the run; the message says what to do."""


class MapFinder:
    """Asks a stored classifier about pictures, for `data.picture_files.look_at_files`.

    What is left open the network decides.

    Args:
        method: a key of `METHODS`.
        class_name: name or number of a class; by default the predicted one.
        versus: name or number of the class that it is set against.
        side: as `size_to_look_at` takes it.

    Raises:
        CamError: the question does not fit the network.
        RunError: the run keeps no weights.
    """

    def __init__(
        self,
        run: Run,
        *,
        method: str = "grad-cam",
        layer: str = "",
        class_name: str = "",
        versus: str = "",
        side: Side | None = None,
    ) -> None:
        self.name, self.method = run.folder.name, method
        if not isinstance(run.config, RunConfig):
            raise CamError(f"{self.name} is a detector: give the run of a classifier")
        image_shape = DATA_SETS[run.config.data].image_shape
        self.channels, own = image_shape[0], image_shape[1:]
        self.names = class_names(run.config.data)
        class_idx, against = (
            class_number(name, self.names) if name else None for name in (class_name, versus)
        )
        self.network = run.model()
        self.size_for = partial(size_to_look_at, self.network, own=own, side=side)
        self.size_for(own)
        self.maps_of = partial(
            class_activation_maps,
            self.network,
            method=method,
            target_layer=layer or None,
            class_idx=class_idx,
            versus=against,
        )
        try:  # once for all pictures
            self.maps_of(torch.zeros(1, *image_shape, dtype=torch.uint8))
        except ValueError as error:
            raise CamError(f"{self.name}: {error}") from error

    def __call__(self, picture: Picture) -> Seen:
        if self.channels == 1:  # networks of grey images know digits, light on black
            picture = np.repeat(light_on_black(picture)[..., None], 3, axis=2)
        height, width = self.size_for(picture.shape[:2])
        images = as_images(picture, (height, width))[:, : self.channels]
        maps = self.maps_of(images)
        shown = as_shown(picture)
        pixel_map = map_at(self.network, images, maps, shown.shape[:2])
        listed = self._describe(maps) | {
            "layer": maps.layer,
            "method": self.method,
            "looked_at": {"width": width, "height": height},
            "cells": {"columns": maps.values.shape[2], "rows": maps.values.shape[1]},
            "peak": float(f"{pixel_map.max():.3g}"),  # small where many cells are averaged
            "box": _in_pixels_of(picture, shown, warmest_box(pixel_map)),
        }
        said, title = _in_words(listed), METHODS[self.method].title
        how = f"{title}, layer {maps.layer}, seen at {width} x {height} pixels"
        drawing = captioned(triptych(shown, pixel_map), listed["peak"], (said, how, self.name))
        return Seen(drawing, listed, said)

    def _describe(self, maps: Maps) -> dict[str, Any]:
        """Which class was asked for, and what the network says."""
        probabilities = maps.logits[0].softmax(0).tolist()

        def about(number: Tensor) -> dict[str, Any]:
            return {"class": self.names[number], "probability": round(probabilities[number], 4)}

        return {
            "run": self.name,
            **about(maps.class_idx[0]),
            "predicted": about(maps.logits[0].argmax()),
            "versus": None if maps.versus is None else about(maps.versus[0]),
        }


def class_number(name: str, names: Sequence[str]) -> int:
    """The number of a class that is given by its name or its number.

    Raises:
        CamError: there is no such class; the message lists them.
    """
    known = [each.casefold() for each in names]
    if name.casefold() in known:
        return known.index(name.casefold())
    if name.isdecimal() and int(name) < len(names):
        return int(name)
    listed = ", ".join(f"{number} {each}" for number, each in enumerate(names))
    if known == [str(number) for number in range(len(names))]:
        listed = ", ".join(names)
    raise CamError(f"no class {name!r}: give one of {listed}")


def size_to_look_at(network: nn.Module, size: Size, own: Size, side: Side | None = None) -> Size:
    """Height and width at which a network looks at a picture of `size`.

    A network that ends in global average pooling slides along the longer side. The shorter one is
    that of its training images, `own`, unless another is asked for: it recognises things of the
    size that it was trained on. Other networks take `own` alone, and pictures are stretched.

    Args:
        side: pixels of the shorter side, or "own" for the picture's; no side becomes shorter than
            those of the training images, and of more than `MOST_PIXELS` all are shrunk.

    Raises:
        CamError: the network has no choice, or the side is shorter than it was trained on.
    """
    if not any(isinstance(module, GlobalAveragePool) for module in network.modules()):
        if side is not None:
            raise CamError(f"the network takes pictures of {own[0]} pixels a side: leave side out")
        return own
    if side not in (None, "own") and side < min(own):
        raise CamError(f"side is {side}: give {min(own)}, that of the training images, or more")
    shorter = min(size)
    asked = {None: min(own), "own": shorter}.get(side, side)
    factor = min(min(asked, MOST_PIXELS) / shorter, (MOST_PIXELS / (size[0] * size[1])) ** 0.5)
    height, width = (
        max(round(factor * each), least) for each, least in zip(size, own, strict=True)
    )
    most = MOST_PIXELS // min(height, width)  # of a strip, whose shorter side is enlarged
    return min(height, most), min(width, most)


def as_images(picture: Picture, size: Size) -> UInt8[Tensor, "1 3 rows columns"]:
    """A batch of one picture, at another size."""
    return torch.from_numpy(_resized(picture, size)).permute(2, 0, 1)[None]


def as_shown(picture: Picture) -> Resized:
    """Large enough to be seen, by whole numbers, or small enough to be shown."""
    longer = max(picture.shape[:2])
    factor = LARGEST / longer if longer > LARGEST else max(1, SMALLEST // longer)
    size = tuple(max(round(factor * side), 1) for side in picture.shape[:2])
    return _resized(picture, size, "NEAREST" if factor > 1 else "BILINEAR")  # pixels as squares


def _resized(picture: Picture, size: Size, how: str = "BILINEAR") -> Resized:
    return np.array(PIL.Image.fromarray(picture).resize(size[::-1], PIL.Image.Resampling[how]))


def map_at(
    network: nn.Module, images: Tensor, maps: Maps, size: Size
) -> Float[np.ndarray, "height width"]:
    """The map at each pixel of a picture of `size`, of which `images` is a copy at another size."""
    axes = []
    cells = locate_cells(network, images, maps.layer)
    for axis, pixels, side in zip(cells, size, images.shape[2:], strict=True):
        factor = pixels / side
        axes.append(Axis(factor * axis.stride, factor * (axis.offset + 0.5) - 0.5))
    return upsample(maps.values, Cells(*axes), size)[0].numpy()


def _in_pixels_of(
    picture: Picture, shown: Resized, box: tuple[int, int, int, int] | None
) -> list[float] | None:
    """The box left, top, right, bottom of what is shown, in pixels of the picture itself."""
    if box is None:
        return None
    rows, columns = (picture.shape[axis] / shown.shape[axis] for axis in (0, 1))
    factors = (columns, rows, columns, rows)
    return [round(factor * edge, 1) for factor, edge in zip(factors, box, strict=True)]


def _in_words(listed: dict[str, Any]) -> str:
    def words(about: dict[str, Any]) -> str:
        return f"{about['class']} ({about['probability']:.1%})"

    said = words(listed)
    if listed["versus"]:
        said += f" rather than {words(listed['versus'])}"
    if listed["box"] is None:
        said += ", nothing speaks for it"
    if listed["predicted"]["class"] != listed["class"]:
        said += f"; predicted: {words(listed['predicted'])}"
    return said
