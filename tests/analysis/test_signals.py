"""What reaches the layers of untrained networks, and how alike gradients of like images are."""

import pytest
import torch
from torch import nn

from labutils.analysis.signals import gradient_correlations, variance_shares
from labutils.config.classifier import RunConfig
from labutils.models.networks import build_model

IMAGES = torch.rand(30, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def mlp(**fields):
    return build_model(RunConfig(width=32, **fields), (1, 28, 28), 10)


def test_the_share_of_variance_across_images_is_what_units_do_not_share():
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 2), nn.ReLU(), nn.Linear(2, 3))
    with torch.no_grad():
        model[1].weight.copy_(torch.zeros(2, 784))
        model[1].weight[:, 0] = 1  # both units show the first pixel
        model[1].bias.copy_(torch.tensor([0.0, 4.0]))  # the second four more
    first = IMAGES[:, 0, 0, 0]
    within = first.var(correction=0).item()
    (share,) = variance_shares(model, IMAGES)
    assert share == pytest.approx(within / (within + 4), rel=1e-4)
    with torch.no_grad():
        model[1].weight.zero_()
    assert variance_shares(model, IMAGES) == [0.0]


def test_default_weights_lose_with_depth_what_a_skip_keeps():
    plain, residual = (variance_shares(mlp(depth=20, residual=r), IMAGES) for r in (False, True))
    assert len(plain) == len(residual) == 19
    assert plain[-1] < 1e-3 < 0.05 < residual[-1]


def test_gradients_of_a_linear_network_are_all_alike():
    linear = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    found = gradient_correlations(linear, IMAGES[:3], IMAGES[3:6], IMAGES, points=5)
    assert found == pytest.approx([1] * 4)


def test_gradients_shatter_with_depth_and_less_with_skips():
    def nearby(**fields):
        model = mlp(init="he", norm="batch", **fields)
        near = 0.9 * IMAGES[:4] + 0.1 * IMAGES[4:8]
        return gradient_correlations(model, IMAGES[:4], near, IMAGES, points=9)[0]

    assert nearby(depth=4) > nearby(depth=40, residual=True) > nearby(depth=40) + 0.1


def test_a_gradient_of_zero_is_like_no_other_and_the_network_is_left_as_it_was():
    model = mlp(depth=6, norm="batch").train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    nn.init.zeros_(model.head[-1].weight)
    state["head.1.weight"] = model.state_dict()["head.1.weight"].clone()
    assert gradient_correlations(model, IMAGES[:2], IMAGES[2:4], IMAGES, points=4) == [0, 0, 0]
    assert model.training and all(module.training for module in model.modules())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert model.blocks[0].norm1.momentum == 0.1
