"""Maps that ask no network, or hardly: what a class activation map must be better than."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from labutils.cam.layers import Images, prepare, watching
from labutils.cam.maps import Classes, as_classes

PixelMaps = Float[Tensor, "batch height width"]


def random_map(images: Images, seed: int = 0) -> PixelMaps:
    """Uniform noise from 0 to 1, another one for each image of the batch."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(len(images), *images.shape[2:], generator=generator).to(images.device)


def centred_gaussian(images: Images, width: float = 0.25) -> PixelMaps:
    """A bell in the middle of the image, 1 at its centre.

    Args:
        width: deviation as a share of the sides.
    """
    height, columns = (
        (-(torch.linspace(-0.5, 0.5, side + 1).unfold(0, 2, 1).mean(1) ** 2) / (2 * width**2)).exp()
        for side in images.shape[2:]
    )
    bell = height[:, None] * columns
    return bell.expand(len(images), -1, -1).to(images.device)


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
