"""Kinds of maps that are measured beside one another: method, layer, placement; and controls."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labutils.cam.layers import CellMaps, Images, PixelMaps, map_layers, prepare, watching
from labutils.cam.maps import METHODS, Classes, Maps, as_classes, class_activation_maps
from labutils.cam.placement import at_pixels
from labutils.models.networks import Classifier

BATCH = 250
GRADIENT = "input x gradient"
GAUSSIAN_WIDTH = 0.25  # deviation of the centred Gaussian, a share of the sides


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


def cell_maps(network: Classifier, images: Images, kind: Kind, labels: Tensor) -> CellMaps:
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


# Controls: maps that ask no network, or hardly. A class activation map must be better.


def random_map(images: Images) -> PixelMaps:
    """Uniform noise from 0 to 1, another one for each image of the batch."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(len(images), *images.shape[2:], generator=generator).to(images.device)


def centred_gaussian(images: Images) -> PixelMaps:
    """A Gaussian in the middle of the image, 1 at its centre."""
    rows, columns = (
        torch.linspace(-0.5, 0.5, side + 1).unfold(0, 2, 1).mean(1) for side in images.shape[2:]
    )
    rows, columns = ((-(at**2) / (2 * GAUSSIAN_WIDTH**2)).exp() for at in (rows, columns))
    return (rows[:, None] * columns).expand(len(images), -1, -1).to(images.device)


def edge_map(images: Images) -> PixelMaps:
    """How steeply the grey values change: the length of Sobel's gradient."""
    grey = F.pad(images.float().mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    down = torch.tensor([[-1.0, -2, -1], [0, 0, 0], [1, 2, 1]], device=images.device)
    steps = F.conv2d(grey, torch.stack([down, down.T])[:, None])
    return steps.norm(dim=1)


BASELINES: dict[str, Callable[[Images], PixelMaps]] = {
    "random": random_map,
    "centred Gaussian": centred_gaussian,
    "edges": edge_map,
}


def input_x_gradient(
    network: nn.Module, images: Images, class_idx: Classes | None = None
) -> PixelMaps:
    """The class's logit's gradient at each pixel times the pixel, summed over the channels.

    Args:
        images: bytes count as floats from 0 to 1.
        class_idx: by default the predicted class.

    Source: Shrikumar et al. 2016, "Not Just a Black Box: Learning Important Features Through
    Propagating Activation Differences".
    """
    floats = images.float() / 255 if images.dtype == torch.uint8 else images
    network, batch = prepare(network, floats)
    with watching(network, {}), torch.enable_grad():
        batch.requires_grad_()
        logits = network(batch.clone())  # a network may work on its input in place
        chosen = as_classes(class_idx, logits, "class_idx")
        score = logits.gather(1, chosen[:, None]).sum()
        (gradient,) = torch.autograd.grad(score, batch)
        return (gradient * batch).sum(1).detach()
