"""A 3x3 convolution of 256 channels and its gradients: PyTorch, and Winograd's algorithm."""

import torch
import torch.nn.functional as F

from benchmarks.timing import compare
from labutils import winograd

BATCH, CHANNELS, SIDE = 256, 256, 8


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight, upstream = (
        torch.randn(shape, generator=generator).contiguous(memory_format=torch.channels_last)
        for shape in (
            (BATCH, CHANNELS, SIDE, SIDE),
            (CHANNELS, CHANNELS, 3, 3),
            (BATCH, CHANNELS, SIDE, SIDE),
        )
    )
    x.requires_grad_(), weight.requires_grad_()

    def step(conv) -> None:
        torch.autograd.grad(conv(x, weight, padding=1), (x, weight), upstream)

    question = "3x3 convolution, 256 channels, fp32, with gradients: PyTorch / Winograd's algorithm"
    compare("winograd", question, lambda: step(F.conv2d), lambda: step(winograd.conv2d), 15)


if __name__ == "__main__":
    main()
