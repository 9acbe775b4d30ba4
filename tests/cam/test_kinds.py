"""Kinds of maps: of which layer, of several batches, of which class."""

import pytest
import torch
from colour_squares import sees_colours, squares
from small_networks import CIFAR, CONFIGS

from labutils.cam import kinds
from labutils.cam.kinds import GRADIENT, Kind
from labutils.models.networks import build_model

CAM, GAUSSIAN, EDGES = map(Kind, ("grad-cam", "centred Gaussian", "edges"))


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
