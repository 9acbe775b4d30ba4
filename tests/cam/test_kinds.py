"""Kinds of maps: of which layer, of several batches, of which class; and controls."""

import pytest
import torch
from colour_squares import sees_colours, squares
from small_networks import CIFAR, CONFIGS
from torch import nn

from labutils.cam import kinds
from labutils.cam.kinds import (
    BASELINES,
    GRADIENT,
    Kind,
    centred_gaussian,
    edge_map,
    input_x_gradient,
)
from labutils.models.networks import build_model

CAM, GAUSSIAN, EDGES = map(Kind, ("grad-cam", "centred Gaussian", "edges"))
PICTURES = torch.rand(4, 3, 20, 32, generator=torch.Generator().manual_seed(0))


def test_the_finer_layer_is_the_last_block_before_the_map_gets_coarser():
    batch = torch.zeros(1, *CIFAR, dtype=torch.uint8)
    network = build_model(CONFIGS["resnet20"], CIFAR, 10)
    assert kinds.finer_layer(network, batch) == "blocks.5"
    with pytest.raises(ValueError, match="maps of one size: take layer 'last'"):
        kinds.finer_layer(build_model(CONFIGS["convnet10"], CIFAR, 10), batch)


def test_maps_of_several_batches_are_those_of_each_image(monkeypatch):
    network, batch = build_model(CONFIGS["resnet20"], CIFAR, 10).eval(), squares(7, seed=0)
    for kind in (CAM, Kind("layercam", "finer"), Kind("grad-cam", "finer", "resize"),
                 Kind(GRADIENT), EDGES, GAUSSIAN):  # fmt: skip
        whole = kinds.maps_of(network, batch.images, kind, batch.labels)
        assert whole.shape == (7, 16, 16)
        monkeypatch.setattr(kinds, "BATCH", 3)
        parts = kinds.maps_of(network, batch.images, kind, batch.labels)
        torch.testing.assert_close(parts, whole, rtol=1e-3, atol=1e-6)
        monkeypatch.undo()


def test_maps_are_of_the_classes_asked_for_and_not_rectified():
    network, batch = sees_colours(), squares(5, seed=0)
    with torch.no_grad():
        network.head[1].weight.copy_(torch.eye(3) - 0.5)
    own = kinds.maps_of(network, batch.images, CAM, batch.labels)
    other = kinds.maps_of(network, batch.images, CAM, (batch.labels + 1) % 3)
    assert (own.amax((1, 2)) > 0).all() and (own.amin((1, 2)) == 0).all()
    torch.testing.assert_close(other, -own)


# Controls


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("images", [PICTURES, (255 * PICTURES).byte()], ids=["floats", "bytes"])
def test_a_map_of_each_image_at_its_pixels(name, images):
    found = BASELINES[name](images)
    assert found.shape == (4, 20, 32)
    assert (found >= 0).all() and found.amax() > 0
    assert torch.equal(found, BASELINES[name](images))


def test_random_maps_differ_from_image_to_image():
    first, second = BASELINES["random"](PICTURES)[:2]
    assert not torch.equal(first, second)


def test_the_bell_is_in_the_middle_and_the_same_both_ways():
    bell = centred_gaussian(PICTURES)[0]
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
    found = input_x_gradient(network, PICTURES, class_idx=2)
    torch.testing.assert_close(found.sum((1, 2)), network(PICTURES)[:, 2].detach())


def test_input_x_gradient_takes_bytes_and_leaves_the_network():
    network = build_model(CONFIGS["resnet20"], CIFAR, 10).train()
    pixels = (255 * PICTURES).byte()
    found = input_x_gradient(network, pixels)
    torch.testing.assert_close(found, input_x_gradient(network, pixels.float() / 255))
    assert network.training and all(p.grad is None for p in network.parameters())
    assert found.abs().amax() > 0
