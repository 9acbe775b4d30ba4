import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labutils.config.classifier import RunConfig
from labutils.data.sets import pixel_statistics
from labutils.models.blocks import weight_layers
from labutils.models.modes import probing
from labutils.models.networks import build_model
from labutils.training.statistics import (
    STATISTICS,
    layer_statistics,
    recorded_activations,
    untrained_statistics,
    weight_gradient,
)

SHAPE = (3, 8, 8)
CONFIGS = {
    "mlp": RunConfig(depth=6, width=5, residual=True),
    "mlp-dropout": RunConfig(depth=4, width=5, norm="batch", dropout=0.5),
    "convnet": RunConfig(model="convnet", depth=6, width=3, norm="batch"),
    "convnet-fcn": RunConfig(model="convnet", depth=4, width=3, head="fully-convolutional"),
    "small-cnn": RunConfig(model="small-cnn", width=3, dropout=0.3),
    "cnn": RunConfig(model="cnn", width=3),
    "resnet": RunConfig(model="resnet", depth=8, width=3, residual=True),
    "strong": RunConfig(model="strong", width=3, residual=True),
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (12, *SHAPE), generator=generator, dtype=torch.uint8)
    return images, torch.randint(0, 4, (12,), generator=generator)


def modes(model):
    return [module.training for module in model.modules()]


def hooks(model):
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


def norms_in_train_mode(model):
    """What the protocol says, by hand: eval mode but for batch norm."""
    model.eval()
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.train()
    return model


@every_config
def test_gradient_norms_are_those_of_plain_backward(config, batch):
    images, labels = batch
    found = layer_statistics(build_model(config, SHAPE, 4), images, labels)
    model = norms_in_train_mode(build_model(config, SHAPE, 4))
    logits = model(images)
    logits.retain_grad()
    F.cross_entropy(logits, labels).backward()
    layers = list(weight_layers(model).values())
    expected = [layer.weight.grad.square().sum().sqrt().item() for layer in layers]
    assert found["gradient_norm"] == pytest.approx(expected, rel=1e-4)
    weights = [layer.weight.square().sum().sqrt().item() for layer in layers]
    assert found["weight_norm"] == pytest.approx(weights, rel=1e-5)
    last = logits.grad.square().sum().sqrt().item()
    assert found["activation_gradient_norm"][-1] == pytest.approx(last, rel=1e-5)
    assert min(found["gradient_norm"]) > 0


@every_config
def test_one_value_a_weight_layer_for_each_statistic(config, batch):
    found = layer_statistics(build_model(config, SHAPE, 4), *batch)
    assert tuple(found) == STATISTICS
    assert {len(values) for values in found.values()} == {config.depth}


def test_activations_of_a_plain_mlp_by_hand(batch):
    images, labels = batch
    model = build_model(RunConfig(depth=4, width=5), SHAPE, 4)
    found = layer_statistics(model, images, labels)
    x, activations = images.flatten(1) / 255, []
    layers = list(weight_layers(model).values())
    for layer in layers[:-1]:
        x = F.linear(x, layer.weight, layer.bias).clamp_min(0)
        x.retain_grad()
        activations.append(x)
    logits = F.linear(x, layers[-1].weight, layers[-1].bias)
    logits.retain_grad()
    activations.append(logits)
    F.cross_entropy(logits, labels).backward()
    for layer, value in enumerate(activations):
        values = value.detach()
        dead = (values == 0).all(0).float().mean().item()
        assert found["activation_mean"][layer] == pytest.approx(values.mean().item(), rel=1e-4)
        assert found["activation_std"][layer] == pytest.approx(values.std().item(), rel=1e-4)
        across = values.std(0).mean().item()
        assert found["activation_image_std"][layer] == pytest.approx(across, rel=1e-4)
        assert found["dead_units"][layer] == pytest.approx(dead)
        gradient = value.grad.norm().item()
        assert found["activation_gradient_norm"][layer] == pytest.approx(gradient, rel=1e-4)


def test_a_residual_block_hands_on_the_sum(batch):
    images, _ = batch
    model = build_model(CONFIGS["resnet"], SHAPE, 4).eval()
    with recorded_activations(model) as activations:
        logits = model(images)
    x = model.stem(model.normalize(images))
    expected = [x]
    for block in model.blocks:
        inner = block.norm1(block.first(x)).clamp_min(0)
        x = block(x)
        expected += [inner, x]
    assert len(activations) == len(expected) + 1 == 8
    for found, value in zip(activations, [*expected, logits], strict=True):
        torch.testing.assert_close(found, value)


def test_conv_statistics_take_a_channel_for_a_unit(batch):
    images, labels = batch
    model = build_model(RunConfig(model="convnet", depth=2, width=4), SHAPE, 4)
    stem = weight_layers(model)["stem.0"]
    with torch.no_grad():
        stem.weight[0], stem.bias[0] = 0, -1  # one of four channels is dead
        value = model.stem(model.normalize(images))
    found = layer_statistics(model, images, labels)
    assert found["dead_units"][0] == 0.25
    assert found["activation_image_std"][0] == pytest.approx(value.std(0).mean().item(), rel=1e-4)
    assert found["activation_mean"][0] == pytest.approx(value.mean().item(), rel=1e-4)


@pytest.mark.parametrize("name", ["mlp", "convnet-fcn"])
def test_a_dead_network_is_seen(name, batch):
    model = build_model(CONFIGS[name], SHAPE, 4)
    with torch.no_grad():
        for layer in weight_layers(model).values():
            layer.weight.zero_()
            layer.bias.fill_(-1)
    found = layer_statistics(model, *batch)
    hidden = CONFIGS[name].depth - 1
    assert found["dead_units"] == [1.0] * hidden + [0.0]  # the logits are -1
    assert found["gradient_norm"][:-1] == found["weight_norm"][:-1] == [0.0] * hidden


def test_biases_do_not_hide_that_the_input_is_ignored(batch):
    model = build_model(RunConfig(depth=6, width=5), SHAPE, 4)
    with torch.no_grad():
        weight_layers(model)["stem.1"].weight.zero_()
        for layer in weight_layers(model).values():
            layer.bias.copy_(torch.linspace(0.5, 1, len(layer.bias)))
    found = layer_statistics(model, *batch)
    assert min(map(abs, found["activation_mean"])) > 0
    assert max(found["activation_std"]) > 0.05 and max(found["dead_units"]) < 1
    assert max(found["activation_image_std"]) < 1e-6
    alive = layer_statistics(build_model(RunConfig(depth=6, width=5), SHAPE, 4), *batch)
    assert min(alive["activation_image_std"]) > 1e-4


@every_config
def test_nothing_is_left_behind(config, batch):
    model = build_model(config, SHAPE, 4).train()
    model.blocks.eval()  # a frozen part keeps its mode
    layer = next(iter(weight_layers(model).values()))
    layer.weight.grad = torch.full_like(layer.weight, 3)
    before, state = modes(model), {k: v.clone() for k, v in model.state_dict().items()}
    generator = torch.get_rng_state()
    layer_statistics(model, *batch)
    assert modes(model) == before and len(set(before)) == 2
    assert not hooks(model)
    assert (layer.weight.grad == 3).all()
    assert [p for p in model.parameters() if p.grad is not None] == [layer.weight]
    for name, value in model.state_dict().items():  # running statistics and their count included
        assert torch.equal(value, state[name]), name
    assert torch.equal(torch.get_rng_state(), generator)


def test_the_batch_norm_of_the_batch_is_used_not_the_running_one(batch):
    model = build_model(CONFIGS["convnet"], SHAPE, 4)
    before = layer_statistics(model, *batch)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.fill_(100)
    assert layer_statistics(model, *batch) == before


def test_dropout_is_off(batch):
    model = build_model(CONFIGS["mlp-dropout"], SHAPE, 4).train()
    assert layer_statistics(model, *batch) == layer_statistics(model, *batch)


def test_works_where_gradients_are_switched_off(batch):
    model = build_model(CONFIGS["mlp"], SHAPE, 4)
    expected = layer_statistics(model, *batch)
    with torch.no_grad():
        assert layer_statistics(model, *batch) == expected


def test_an_error_inside_leaves_no_hook_and_restores_everything(batch):
    model = build_model(CONFIGS["convnet"], SHAPE, 4).train()
    model.head.eval()
    before, state = modes(model), {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(KeyError, match="in the block"):
        with probing(model), recorded_activations(model):
            assert hooks(model) and modes(model) != before
            model(batch[0])
            raise KeyError("in the block")
    assert modes(model) == before and not hooks(model)
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_a_functional_relu_is_refused(batch):
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(192, 6), nn.Linear(6, 4)

        def forward(self, images):
            return self.second(F.relu(self.first(images.flatten(1).float())))

    model = Functional().train()
    with pytest.raises(ValueError, match="2 weight layers but 1 activations: give every hidden"):
        layer_statistics(model, *batch)
    assert not hooks(model) and model.training


@every_config
@pytest.mark.parametrize("layer", [0, -1])
def test_weight_gradient_is_that_of_plain_backward(config, layer, batch):
    images, labels = batch
    model = build_model(config, SHAPE, 4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = weight_gradient(model, images, labels, layer)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    reference = norms_in_train_mode(build_model(config, SHAPE, 4))
    F.cross_entropy(reference(images), labels).backward()
    expected = list(weight_layers(reference).values())[layer].weight.grad
    torch.testing.assert_close(found, expected)
    norm = layer_statistics(model, images, labels)["gradient_norm"][layer]
    assert found.norm().item() == pytest.approx(norm, rel=1e-4)


def test_statistics_of_an_untrained_network_are_those_of_the_network_built(batch):
    config = RunConfig(depth=6, width=5, residual=True, seed=3)
    images, labels = batch
    model = build_model(config, SHAPE, int(labels.max()) + 1, pixel_statistics(images))
    assert untrained_statistics(config, images, labels) == layer_statistics(model, images, labels)
