"""Layer statistics: right by hand, in forward order, of any network, and without a trace."""

import itertools
import math

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
    recorded_layers,
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


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


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
    found = layer_statistics(build_model(config, SHAPE, 4), images, labels).values
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
    model = build_model(config, SHAPE, 4)
    found = layer_statistics(model, *batch)
    assert tuple(found.values) == STATISTICS and not found.not_measured
    assert found.names == list(weight_layers(model)) and len(found.names) == config.depth
    assert all(map(math.isfinite, itertools.chain(*found.values.values())))
    assert {len(values) for values in found.values.values()} == {config.depth}


def test_activations_of_a_plain_mlp_by_hand(batch):
    images, labels = batch
    model = build_model(RunConfig(depth=4, width=5), SHAPE, 4)
    found = layer_statistics(model, images, labels).values
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
    with recorded_layers(model) as layers:
        model(images)
    x = model.stem(model.normalize(images))
    expected = [x]
    for block in model.blocks:
        inner = block.norm1(block.first(x)).clamp_min(0)
        x = block(x)
        expected += [inner, x]
    assert [layer.name for layer in layers] == list(weight_layers(model))
    for layer, value in zip(layers[:-1], expected, strict=True):
        torch.testing.assert_close(layer.activation, value)


def test_conv_statistics_take_a_channel_for_a_unit(batch):
    images, labels = batch
    model = build_model(RunConfig(model="convnet", depth=2, width=4), SHAPE, 4)
    stem = weight_layers(model)["stem.0"]
    with torch.no_grad():
        stem.weight[0], stem.bias[0] = 0, -1  # one of four channels is dead
        value = model.stem(model.normalize(images))
    found = layer_statistics(model, images, labels).values
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
    found = layer_statistics(model, *batch).values
    hidden = CONFIGS[name].depth - 1
    assert found["dead_units"] == [1.0] * hidden + [0.0]  # the logits are -1
    assert found["gradient_norm"][:-1] == found["weight_norm"][:-1] == [0.0] * hidden


def test_biases_do_not_hide_that_the_input_is_ignored(batch):
    model = build_model(RunConfig(depth=6, width=5), SHAPE, 4)
    with torch.no_grad():
        weight_layers(model)["stem.1"].weight.zero_()
        for layer in weight_layers(model).values():
            layer.bias.copy_(torch.linspace(0.5, 1, len(layer.bias)))
    found = layer_statistics(model, *batch).values
    assert min(map(abs, found["activation_mean"])) > 0
    assert max(found["activation_std"]) > 0.05 and max(found["dead_units"]) < 1
    assert max(found["activation_image_std"]) < 1e-6
    alive = layer_statistics(build_model(RunConfig(depth=6, width=5), SHAPE, 4), *batch).values
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
    before = layer_statistics(model, *batch).values
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.fill_(100)
    assert layer_statistics(model, *batch).values == before


def test_dropout_is_off(batch):
    model = build_model(CONFIGS["mlp-dropout"], SHAPE, 4).train()
    assert layer_statistics(model, *batch) == layer_statistics(model, *batch)


def test_works_where_gradients_are_switched_off(batch):
    model = build_model(CONFIGS["mlp"], SHAPE, 4)
    expected = layer_statistics(model, *batch).values
    with torch.no_grad():
        assert layer_statistics(model, *batch).values == expected


def test_an_error_inside_leaves_no_hook_and_restores_everything(batch):
    model = build_model(CONFIGS["convnet"], SHAPE, 4).train()
    model.head.eval()
    before, state = modes(model), {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(KeyError, match="in the block"):
        with probing(model), recorded_layers(model):
            assert hooks(model) and modes(model) != before
            model(batch[0])
            raise KeyError("in the block")
    assert modes(model) == before and not hooks(model)
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name


ACTIVATION_VALUES = [name for name in STATISTICS if name.startswith(("activation", "dead"))]


def floats(batch):
    """The batch for networks that do not take bytes."""
    return batch[0] / 255, batch[1]


def rows(model, batch):
    """Statistics by layer, and what was not measured."""
    names, values, lines = layer_statistics(model, *floats(batch))
    return {n: {q: values[q][i] for q in STATISTICS} for i, n in enumerate(names)}, lines


def nan_in(row):
    return [name for name, value in row.items() if math.isnan(value)]


def layers(*activation):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 6), *activation, nn.Linear(6, 4))


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(192, 6), nn.Linear(6, 4)

    def forward(self, images):
        return self.second(F.relu(self.first(images.flatten(1))))


def test_what_a_function_makes_of_a_layer_is_not_measured_and_the_history_says_so(batch):
    found, lines = rows(Functional(), batch)
    assert nan_in(found["first"]) == ACTIVATION_VALUES and nan_in(found["second"]) == []
    assert lines == ["no activation module before the next layer: first"]


@pytest.mark.parametrize("activation", [nn.Tanh(), nn.LeakyReLU(), nn.SiLU(), nn.PReLU()])
def test_any_activation_module_is_seen(activation, batch):
    model = layers(activation)
    found, lines = rows(model, batch)
    assert not lines
    with torch.no_grad():
        deviation = model[:3](floats(batch)[0]).std().item()
    assert found["1"]["activation_std"] == pytest.approx(deviation, rel=1e-5)


def test_layers_are_paired_with_their_own_activation_whatever_their_number(batch):
    """As many ReLUs and GELUs as hidden layers, but not where a count would put them."""
    model = nn.Sequential(*layers(nn.Tanh(), nn.Dropout()), nn.ReLU())
    found, lines = rows(model, batch)
    with torch.no_grad():
        hidden = model.eval()[:3](floats(batch)[0])
        logits = model(floats(batch)[0])
    assert found["1"]["activation_std"] == pytest.approx(hidden.std().item(), rel=1e-5)
    assert found["4"]["activation_std"] == pytest.approx(logits.std().item(), rel=1e-5)
    assert not lines


def test_the_last_of_several_activations_counts(batch):
    model = layers(nn.ReLU(), nn.Tanh())
    found, _ = rows(model, batch)
    with torch.no_grad():
        expected = model[:4](floats(batch)[0]).mean().item()
    assert found["1"]["activation_mean"] == pytest.approx(expected, rel=1e-5)


class Registered(nn.Module):
    """Registers its layers in the order that is given, and runs them in one order."""

    def __init__(self, order):
        super().__init__()
        made = {"body": nn.Linear(192, 6), "middle": nn.Linear(6, 5), "head": nn.Linear(5, 4)}
        for name in order:
            self.add_module(name, made[name])
        self.act = nn.ReLU()

    def forward(self, images):
        x = self.act(self.body(images.flatten(1)))
        return self.head(self.act(self.middle(x)))


@pytest.mark.parametrize("order", [*itertools.permutations(("body", "middle", "head"))])
def test_layers_stand_in_the_order_of_the_forward_pass(order, batch):
    model, other = Registered(("body", "middle", "head")), Registered(order)
    other.load_state_dict(model.state_dict())
    found, lines = rows(other, batch)
    assert list(found) == ["body", "middle", "head"] and not lines
    assert found == rows(model, batch)[0]
    for layer, name in enumerate(found):
        gradient = weight_gradient(other, *floats(batch), layer)
        assert gradient.shape == other.get_submodule(name).weight.shape


def test_an_operation_in_place_behind_an_activation_changes_nothing(batch):
    class InPlace(nn.Module):
        def __init__(self, in_place):
            super().__init__()
            self.body, self.act, self.head = nn.Linear(192, 6), nn.GELU(), nn.Linear(6, 4)
            self.in_place = in_place

        def forward(self, images):
            x = self.act(self.body(images.flatten(1)))
            x = x.mul_(2).add_(1) if self.in_place else x.mul(2).add(1)
            return self.head(x)

    plain, in_place = InPlace(False), InPlace(True)
    in_place.load_state_dict(plain.state_dict())
    assert rows(in_place, batch) == rows(plain, batch)
    with torch.no_grad():
        expected = plain.act(plain.body(floats(batch)[0].flatten(1))).mean().item()
    assert rows(in_place, batch)[0]["body"]["activation_mean"] == pytest.approx(expected, rel=1e-4)


def test_a_frozen_layer_has_norms_and_activations_but_no_gradient(batch):
    model = layers(nn.ReLU())
    whole, _ = rows(model, batch)
    model[1].requires_grad_(False)
    found, lines = rows(model, batch)
    assert lines == ["no gradient, it is frozen: 1"]
    assert nan_in(found["1"]) == ["gradient_norm", "activation_gradient_norm"]
    assert all(
        found["1"][name] == whole["1"][name] for name in set(STATISTICS) - {*nan_in(found["1"])}
    )
    assert found["3"] == whole["3"]
    assert weight_gradient(model, *floats(batch)) is None


PARAMETRIZED = {
    "weight_norm": nn.utils.parametrizations.weight_norm,
    "spectral_norm": nn.utils.parametrizations.spectral_norm,
    "orthogonal": nn.utils.parametrizations.orthogonal,
}


@pytest.mark.parametrize("parametrized", PARAMETRIZED.values(), ids=PARAMETRIZED)
def test_a_parametrized_weight_is_measured_as_it_is_used(parametrized, batch):
    model, plain = layers(nn.ReLU()), layers(nn.ReLU())
    parametrized(model[1])
    model.eval()
    with torch.no_grad():
        plain[1].weight.copy_(model[1].weight)
        plain[1].bias.copy_(model[1].bias)
        plain[3].load_state_dict(model[3].state_dict())
    state = {name: value.clone() for name, value in model.state_dict().items()}
    found, expected = rows(model, batch), rows(plain, batch)
    assert not found[1]
    for name in expected[0]:
        assert found[0][name] == pytest.approx(expected[0][name], rel=1e-4)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_layers_of_no_use_are_left_out_or_empty_and_named(batch):
    class Extra(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.act, self.head = nn.Linear(192, 6), nn.ReLU(), nn.Linear(6, 4)
            self.unused, self.auxiliary = nn.Conv2d(3, 4, 1), nn.Linear(6, 2)

        def forward(self, images):
            x = self.act(self.body(images.flatten(1)))
            logits = self.head(x)
            self.found = self.auxiliary(x)  # runs last, and is not what is trained
            return logits

    model = Extra()
    found, lines = rows(model, batch)
    assert list(found) == ["body", "head", "auxiliary"]
    assert "never called: unused" in lines and "no effect on the loss: auxiliary" in lines
    assert nan_in(found["auxiliary"]) == ["gradient_norm", *ACTIVATION_VALUES]
    with torch.no_grad():
        logits = model(floats(batch)[0])
    assert found["head"]["activation_std"] == pytest.approx(logits.std().item(), rel=1e-4)


def test_a_layer_that_runs_several_times_has_one_row(batch):
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.again, self.act = nn.Linear(6, 6), nn.ReLU()
            self.body, self.head = nn.Linear(192, 6), nn.Linear(6, 4)

        def forward(self, images):
            x = self.act(self.body(images.flatten(1)))
            self.last = self.act(self.again(self.act(self.again(x))))
            return self.head(self.last)

    model = Shared()
    found, lines = rows(model, batch)
    assert list(found) == ["body", "again", "head"]
    assert lines == ["runs several times, shown where it ran last: again"]
    F.cross_entropy(model(floats(batch)[0]), batch[1]).backward()
    norm = model.again.weight.grad.norm().item()  # of both times
    assert found["again"]["gradient_norm"] == pytest.approx(norm, rel=1e-4)
    assert found["again"]["activation_mean"] == pytest.approx(model.last.mean().item(), rel=1e-4)


def test_what_is_not_a_row_an_image_is_not_measured(batch):
    class Patches(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.act, self.head = nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 4)

        def forward(self, images):
            pixels = images.permute(0, 2, 3, 1).reshape(-1, 3)
            return self.head(self.act(self.body(pixels)).view(len(images), -1, 6).mean(1))

    found, lines = rows(Patches(), batch)
    assert lines == ["its activation is not a row an image: body"]
    assert nan_in(found["body"]) == [
        n for n in ACTIVATION_VALUES if n != "activation_gradient_norm"
    ]


def test_units_of_a_linear_layer_are_its_outputs_behind_positions_too(batch):
    model = nn.Sequential(
        nn.Flatten(2), nn.Linear(64, 6), nn.ReLU(), nn.Flatten(), nn.Linear(18, 4)
    )
    with torch.no_grad():
        model[1].weight.zero_()
        model[1].bias.copy_(torch.tensor([-1, -1, 1, 1, 1, 1]))  # two of six, at three positions
    assert rows(model, batch)[0]["1"]["dead_units"] == pytest.approx(2 / 6)


@pytest.mark.parametrize("inside", [False, True], ids=["whole", "a part"])
@pytest.mark.parametrize("in_place", [False, True], ids=["wrapped", "in-place"])
def test_a_compiled_network_is_measured_as_it_is_written(inside, in_place, batch):
    model = layers(nn.ReLU())
    expected = rows(model, batch)
    compiled = model
    if in_place:
        (model[1] if inside else model).compile(backend="eager")
    elif inside:
        compiled = nn.Sequential(model[0], torch.compile(model[1], backend="eager"), *model[2:])
    else:
        compiled = torch.compile(model, backend="eager")
    assert rows(compiled, batch) == expected
    assert compiled(floats(batch)[0]).shape == (12, 4)


def test_a_single_image_has_no_deviation_across_images(batch):
    found, _ = rows(layers(nn.ReLU()), (batch[0][:1], batch[1][:1]))
    assert nan_in(found["1"]) == nan_in(found["3"]) == ["activation_image_std"]


def test_a_network_without_weight_layers_has_no_rows(batch):
    model = nn.Sequential(nn.Flatten(), nn.LayerNorm(192), nn.AdaptiveAvgPool1d(4))
    assert rows(model, batch) == ({}, ["no weight layer ran"])


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
    norm = layer_statistics(model, images, labels).values["gradient_norm"][layer]
    assert found.norm().item() == pytest.approx(norm, rel=1e-4)


def test_statistics_of_an_untrained_network_are_those_of_the_network_built(batch):
    config = RunConfig(depth=6, width=5, residual=True, seed=3)
    images, labels = batch
    model = build_model(config, SHAPE, int(labels.max()) + 1, pixel_statistics(images))
    found = untrained_statistics(config, images, labels)
    assert found == layer_statistics(model, images, labels).values
