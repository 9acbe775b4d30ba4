"""Does a map follow the network? Deletion and insertion, random weights, small changes."""

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Shaped
from scipy.stats import rankdata
from torch import Tensor, nn

from labutils.cam.layers import CellMaps, Images, PixelMaps, prepare, watching
from labutils.cam.maps import Classes, as_classes

STEPS = 32


class Curves(NamedTuple):
    """Probability of the class as pixels go, or come, in the order of the map.

    A faithful map lets `deletion`, from the whole image to the fill, fall early, and `insertion`,
    from the fill to the whole image, rise early.
    """

    deletion: Float[Tensor, "batch points"]
    insertion: Float[Tensor, "batch points"]


def deletion_insertion(
    network: nn.Module,
    images: Images,
    maps: PixelMaps,
    fill: Images,
    class_idx: Classes | None = None,
    steps: int = STEPS,
) -> Curves:
    """Curves of deletion and insertion, the pixels of the map's largest values first.

    Of equal values the upper left goes first: give maps that are not rectified, or half the pixels
    have no order.

    Args:
        fill: what stands where pixels are missing; of the images' shape.
        class_idx: by default the class predicted for the whole image.

    Source: Petsiuk, Das and Saenko 2018, "RISE: Randomized Input Sampling for Explanation",
    section 4.2.
    """
    network, whole = prepare(network, images)
    _, empty = prepare(network, fill)
    order = maps.flatten(1).argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(dim=1).view(len(images), 1, *images.shape[2:]).to(whole.device)
    deletion, insertion = [], []
    with watching(network, {}):
        chosen = as_classes(class_idx, network(whole), "class_idx")
        for step in range(steps + 1):
            reached = rank < round(step * rank[0].numel() / steps)
            for curve, inside, outside in ((deletion, empty, whole), (insertion, whole, empty)):
                probability = network(torch.where(reached, inside, outside)).float().softmax(1)
                curve.append(probability.gather(1, chosen[:, None])[:, 0])
    return Curves(torch.stack(deletion, 1), torch.stack(insertion, 1))


def mean_fill(images: Images) -> Images:
    """Each image's mean colour everywhere."""
    mean = images.double().mean((2, 3), keepdim=True)
    return _like(mean.expand(images.shape), images)


def blur_fill(images: Images, width: float = 0.125) -> Images:
    """Each image blurred by a Gaussian of deviation `width`, a share of the sides.

    At the borders the weights that lie inside the image count alone.
    """
    blurs = []
    for side in images.shape[2:]:
        at = torch.arange(side, dtype=torch.float64, device=images.device)
        weights = (-((at[:, None] - at) ** 2) / (2 * (width * side) ** 2)).exp()
        blurs.append(weights / weights.sum(1, keepdim=True))
    return _like(blurs[0] @ images.double() @ blurs[1].T, images)


FILLS: dict[str, Callable[[Images], Images]] = {"mean": mean_fill, "blur": blur_fill}


def _like(values: Tensor, images: Images) -> Images:
    """In the images' own type."""
    if images.dtype == torch.uint8:
        values = values.round().clamp(0, 255)
    return values.to(images.dtype)


def rank_correlation(first: CellMaps, second: CellMaps) -> Float[Tensor, " batch"]:
    """Spearman's rank correlation of two maps of each image, at the maps' own resolution.

    Equal values share their mean rank; a map that is constant has no ranks, and gives nan.
    """
    ranks = []
    for values in (first.flatten(1).double(), second.flatten(1).double()):
        rank = torch.from_numpy(rankdata(values.cpu().numpy(), axis=1))
        centred = rank - rank.mean(1, keepdim=True)
        ranks.append(centred / centred.norm(dim=1, keepdim=True))
    return (ranks[0] * ranks[1]).sum(1)


def randomised_from_the_top(
    network: nn.Module, images: Images, seed: int = 0
) -> Iterator[tuple[str, nn.Module]]:
    """The network with more and more layers untrained, from the last one down: cascading.

    One copy is changed from step to step: use it before the next is taken. Layers are those with
    parameters of their own and a `reset_parameters`, in the order of the forward pass; parameters
    of others are shuffled.

    Args:
        images: a batch that the network takes.

    Yields:
        Name of the layer that lost its training last, and the network.

    Source: Adebayo et al. 2018, "Sanity Checks for Saliency Maps", section 4.1.
    """
    changed, batch = prepare(copy.deepcopy(network), images[:1])
    names = {
        module: name
        for name, module in changed.named_modules()
        if list(module.parameters(recurse=False))
    }
    order: dict[nn.Module, None] = {}

    def record(module: nn.Module, args: tuple, output: Any) -> None:
        order.setdefault(module)

    with watching(changed, dict.fromkeys(names, record)):
        changed(batch)
    for step, module in enumerate(reversed(order)):
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed + step)
            _reset(module)
        yield names[module], changed


def _reset(module: nn.Module) -> None:
    if hasattr(module, "reset_parameters"):
        module.reset_parameters()
        return
    for parameter in module.parameters(recurse=False):
        shuffled = torch.randperm(parameter.numel()).to(parameter.device)
        parameter.copy_(parameter.flatten()[shuffled].view_as(parameter))


def with_noise(images: Images, deviation: float = 0.01, seed: int = 0) -> Images:
    """The images with Gaussian noise, its deviation a share of the range from black to white."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(images.shape, generator=generator).to(images.device)
    scale = 255 if images.dtype == torch.uint8 else 1
    return _like(images + scale * deviation * noise, images)


def shifted(images: Shaped[Tensor, "*batch height width"], down: int, right: int) -> Tensor:
    """Moved by whole pixels; the pixels at the border are repeated."""
    rows, columns = (
        (torch.arange(side) - move).clamp(0, side - 1)
        for side, move in zip(images.shape[-2:], (down, right), strict=True)
    )
    return images[..., rows[:, None], columns]
