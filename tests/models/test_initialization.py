"""Weights made for deep plain networks: each has what its paper promises."""

import pytest
import torch
from torch import nn

from labutils.config.base import ConfigError
from labutils.config.classifier import RunConfig
from labutils.models.blocks import CReLU, weight_layers
from labutils.models.initialization import unit_variance
from labutils.models.networks import build_model, fit_to_images

MNIST, CIFAR = (1, 28, 28), (3, 32, 32)
MLP = RunConfig(depth=12, width=32)
CONVNET = RunConfig(model="convnet", data="cifar10", depth=12, width=8, stem_stride=2)


def changed(config, **fields):
    kept = ("model", "depth", "width", "data", "stem_stride")
    return RunConfig(**{name: getattr(config, name) for name in kept} | fields)


def built(config, **fields):
    return build_model(changed(config, **fields), MNIST if config.model == "mlp" else CIFAR, 10)


def images(config, count=40):
    shape = MNIST if config.model == "mlp" else CIFAR
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(0))


def identity_times(matrix):
    """The number c of W W' = c I (or W'W = c I where W is taller than wide)."""
    product = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    scale = product.diagonal().mean()
    assert torch.allclose(product, scale * torch.eye(len(product)), atol=1e-5)
    return scale.item()


@pytest.mark.parametrize("activation, squared", [("relu", 2), ("leaky", 2 / 1.64)])
def test_orthogonal_layers_are_orthogonal_with_the_gain_of_the_activation(activation, squared):
    model = built(MLP, init="orthogonal", activation=activation)
    *hidden, head = weight_layers(model).values()
    found = [identity_times(layer.weight) for layer in hidden]
    assert found == pytest.approx([squared] * len(hidden), rel=1e-4)
    assert identity_times(head.weight) == pytest.approx(1, rel=1e-4)
    assert all((layer.bias == 0).all() for layer in (*hidden, head))


def test_delta_orthogonal_convolutions_keep_the_norm_of_every_pixel():
    """Xiao et al. 2018: zero but for the centre, which is orthogonal; here times He's gain."""
    model = built(CONVNET, init="orthogonal")
    for block in model.blocks:
        x = torch.randn(2, CONVNET.width, 6, 6)
        before, after = x.norm(dim=1), block.first(x).norm(dim=1)
        assert torch.allclose(after, 2**0.5 * before, rtol=1e-4)
        assert (block.first.weight != 0).sum() == CONVNET.width**2


@pytest.mark.parametrize("config", [MLP, CONVNET], ids=["mlp", "convnet"])
@pytest.mark.parametrize("activation", ["relu", "leaky", "crelu"])
def test_lsuv_gives_every_layer_unit_variance(config, activation):
    model = built(config, init="lsuv", activation=activation)
    shown, found = images(config), []
    fit_to_images(model, shown, "lsuv")
    for layer in weight_layers(model).values():
        layer.register_forward_hook(lambda _, __, output: found.append(output.var().item()))
    model(shown)
    assert found == pytest.approx([1] * config.depth, rel=1e-3)


def test_lsuv_leaves_what_does_not_vary_and_no_hook():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))
    nn.init.zeros_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    before = model[2].weight.clone()
    unit_variance(model, torch.randn(5, 4))
    assert torch.equal(model[2].weight, before) and not model[0]._forward_hooks


@pytest.mark.parametrize("config", [MLP, CONVNET], ids=["mlp", "convnet"])
def test_a_network_that_looks_linear_is_linear_until_it_is_trained(config):
    """Balduzzi et al. 2017, section 4.1: and with other weights it is not."""
    a, b = images(config)[:20].double(), images(config)[20:].double()

    def bend(init):
        model = built(config, init=init, activation="crelu").double()
        ends, middle = (model(a) + model(b)) / 2, model((a + b) / 2)
        return ((ends - middle).norm() / middle.norm()).item()

    assert bend("looks-linear") < 1e-5 < 1e-2 < bend("he")


def test_concatenated_relu_loses_nothing_and_doubles_what_comes_behind():
    x = torch.randn(3, 5, 2, 2)
    positive, negative = CReLU()(x).chunk(2, 1)
    assert torch.equal(positive - negative, x) and (positive >= 0).all() and (negative >= 0).all()
    model = built(MLP, activation="crelu")
    assert [tuple(layer.weight.shape) for layer in weight_layers(model).values()] == [
        (32, 784), *[(32, 64)] * 10, (10, 64)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"activation": "crelu", "residual": True}, "doubles the channels"),
        ({"init": "looks-linear"}, "give that too"),
        ({"init": "lsuv", "model": "resnet"}, "lsuv is for convnet or mlp|lsuv is for mlp or"),
        ({"activation": "leaky", "model": "resnet"}, "no option activation"),
    ],
)
def test_what_cannot_be_built_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        RunConfig(**fields)
