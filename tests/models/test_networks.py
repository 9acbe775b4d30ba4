import math
from collections import Counter

import pytest
import torch
from small_networks import CIFAR, CONFIGS, MNIST, every_config
from torch import nn

from labutils.config.classifier import FAMILIES, RunConfig
from labutils.models.blocks import (
    Block,
    GlobalAveragePool,
    Normalize,
    Shortcut,
    Whitening,
    weight_layers,
)
from labutils.models.costs import multiply_adds
from labutils.models.initialization import initialize
from labutils.models.networks import build_model, fit_to_images

RESIDUAL = [name for name in FAMILIES if "residual" in FAMILIES[name].options]
DEPTHS = {"resnet": 14, "strong": 9}  # of the families where 10 is none


def random_images(count, shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, *shape), generator=generator, dtype=torch.uint8)


# Shapes, depth and the order of parameters


@every_config
@pytest.mark.parametrize("shape", [MNIST, CIFAR], ids=["28", "32"])
def test_any_family_takes_both_image_sizes(config, shape):
    model = build_model(config, shape, 7).eval()
    assert model(random_images(3, shape)).shape == (3, 7)


@every_config
def test_depth_counts_weight_layers(config):
    assert len(weight_layers(build_model(config, MNIST, 10))) == config.depth


@pytest.mark.parametrize("depth", [4, 10, 22, 26, 34, 40])
def test_depth_of_the_depth_grids(depth):
    for model in ("mlp", "convnet"):
        config = RunConfig(model=model, depth=depth, width=2)
        assert len(weight_layers(build_model(config, (1, 4, 4), 2))) == depth


@pytest.mark.parametrize("depth", [8, 14, 32, 44, 56])
def test_depth_of_he_networks_is_6n_plus_2(depth):
    model = build_model(RunConfig(model="resnet", depth=depth, width=2), CIFAR, 10)
    assert len(weight_layers(model)) == depth
    assert sum(isinstance(module, Block) for module in model.modules()) == (depth - 2) // 2


@pytest.mark.parametrize("model", RESIDUAL)
@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("init", ["default", "he"])
def test_plain_and_residual_have_the_same_parameters(model, norm, init):
    depth = DEPTHS.get(model, 10)
    norm = norm if "norm" in FAMILIES[model].options else FAMILIES[model].norm
    plain, residual = (
        build_model(
            RunConfig(
                model=model, depth=depth, width=4, norm=norm, init=init, residual=skip, seed=5
            ),
            (3, 16, 16),
            10,
        )
        for skip in (False, True)
    )
    pairs = zip(plain.state_dict().items(), residual.state_dict().items(), strict=True)
    for (name, value), (other_name, other_value) in pairs:
        assert name == other_name and torch.equal(value, other_value), name
    assert list(dict(plain.named_parameters())) == list(dict(residual.named_parameters()))
    images = random_images(2, (3, 16, 16))
    assert not torch.allclose(plain.eval()(images), residual.eval()(images))  # the skip is there


@every_config
def test_seed_alone_decides_the_initial_weights(config):
    seed = {field: getattr(config, field) for field in config.to_dict() if hasattr(config, field)}
    seed = {k: v for k, v in seed.items() if k not in ("id", "kind", "recipe", "seed")}
    build = {s: build_model(RunConfig(**seed, seed=s), MNIST, 10).state_dict() for s in (0, 1)}
    torch.rand(3)  # what was drawn before does not matter
    model = build_model(RunConfig(**seed, seed=0), MNIST, 10)
    again = model.state_dict()
    for name, value in build[0].items():
        assert torch.equal(value, again[name])
        if value.ndim < 2 or name not in dict(model.named_parameters()):
            continue  # nothing is drawn
        if config.init != "partial-identity" or len(value) > value.shape[1]:
            assert not torch.equal(value, build[1][name]), name


def test_building_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    build_model(RunConfig(init="he", width=4), MNIST, 10)
    assert torch.equal(torch.rand(4), expected)


def test_all_layers_of_one_network_differ():
    weights = [
        layer.weight for layer in weight_layers(build_model(CONFIGS["mlp22"], MNIST, 6)).values()
    ]
    assert not any(
        torch.equal(a, b)
        for a, b in zip(weights[1:-1], weights[2:], strict=False)
        if a.shape == b.shape
    )


# Residual blocks


def blocks_of(model):
    return [module for module in model.modules() if isinstance(module, Block)]


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("model", ["mlp", "convnet"])
def test_a_residual_block_with_zero_weights_is_the_identity(model, norm):
    config = RunConfig(model=model, depth=4, width=6, residual=True, norm=norm)
    (block,) = blocks_of(build_model(config, (1, 5, 5), 3))
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    shape = (4, 6) if model == "mlp" else (4, 6, 5, 5)
    x = torch.rand(shape)
    assert torch.equal(block(x), x)
    block.residual = False
    assert not block(x).any()  # the same block without its skip forgets everything


def test_a_block_computes_what_he_et_al_define():
    torch.manual_seed(0)
    first, second = nn.Linear(5, 5), nn.Linear(5, 5)
    norms = nn.BatchNorm1d(5), nn.BatchNorm1d(5)
    x = torch.randn(8, 5)
    inner = second(norms[0](first(x)).clamp_min(0))
    for residual in (True, False):
        expected = ((x if residual else 0) + norms[1](inner)).clamp_min(0)
        assert torch.equal(Block((first, second), norms, residual=residual)(x), expected)


def test_shortcut_takes_every_second_pixel_and_zero_channels():
    shortcut = Shortcut(2, 3)
    assert not list(shortcut.parameters())
    x = torch.arange(2 * 2 * 5 * 5.0).view(2, 2, 5, 5)
    out = shortcut(x)
    assert out.shape == (2, 5, 3, 3)
    assert torch.equal(out[:, :2], x[:, :, [0, 2, 4]][..., [0, 2, 4]])
    assert not out[:, 2:].any()


def test_resnet_shortcuts_stand_where_the_resolution_changes_and_nowhere_else():
    blocks = blocks_of(build_model(CONFIGS["resnet18"], CIFAR, 10))
    assert [isinstance(block.shortcut, Shortcut) for block in blocks] == [
        False, False, True, False, True, False, True, False,
    ]  # fmt: skip
    assert [block.first.stride[0] for block in blocks] == [1, 1, 2, 1, 2, 1, 2, 1]


@pytest.mark.parametrize("model", [model for model in RESIDUAL if model != "strong"])
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_zero_residual_starts_every_block_as_its_shortcut(model, norm):
    depth = DEPTHS.get(model, 10)
    config = RunConfig(
        model=model, depth=depth, width=4, norm=norm, init="zero-residual", residual=True
    )
    net = build_model(config, (3, 12, 12), 10).eval()
    x = net.stem(net.normalize(random_images(3, (3, 12, 12))))
    assert x.min() == 0 < x.max()
    expected = x
    for block in blocks_of(net):
        expected = block.shortcut(expected)
        # the first layer learns at once only if it is not zero as well
        assert block.first.weight.any()
    assert torch.equal(net.blocks(x), expected)
    assert torch.equal(net(random_images(3, (3, 12, 12))), net.head(expected))


# The older reports' mistakes


@pytest.mark.parametrize("shape", [MNIST, CIFAR], ids=["28", "32"])
def test_resnet_has_no_imagenet_stem(shape):
    """Mistake 11: a 7x7 stride-2 convolution and max pooling leave 1x1 of a 32x32 image."""
    model = build_model(RunConfig(model="resnet", depth=8, width=4), shape, 10).eval()
    stem = next(iter(weight_layers(model).values()))
    assert (stem.kernel_size, stem.stride, stem.padding) == ((3, 3), (1, 1), (1, 1))
    assert not any(isinstance(module, nn.MaxPool2d) for module in model.modules())
    feature_map = model.blocks(model.stem(model.normalize(random_images(1, shape))))
    assert feature_map.shape == (1, 16, shape[1] // 4, shape[2] // 4)  # 8x8 of 32x32
    assert isinstance(model.head[0], GlobalAveragePool)


def test_the_2222_form_has_18_weight_layers_and_its_shapes():
    model = build_model(CONFIGS["resnet18"], CIFAR, 10).eval()
    assert len(weight_layers(model)) == 18
    x, shapes = model.stem(model.normalize(random_images(1, CIFAR))), []
    for block in model.blocks:
        x = block(x)
        shapes.append(tuple(x.shape[1:]))
    expected = [(4, 32, 32), (8, 16, 16), (16, 8, 8), (32, 4, 4)]
    assert shapes == [shape for shape in expected for _ in range(2)]
    assert model.head[-1].in_features == 32


def test_he_form_has_the_parameters_of_the_paper():
    """He et al. 2015, table 6: 0.27 million for ResNet-20 and 0.85 million for ResNet-56."""
    for depth, millions in ((20, 0.27), (56, 0.85)):
        model = build_model(RunConfig(model="resnet", depth=depth, residual=True), CIFAR, 10)
        assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(
            millions, abs=0.006
        )


@every_config
def test_no_relu_after_the_logits(config):
    """Mistake 4."""
    model = build_model(config, MNIST, 10).eval()
    leaves = [module for module in model.modules() if not list(module.children())]
    last_weight = [i for i, leaf in enumerate(leaves) if isinstance(leaf, (nn.Linear, nn.Conv2d))][
        -1
    ]
    assert not any(isinstance(leaf, nn.ReLU) for leaf in leaves[last_weight:])
    with torch.no_grad():
        model.head[-1 if isinstance(model.head[-1], nn.Linear) else 0].bias -= 5
    assert (model(random_images(2, MNIST)) < 0).all()


@pytest.mark.parametrize("name", ["convnet-fcn", "resnet20", "resnet18", "strong", "strong-plain"])
def test_global_average_pooling_averages(name):
    """Mistake 3: "global average pooling" that is max-pooling."""
    model = build_model(CONFIGS[name], CIFAR, 10).eval()
    images = random_images(4, CIFAR)
    feature_map = model.blocks(model.stem(model.normalize(images)))
    assert feature_map.shape[-1] > 1
    assert not any(isinstance(module, nn.AdaptiveMaxPool2d) for module in model.modules())
    if name == "convnet-fcn":
        expected = model.head[0](feature_map).mean((2, 3))
    else:
        expected = model.head[-1](feature_map.mean((2, 3)))
    torch.testing.assert_close(model(images), expected)


def test_a_1x1_convolution_before_averaging_is_a_linear_layer_after_it():
    model = build_model(CONFIGS["convnet-fcn"], CIFAR, 10).eval()
    convolution = model.head[0]
    assert convolution.kernel_size == (1, 1)
    linear = nn.Linear(convolution.in_channels, 10)
    with torch.no_grad():
        linear.weight.copy_(convolution.weight[:, :, 0, 0])
        linear.bias.copy_(convolution.bias)
    images = random_images(4, CIFAR)
    feature_map = model.blocks(model.stem(model.normalize(images)))
    torch.testing.assert_close(model(images), linear(feature_map.mean((2, 3))))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_of_average_pooling_keeps_the_channels_last_layout(dtype):
    x = torch.rand(2, 8, 4, 4, dtype=dtype).contiguous(memory_format=torch.channels_last)
    layouts = []
    for pool in (GlobalAveragePool(), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())):
        hidden = nn.functional.gelu(x.clone().requires_grad_())  # hands its gradient's layout on
        seen = []
        hidden.grad_fn.register_hook(lambda inputs, _, seen=seen: seen.extend(inputs))
        pool(hidden).square().sum().backward()
        layouts.append(seen[0].is_contiguous(memory_format=torch.channels_last))
    assert layouts == [True, False]  # if PyTorch's own has become as good, take it


# The strong network


def test_the_strong_network_is_what_the_design_defines():
    """Residual, an 8x8 map averaged before one linear layer, at most 3 million parameters."""
    config = RunConfig(model="strong", residual=True, data="cifar10")
    model = build_model(config, CIFAR, 10).eval()
    feature_map = model.blocks(model.stem(model.normalize(random_images(2, CIFAR))))
    assert feature_map.shape == (2, 256, 8, 8)
    pool, linear = model.head
    assert isinstance(pool, GlobalAveragePool) and isinstance(linear, nn.Linear)
    assert sum(parameter.numel() for parameter in model.parameters()) <= 3_000_000
    assert all(block.residual for block in blocks_of(model)) and len(blocks_of(model)) == 3
    assert multiply_adds(model, CIFAR) == pytest.approx(0.22e9, rel=0.01)


def test_whitened_patches_are_uncorrelated_and_of_deviation_one():
    images = random_images(200, (3, 9, 9)).float() / 255
    images[:, 1] = 0.7 * images[:, 0] + 0.3 * images[:, 1]  # channels that know of one another
    images = nn.functional.avg_pool2d(images, 2, 1)  # and pixels
    images = (images - images.mean((0, 2, 3), keepdim=True)) / images.std()
    whitening = Whitening(3)
    whitening.EPS = 0.0
    whitening.adapt(images)
    out = nn.functional.conv2d(images, whitening.weight)
    assert out.shape == (200, 24, 7, 7)
    assert torch.equal(out[:, :12], -out[:, 12:])
    rows = out[:, :12].permute(0, 2, 3, 1).flatten(0, 2)
    torch.testing.assert_close(rows.T @ rows / len(rows), torch.eye(12), atol=2e-3, rtol=0)


def test_both_signs_carry_whitened_patches_through_gelu():
    images = torch.randn(20, 3, 5, 5)
    whitening = Whitening(3)
    whitening.adapt(images)
    out, whitened = whitening(images), nn.functional.conv2d(images, whitening.weight)
    torch.testing.assert_close(out, nn.functional.gelu(whitened))
    positive, negative = out.split(12, dim=1)  # gelu(x) - gelu(-x) = x
    torch.testing.assert_close(positive - negative, whitened[:, :12])


def test_whitening_is_fixed_and_stored_with_the_weights():
    model = build_model(CONFIGS["strong"], CIFAR, 10)
    assert not any("stem.0" in name for name, _ in model.named_parameters())
    before = model.stem[0].weight.clone()
    fit_to_images(model, random_images(50, CIFAR), "default")
    assert not torch.equal(model.stem[0].weight, before)
    other = build_model(CONFIGS["strong"], CIFAR, 10)
    other.load_state_dict(model.state_dict())
    images = random_images(3, CIFAR)
    assert torch.equal(other.eval()(images), model.eval()(images))


def test_whitening_until_it_has_seen_images_hands_on_the_pixels():
    x = torch.rand(1, 1, 2, 2)
    out = nn.functional.conv2d(x, Whitening(1).weight).flatten()
    assert torch.equal(out, torch.cat([x.flatten(), -x.flatten()]))


def test_whiten_leaves_networks_without_whitening_as_they_are():
    model = build_model(CONFIGS["resnet20"], CIFAR, 10)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fit_to_images(model, random_images(5, CIFAR), "default")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_partial_identity_hands_on_each_input_and_leaves_other_filters():
    default = build_model(RunConfig(model="strong", width=4), CIFAR, 10)
    model = build_model(CONFIGS["strong"], CIFAR, 10)
    for name, layer in weight_layers(model).items():
        drawn = weight_layers(default)[name].weight
        if not isinstance(layer, nn.Conv2d):
            assert torch.equal(layer.weight, drawn)
            continue
        x = torch.rand(1, layer.in_channels, 5, 5)
        passed = min(layer.in_channels, layer.out_channels)
        assert torch.equal(layer(x)[:, :passed], x[:, :passed])
        assert torch.equal(layer.weight[passed:], drawn[passed:])


def test_the_scale_of_the_strong_networks_norms_is_fixed():
    norms = [m for m in build_model(CONFIGS["strong"], CIFAR, 10).modules()
             if isinstance(m, nn.BatchNorm2d)]  # fmt: skip
    assert len(norms) == 8
    assert all((norm.weight == 1).all() and not norm.weight.requires_grad for norm in norms)
    assert all(norm.bias.requires_grad and norm.momentum == 0.4 for norm in norms)


# Normalisation of the input


def test_normalize_sees_bytes_and_floats_alike():
    mean, std = torch.tensor([0.2, 0.5, 0.7]), torch.tensor([0.1, 0.3, 0.25])
    images = random_images(5, (3, 4, 4))
    normalize = Normalize(mean, std)
    expected = (images.double() / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    torch.testing.assert_close(normalize(images), expected.float(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(normalize(images / 255), expected.float(), rtol=1e-5, atol=1e-5)
    before = images.clone()
    normalize(images)
    assert torch.equal(images, before)


@pytest.mark.parametrize("shape", [(5, 3, 7, 9), (4, 1, 6, 6), (2, 3, 6, 1), (1, 1, 1, 1)])
def test_normalize_gives_the_same_bits_in_either_memory_format(shape):
    images = random_images(shape[0], shape[1:])
    normalize = Normalize(torch.rand(shape[1]), torch.rand(shape[1]) + 0.1)
    last = images.contiguous(memory_format=torch.channels_last)
    found = normalize(last)
    assert torch.equal(found, normalize(images)) and found.stride() == last.stride()


def test_statistics_are_those_that_were_given_and_travel_with_the_weights():
    """Mistake 1: MNIST's mean and deviation on CIFAR."""
    mean, std = torch.tensor([0.1, 0.4, 0.6]), torch.tensor([0.2, 0.3, 0.5])
    model = build_model(RunConfig(width=4), (3, 8, 8), 10, (mean, std))
    assert torch.equal(model.normalize.mean.flatten(), mean)
    assert torch.equal(model.normalize.std.flatten(), std)
    other = build_model(RunConfig(width=4, seed=1), (3, 8, 8), 10)
    assert torch.equal(other.normalize.mean, torch.zeros(1, 3, 1, 1))
    other.load_state_dict(model.state_dict())
    images = random_images(3, (3, 8, 8))
    assert torch.equal(other(images), model(images))
    mean += 1  # the network has a copy of its own
    assert model.normalize.mean[0, 0] == pytest.approx(0.1)


def test_statistics_of_a_set_centre_and_scale_it():
    from labutils.data.sets import pixel_statistics

    images = random_images(50, (3, 8, 8)) // torch.tensor([1, 2, 4], dtype=torch.uint8).view(
        3, 1, 1
    )
    out = Normalize(*pixel_statistics(images))(images)
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.std((0, 2, 3)), torch.ones(3), atol=1e-3, rtol=0)


# Norm, initial weights, dropout


@pytest.mark.parametrize("model", [m for m in FAMILIES if "norm" in FAMILIES[m].options])
def test_norm_follows_each_hidden_weight_layer_and_replaces_its_bias(model):
    def kinds(norm):
        net = build_model(RunConfig(model=model, norm=norm, width=4), CIFAR, 10)
        return net, Counter(type(module).__name__[:9] for module in net.modules())

    plain, none = kinds("none")
    normed, batch = kinds("batch")
    assert none["BatchNorm"] == 0
    hidden = [layer for layer in weight_layers(normed).values()][:-1]
    # small-cnn and cnn have a hidden linear layer in their head, without a norm
    extra = 1 if model in ("small-cnn", "cnn") else 0
    assert batch["BatchNorm"] == len(hidden) - extra
    assert sum(layer.bias is None for layer in hidden) == len(hidden) - extra
    assert all(layer.bias is not None for layer in weight_layers(plain).values())


@pytest.mark.parametrize("residual", [False, True])
def test_he_keeps_the_second_moment_through_depth_and_the_default_does_not(residual):
    config = {"depth": 12, "width": 256, "residual": residual}
    images = random_images(32, (1, 16, 16)) / 255

    def growth(init):
        model = build_model(RunConfig(**config, init=init), (1, 16, 16), 10)
        x = model.stem(model.normalize(images))
        return (model.blocks(x).square().mean() / x.square().mean()).item()

    if residual:
        assert growth("default") > 1
    else:
        assert 0.3 < growth("he") < 3
        assert growth("default") < 0.05


@pytest.mark.parametrize("model", ["mlp", "convnet"])
def test_variance_of_the_initial_weights(model):
    size = {"depth": 4, "width": 64}
    he = build_model(RunConfig(model=model, init="he", **size), CIFAR, 10)
    default = build_model(RunConfig(model=model, **size), CIFAR, 10)
    layers = list(zip(weight_layers(he).values(), weight_layers(default).values(), strict=True))
    for position, (layer, other) in enumerate(layers):
        fan_in = layer.weight[0].numel()
        gain = 1 if position == len(layers) - 1 else 2
        tolerance = 6 / math.sqrt(layer.weight.numel())  # six standard errors
        assert layer.weight.var().item() == pytest.approx(gain / fan_in, rel=tolerance)
        assert other.weight.var().item() == pytest.approx(1 / (3 * fan_in), rel=tolerance)
        assert not layer.bias.any() and other.bias.any()


def test_default_initialisation_is_pytorchs_own():
    layer = nn.Linear(3, 4)
    before = layer.weight.clone()
    initialize(layer, "default")
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("model", ["mlp", "small-cnn", "cnn"])
def test_dropout_drops_hidden_units_in_train_mode_alone(model):
    net = build_model(RunConfig(model=model, width=8, dropout=0.5, norm="none"), MNIST, 10)
    images = random_images(2, MNIST)
    assert not torch.equal(net.train()(images), net(images))
    assert torch.equal(net.eval()(images), net(images))
