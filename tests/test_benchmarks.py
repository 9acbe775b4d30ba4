"""What the benchmarks train with, where it is not of the package."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.accuracy import Conv, Saving, Settings, side_by_side
from labutils.config import FitConfig
from labutils.training.loop import run_epochs


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


class Watched(nn.Module):
    """Brightness as logits; remembers the sides and the first pixels of what it is trained on."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))
        self.sides, self.seen = [], []

    def forward(self, images):
        if self.training:
            self.sides.append(images.shape[-1])
            self.seen.append(images[:, 0, 0, 0])
        return images.mean((1, 2, 3))[:, None] * self.scale


def test_a_saving_training_shrinks_images_and_skips_those_it_knows():
    count = 20
    brightness = torch.arange(count, dtype=torch.uint8) * 10
    images = brightness.view(-1, 1, 1, 1).expand(-1, 3, 8, 8).contiguous()
    labels = torch.zeros(count, dtype=torch.int64)  # the brightest have the highest loss:
    model = Watched()
    model.scale.data = torch.tensor([0.0, 5.0])
    config = FitConfig(optimizer="sgd", learning_rate=1e-6, batch_size=10, epochs=3)
    settings = Settings(config, sides=(4, 8, 8), kept=(1, 0.5, 1))
    task = Saving(settings, 0, model, (images, labels), (images, labels))
    run_epochs(task, progress=False)
    assert model.sides == [4, 4, 8, 8, 8]
    assert task.seen == {4: 20, 8: 30}
    first, second, third = torch.cat(model.seen).split((20, 10, 20))
    every = brightness / 255
    torch.testing.assert_close(first.sort().values, every)
    torch.testing.assert_close(second.sort().values, every[10:])
    torch.testing.assert_close(third.sort().values, every)
    assert not torch.equal(second, every[10:])  # in a random order
