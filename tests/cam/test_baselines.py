import pytest
import torch
from small_networks import CIFAR, CONFIGS
from torch import nn

from labutils.cam.baselines import BASELINES, centred_gaussian, edge_map, input_x_gradient
from labutils.models.networks import build_model

IMAGES = torch.rand(4, 3, 20, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("images", [IMAGES, (255 * IMAGES).byte()], ids=["floats", "bytes"])
def test_a_map_of_each_image_at_its_pixels(name, images):
    found = BASELINES[name](images)
    assert found.shape == (4, 20, 32)
    assert (found >= 0).all() and found.amax() > 0
    assert torch.equal(found, BASELINES[name](images))


def test_random_maps_differ_from_image_to_image():
    first, second = BASELINES["random"](IMAGES)[:2]
    assert not torch.equal(first, second)


def test_the_bell_is_in_the_middle_and_the_same_both_ways():
    bell = centred_gaussian(IMAGES)[0]
    torch.testing.assert_close(bell, bell.flip(0, 1))
    best = (bell == bell.max()).nonzero().double().mean(0)
    assert best.tolist() == [9.5, 15.5]
    # one deviation from the middle, down and to the right
    row, column = (
        bell[10 + 5 - 1 : 10 + 5 + 1, 15:17].mean(),
        bell[9:11, 16 + 8 - 1 : 16 + 8 + 1].mean(),
    )
    assert row.item() == pytest.approx(torch.tensor(-0.5).exp().item(), rel=0.02)
    assert column.item() == pytest.approx(row.item(), rel=0.02)


def test_edges_lie_where_grey_changes_and_not_at_the_frame():
    images = torch.full((1, 3, 8, 8), 0.7)
    assert edge_map(images).abs().max() < 1e-5
    images[..., 4:] = 0.1
    assert (edge_map(images)[0] > 1e-3).nonzero()[:, 1].unique().tolist() == [3, 4]
    torch.testing.assert_close(edge_map(images.mT), edge_map(images).mT)


def test_input_x_gradient_of_a_linear_network_adds_up_to_its_logit():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 20 * 32, 5, bias=False))
    found = input_x_gradient(network, IMAGES, class_idx=2)
    torch.testing.assert_close(found.sum((1, 2)), network(IMAGES)[:, 2].detach())


def test_input_x_gradient_takes_bytes_and_leaves_the_network():
    network = build_model(CONFIGS["resnet20"], CIFAR, 10).train()
    pixels = (255 * IMAGES).byte()
    found = input_x_gradient(network, pixels)
    torch.testing.assert_close(found, input_x_gradient(network, pixels.float() / 255))
    assert network.training and all(p.grad is None for p in network.parameters())
    assert found.abs().amax() > 0
