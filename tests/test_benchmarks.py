"""What the benchmarks train with, where it is not of the package."""

import pytest
import torch
from torch.nn import functional as F

from benchmarks.accuracy import Conv, side_by_side


@pytest.mark.parametrize(
    ("count", "side", "joined"), [(500, 7, 5), (12, 3, 12), (7, 5, 7), (13, 7, 1), (30, 20, 1)]
)
def test_maps_side_by_side_have_the_gradients_of_the_convolution(count, side, joined):
    conv = Conv(4, 8).double()
    images = torch.randn(count, 4, side, side, dtype=torch.float64, requires_grad=True)
    maps = conv(images)
    towards = torch.randn_like(maps)
    found = torch.autograd.grad(maps, [images, conv.weight], towards)
    usual = F.conv2d(images, conv.weight, padding=1)
    expected = torch.autograd.grad(usual, [images, conv.weight], towards)
    torch.testing.assert_close(maps, usual)
    torch.testing.assert_close(found, expected)
    assert len(side_by_side(images)) == count // joined
