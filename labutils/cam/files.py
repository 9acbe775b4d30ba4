"""Class activation maps of picture files: what looks at each, draws the map, and says where."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

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


class Question(NamedTuple):
    """What a map is asked for; what is left open the network decides.

    Attributes:
        method: a key of `METHODS`.
        class_name: name or number of a class; by default the predicted one.
        versus: name or number of the class that it is set against.
        side: as `size_to_look_at` takes it.
    """

    method: str = "grad-cam"
    layer: str | None = None
    class_name: str | None = None
    versus: str | None = None
    side: Side | None = None


class MapFinder:
    """Asks a stored classifier about pictures, for `data.picture_files.look_at_files`.

    Raises:
        CamError: the question does not fit the network.
        RunError: the run keeps no weights.
    """

    def __init__(self, run: Run, question: Question) -> None:
        self.name, self.question = run.folder.name, question
        if not isinstance(run.config, RunConfig):
            raise CamError(f"{self.name} is a detector: give the run of a classifier")
        self.channels, *own = DATA_SETS[run.config.data].image_shape
        self.own: Size = tuple(own)
        self.names = class_names(run.config.data)
        self.class_idx, self.versus = (
            None if name is None else class_number(name, self.names)
            for name in (question.class_name, question.versus)
        )
        self.network = run.model()
        self._size(self.own)
        try:  # once for all pictures
            self._ask(torch.zeros(1, self.channels, *self.own, dtype=torch.uint8))
        except ValueError as error:
            raise CamError(f"{self.name}: {error}") from error

    def __call__(self, picture: Picture) -> Seen:
        if self.channels == 1:  # networks of grey images know digits, light on black
            picture = np.repeat(light_on_black(picture)[..., None], 3, axis=2)
        images = as_images(picture, self._size(picture.shape[:2]))[:, : self.channels]
        maps = self._ask(images)
        shown = as_shown(picture)
        pixel_map = map_at(self.network, images, maps, shown.shape[:2])
        listed = self._describe(maps, images) | {
            "peak": float(f"{pixel_map.max():.3g}"),  # small where many cells are averaged
            "box": _in_pixels_of(picture, shown, warmest_box(pixel_map)),
        }
        said = _in_words(listed)
        method, seen = (
            METHODS[self.question.method].title,
            "{width} x {height}".format(**listed["looked_at"]),
        )
        lines = (said, f"{method}, layer {maps.layer}, seen at {seen} pixels", self.name)
        return Seen(captioned(triptych(shown, pixel_map), listed["peak"], lines), listed, said)

    def _size(self, size: Size) -> Size:
        return size_to_look_at(self.network, size, self.own, self.question.side)

    def _ask(self, images: Tensor) -> Maps:
        return class_activation_maps(
            self.network,
            images,
            method=self.question.method,
            target_layer=self.question.layer,
            class_idx=self.class_idx,
            versus=self.versus,
        )

    def _describe(self, maps: Maps, images: Tensor) -> dict[str, Any]:
        """What was asked, and what the network says."""
        probabilities = maps.logits[0].softmax(0).tolist()

        def about(number: int) -> dict[str, Any]:
            return {"class": self.names[number], "probability": round(probabilities[number], 4)}

        return {
            "run": self.name,
            **about(int(maps.class_idx[0])),
            "predicted": about(int(maps.logits[0].argmax())),
            "versus": None if maps.versus is None else about(int(maps.versus[0])),
            "layer": maps.layer,
            "method": self.question.method,
            "looked_at": {"width": images.shape[3], "height": images.shape[2]},
            "cells": {"columns": maps.values.shape[2], "rows": maps.values.shape[1]},
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
    that of its training images, `own`, unless another is asked for: a network recognises things of
    the size that it was trained on, and not those of twice that size. Other networks take `own`
    alone, and pictures are stretched.

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
    if factor > 1:  # each pixel a square
        return _resized(picture, size, PIL.Image.Resampling.NEAREST)
    return _resized(picture, size)


def _resized(
    picture: Picture, size: Size, filter: PIL.Image.Resampling = PIL.Image.Resampling.BILINEAR
) -> Resized:
    return np.array(PIL.Image.fromarray(picture).resize(size[::-1], filter))


def map_at(
    network: nn.Module, images: Tensor, maps: Maps, size: Size
) -> Float[np.ndarray, "height width"]:
    """The map at each pixel of a picture of `size`, of which `images` is a copy at another size."""
    cells = locate_cells(network, images, maps.layer)
    factors = [whole / side for whole, side in zip(size, images.shape[2:], strict=True)]
    scaled = Cells(
        *(
            Axis(factor * axis.stride, factor * (axis.offset + 0.5) - 0.5)
            for axis, factor in zip(cells, factors, strict=True)
        )
    )
    return upsample(maps.values, scaled, size)[0].numpy()


def _in_pixels_of(
    picture: Picture, shown: Resized, box: tuple[int, int, int, int] | None
) -> list[float] | None:
    """The box left, top, right, bottom of what is shown, in pixels of the picture itself."""
    if box is None:
        return None
    rows, columns = (picture.shape[axis] / shown.shape[axis] for axis in (0, 1))
    return [
        round(factor * edge, 1)
        for factor, edge in zip((columns, rows, columns, rows), box, strict=True)
    ]


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
