"""What networks are made of: Normalize, Whitening, CReLU, Shortcut, Block, GlobalAveragePool."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

Images = Shaped[Tensor, "batch channels height width"]


class Normalize(nn.Module):
    """Turn uint8 pixels (0 to 255) or floats (0 to 1) into zero mean and unit deviation.

    It is each network's first module, so that weights and the statistics of the set they were
    trained on are stored, loaded and frozen together.
    """

    def __init__(self, mean: Float[Tensor, " channels"], std: Float[Tensor, " channels"]) -> None:
        super().__init__()
        self.register_buffer("mean", mean.detach().clone().view(1, -1, 1, 1))
        self.register_buffer("std", std.detach().clone().view(1, -1, 1, 1))

    def forward(self, images: Images) -> Float[Tensor, "batch channels height width"]:
        if images.dtype == torch.uint8:
            # in place: a fresh float copy costs more in page faults than the arithmetic
            floats = images.to(torch.promote_types(self.mean.dtype, torch.float32))
            mean, std, values = 255 * self.mean, 255 * self.std, floats
            if floats.is_contiguous(memory_format=torch.channels_last):
                # by rows of pixels: the channels alone are too short a run to be fast
                mean, std = (each.flatten().repeat(images.shape[3]) for each in (mean, std))
                values = floats.permute(0, 2, 3, 1).flatten(2)
            values.sub_(mean).div_(std)
            return floats
        return (images - self.mean) / self.std


class Whitening(nn.Module):
    """Decorrelates 2x2 patches of an image: a fixed convolution and GELU.

    Each filter comes with both signs, so that GELU loses nothing: gelu(x) - gelu(-x) = x.
    Until `adapt` has seen images the filters are the patch's own pixels.

    Source: Page 2019, "How to Train Your ResNet 8"; Jordan 2024, section 3.1 (both signs).
    """

    SIZE = 2
    EPS = 5e-4  # keeps the weakest directions, which are noise, from being blown up

    def __init__(self, channels: int) -> None:
        super().__init__()
        inputs = channels * self.SIZE**2
        self.register_buffer("weight", self._filters(torch.eye(inputs), channels))

    @property
    def outputs(self) -> int:
        """Number of channels that go out: two for each pixel of a patch."""
        return len(self.weight)

    def _filters(self, rows: Float[Tensor, "inputs inputs"], channels: int) -> Tensor:
        filters = rows.reshape(-1, channels, self.SIZE, self.SIZE)
        return torch.cat([filters, -filters])

    @torch.no_grad()
    def adapt(self, images: Float[Tensor, "batch channels height width"]) -> None:
        """Set the filters to the principal axes of the images' patches, each scaled to deviation 1.

        Args:
            images: as they reach this layer: with zero mean and unit deviation.
        """
        channels = images.shape[1]
        patches = images.unfold(2, self.SIZE, 1).unfold(3, self.SIZE, 1)
        patches = patches.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(0, 2).double()
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        # an eigenvector has no sign of its own; this one does not depend on the solver
        vectors = vectors * vectors.gather(0, vectors.abs().argmax(0)[None]).sign()
        scaled = vectors.T / (values[:, None] + self.EPS).sqrt()
        self.weight.copy_(self._filters(scaled.float(), channels))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        return F.gelu(F.conv2d(x, self.weight))


class CReLU(nn.Module):
    """ReLU of what comes in and of its negative, side by side: nothing is lost.

    Source: Shang et al. 2016, "Understanding and Improving Convolutional Neural Networks via
    Concatenated Rectified Linear Units", definition 2.1.
    """

    def forward(self, x: Float[Tensor, "batch channels *map"]) -> Float[Tensor, "batch both *map"]:
        return F.relu(torch.cat((x, -x), 1))


class GlobalAveragePool(nn.Module):
    """Mean over all positions, channels kept.

    Written so that the gradient keeps the channels-last layout of its input: behind
    AdaptiveAvgPool2d or mean((2, 3)) the backward pass through norm and activation of the blocks
    before it is ten times as slow on a CPU (benchmarks/pooling.py).
    """

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        return x.permute(0, 2, 3, 1).flatten(1, 2).mean(1)


class Shortcut(nn.Module):
    """He's option A: every `stride`-th pixel and zeros for new channels; it has no parameters.

    Source: He et al. 2015, "Deep Residual Learning", section 3.3.
    """

    def __init__(self, stride: int, new_channels: int) -> None:
        super().__init__()
        self.stride, self.new_channels = stride, new_channels

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        x = F.avg_pool2d(x, 1, self.stride)  # as x[:, :, ::stride, ::stride], a faster gradient
        return F.pad(x, (0, 0, 0, 0, 0, self.new_channels))


class Block(nn.Module):
    """Weight, norm, ReLU, weight, norm, then the skip if `residual`, then ReLU (or `activation`).

    With the skip, ReLU and zero weights it is the identity for inputs that are not negative.
    Plain and residual blocks have the same parameters: the skip has none.

    Source: He et al. 2015, equations 1 and 2.
    """

    def __init__(
        self,
        layers: tuple[nn.Module, nn.Module],
        norms: tuple[nn.Module, nn.Module],
        *,
        residual: bool,
        shortcut: nn.Module | None = None,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        self.first, self.second = layers
        self.norm1, self.norm2 = norms
        self.activation1, self.activation2 = activation(), activation()
        self.residual = residual
        self.shortcut = shortcut or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm2(self.second(self.activation1(self.norm1(self.first(x)))))
        return self.activation2(self.shortcut(x) + out if self.residual else out)


def weight_layers(model: nn.Module) -> dict[str, nn.Linear | nn.Conv2d]:
    """The layers that `depth` counts, by name, first to last."""
    kinds = (nn.Linear, nn.Conv2d)
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}
