"""Kinds of maps that are measured beside one another: method, layer, placement; and controls."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from labutils.cam.baselines import BASELINES, input_x_gradient
from labutils.cam.layers import Images, map_layers
from labutils.cam.maps import METHODS, Maps, class_activation_maps
from labutils.cam.placement import at_pixels
from labutils.models.networks import Classifier

BATCH = 250
GRADIENT = "input x gradient"
PixelMaps = Float[Tensor, "batch height width"]


class Kind(NamedTuple):
    """A way to make maps.

    Attributes:
        method: a key of `METHODS` or `BASELINES`, or `GRADIENT`.
        layer: "last", or "finer": the last block whose map has more cells than the last one.
    """

    method: str
    layer: str = "last"
    placement: str = "receptive-field"


def finer_layer(network: Classifier, images: Images) -> str:
    """The last block whose map has more cells than that of the last block.

    Raises:
        ValueError: there is none.
    """
    found = map_layers(network, images)
    blocks = [name for name in found if name.rpartition(".")[0] == "blocks"]
    finer = [name for name in blocks if found[name][1] > found[blocks[-1]][1]]
    if not finer:
        raise ValueError("all blocks have maps of one size: take layer 'last'")
    return finer[-1]


def maps_of(network: Classifier, images: Images, kind: Kind, labels: Tensor) -> PixelMaps:
    """The maps of a kind at each pixel, for the classes that `labels` name, on the CPU."""
    parts = []
    for at, classes in zip(images.split(BATCH), labels.split(BATCH), strict=True):
        if kind.method in BASELINES:
            parts.append(BASELINES[kind.method](at))
        elif kind.method == GRADIENT:
            parts.append(input_x_gradient(network, at, classes))
        else:
            maps = _of_layer(network, at, kind, classes)
            parts.append(at_pixels(network, at, maps, kind.placement))
    return torch.cat(parts).cpu()  # where the masks are


def cell_maps(
    network: Classifier, images: Images, kind: Kind, labels: Tensor
) -> Float[Tensor, "batch rows columns"]:
    """The same at the maps' own resolution; what has no cells has one a pixel."""
    if kind.method not in METHODS:
        return maps_of(network, images, kind, labels)
    pairs = zip(images.split(BATCH), labels.split(BATCH), strict=True)
    return torch.cat([_of_layer(network, at, kind, classes).values for at, classes in pairs])


def _of_layer(network: Classifier, images: Images, kind: Kind, classes: Tensor) -> Maps:
    layer = finer_layer(network, images) if kind.layer == "finer" else None
    return class_activation_maps(
        network, images, method=kind.method, target_layer=layer, class_idx=classes, rectify=False
    )
