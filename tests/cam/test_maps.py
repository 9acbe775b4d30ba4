import copy
import warnings

import pytest
import timm
import torch
from ordinary_networks import CLASSES, NETWORKS, Auxiliary, InPlace, cnn
from small_networks import CIFAR, CONFIGS
from torch import nn
from torchvision.models import get_model

from labutils.cam import maps as maps_module
from labutils.cam.layers import map_layers
from labutils.cam.maps import METHODS, class_activation_maps
from labutils.models.blocks import GlobalAveragePool
from labutils.models.networks import build_model

GRADIENT_METHODS = [name for name in METHODS if name != "cam"]
POOLED = ["resnet20", "resnet18", "strong", "resnet-plain"]  # global average pooling, linear layer


def own(name, shape=CIFAR):
    return build_model(CONFIGS[name], shape, CLASSES)


def images(count=3, side=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, side, side, generator=generator)


def state_of(network):
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {
        "values": {name: tensor.detach().clone() for name, tensor in tensors.items()},
        "asks": {name: tensor.requires_grad for name, tensor in tensors.items()},
        "grads": {name: tensor.grad for name, tensor in tensors.items()},
        "modes": {name: module.training for name, module in network.named_modules()},
        "hooks": [len(module._forward_hooks) for module in network.modules()],
        "same": {name: id(tensor) for name, tensor in tensors.items()},
    }


def assert_untouched(network, before):
    after = state_of(network)
    torch.testing.assert_close(after.pop("values"), before["values"], rtol=0, atol=0)
    assert after == {key: value for key, value in before.items() if key != "values"}


# What the maps are


@pytest.mark.parametrize("name", POOLED)
def test_cam_is_grad_cam_hirescam_and_xgrad_cam_but_for_the_number_of_cells(name):
    network = own(name)
    batch = images()
    cam = class_activation_maps(network, batch, method="cam", rectify=False)
    cells = cam.values[0].numel()
    for method in ("grad-cam", "hirescam", "xgrad-cam"):
        other = class_activation_maps(network, batch, method=method, rectify=False)
        torch.testing.assert_close(cells * other.values, cam.values, rtol=1e-3, atol=1e-4)


def test_the_methods_differ_at_an_earlier_layer_and_with_a_flattening_head():
    for network, layer in ((own("resnet20"), "blocks.3"), (own("convnet10"), None)):
        found = [
            class_activation_maps(network, images(), method=method, target_layer=layer).values
            for method in GRADIENT_METHODS
        ]
        for one in range(len(found)):
            for other in range(one):
                first, second = (values / values.amax() for values in (found[one], found[other]))
                assert (first - second).abs().max() > 1e-2


def test_cam_is_the_product_of_head_and_feature_map():
    network = own("strong").eval()
    features = network.blocks(network.stem(network.normalize(images())))
    head = network.head[1].weight
    expected = torch.einsum("bkij,k->bij", features, head[4]).relu()
    found = class_activation_maps(network, images(), method="cam", class_idx=4)
    torch.testing.assert_close(found.values, expected.detach())
    assert found.layer == "blocks" and found.class_idx.tolist() == [4, 4, 4]


def test_a_map_of_class_scores_is_the_cam_of_the_network_with_one_head():
    network = own("convnet-fcn")
    linear = nn.Sequential(*list(network)[:3], GlobalAveragePool(), nn.Linear(4, CLASSES))
    convolution = network.head[0]
    with torch.no_grad():
        convolution.bias.zero_()
        linear[-1].weight.copy_(convolution.weight.flatten(1))
        linear[-1].bias.zero_()
    one = class_activation_maps(network, images(), method="cam", class_idx=3)
    other = class_activation_maps(linear, images(), method="cam", class_idx=3)
    assert (one.layer, other.layer) == ("head.0", "2")
    torch.testing.assert_close(one.values, other.values)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_gives_what_its_images_give_alone(method):
    network = own("resnet20")
    whole = class_activation_maps(network, images(), method=method, class_idx=[5, 0, 2])
    for number, class_idx in enumerate((5, 0, 2)):
        alone = class_activation_maps(
            network, images()[number : number + 1], method=method, class_idx=class_idx
        )
        torch.testing.assert_close(alone.values[0], whole.values[number])


def test_the_predicted_class_is_the_default_and_classes_can_be_a_list_or_a_tensor():
    network = own("resnet20").eval()
    predicted = network(images()).argmax(1)
    found = class_activation_maps(network, images())
    assert torch.equal(found.class_idx, predicted)
    for classes in (predicted.tolist(), predicted, predicted.numpy()):
        again = class_activation_maps(network, images(), class_idx=classes)
        assert torch.equal(again.values, found.values)


@pytest.mark.parametrize("method", ["cam", "grad-cam", "hirescam"])
def test_the_difference_of_two_logits_is_the_difference_of_their_maps(method):
    network = own("strong")
    for class_idx, versus in ((3, 1), ([3, 4, 5], [1, 1, 0])):
        one, other, both = (
            class_activation_maps(network, images(), method=method, rectify=False, **chosen).values
            for chosen in (
                {"class_idx": class_idx},
                {"class_idx": versus},
                {"class_idx": class_idx, "versus": versus},
            )
        )
        torch.testing.assert_close(both, one - other, rtol=1e-4, atol=1e-5)
    found = class_activation_maps(network, images(), method=method, class_idx=3, versus=1)
    assert found.versus.tolist() == [1, 1, 1] and (found.values >= 0).all()


def test_a_channel_that_is_zero_everywhere_leaves_no_nan():
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), GlobalAveragePool(), nn.Linear(2, 3))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, 1, 1], [-1, -1, -1]])[:, :, None, None])
        network[0].bias.zero_()
    for method in METHODS:
        found = class_activation_maps(network, images(side=4), method=method, rectify=False)
        assert torch.isfinite(found.values).all() and found.values.abs().max() > 0


# The layer


def test_the_last_map_is_found_containers_included():
    assert class_activation_maps(own("resnet20"), images()).layer == "blocks"
    assert class_activation_maps(get_model("resnet18"), images(1, 64)).layer == "layer4"
    # at 32 pixels the last stage has one cell
    assert class_activation_maps(get_model("resnet18"), images(1, 32)).layer == "layer3"
    assert class_activation_maps(InPlace(), images()).layer == "conv"


def test_layers_are_listed_in_the_order_in_which_they_finish():
    layers = map_layers(own("strong"), images())
    assert list(layers)[:3] == ["normalize", "stem.0", "stem.1"] and list(layers)[-1] == "blocks"
    assert layers["blocks"] == (16, 8, 8) and "head.1" not in layers


@pytest.mark.parametrize("layer", ["blocks.0.second", "blocks.3", "stem.2"])
@pytest.mark.parametrize("method", GRADIENT_METHODS)
def test_any_layer_can_be_named(method, layer):
    network = own("resnet20")
    shape = map_layers(network, images())[layer]
    found = class_activation_maps(network, images(), method=method, target_layer=layer)
    assert found.values.shape == (3, *shape[1:]) and found.layer == layer


# Networks as they come


TORCHVISION = "resnet18 densenet121 mobilenet_v3_small squeezenet1_1 shufflenet_v2_x0_5".split()
TIMM = "resnet10t convnext_atto mobilenetv3_small_050 regnetx_002 dla46_c".split()
WITHOUT_CAM = ("mobilenet_v3_small", "convnext_atto", "mobilenetv3_small_050")


@pytest.mark.parametrize("name", [*TORCHVISION, *TIMM])
def test_networks_of_torchvision_and_timm(name):
    torch.manual_seed(0)
    make = get_model if name in TORCHVISION else timm.create_model
    network, batch = make(name), images(2, 96)
    for method in METHODS:
        if method == "cam" and name in WITHOUT_CAM:
            with pytest.raises(ValueError, match="global average pooling"):
                class_activation_maps(network, batch, method=method)
            continue
        found = class_activation_maps(network, batch, method=method, rectify=False)
        assert len(found.values) == 2 and found.values[0].numel() > 1
        assert torch.isfinite(found.values).all() and found.values.abs().amax() > 0


@pytest.mark.parametrize("name", [n for n in NETWORKS if n not in ("scripted", "shared")])
def test_ordinary_networks_work_or_say_what_is_missing(name):
    torch.manual_seed(0)
    network = NETWORKS[name]()
    before = state_of(network)
    try:
        found = class_activation_maps(network, images(2))
    except ValueError as error:
        assert "gives a map" in str(error)
        flat = ("linear", "head-first", "auxiliary", "conv1d", "conv3d", "no-weight-layers", "lstm")
        assert name in flat
    else:
        assert torch.isfinite(found.values).all() and found.values.shape[0] == 2
    assert_untouched(network, before)


@pytest.mark.parametrize("method", METHODS)
def test_a_frozen_network_gives_the_same_map(method):
    network = own("resnet20")
    expected = class_activation_maps(network, images(), method=method).values
    frozen = copy.deepcopy(network).requires_grad_(False)
    assert torch.equal(class_activation_maps(frozen, images(), method=method).values, expected)


@pytest.mark.parametrize("method", METHODS)
def test_activations_in_place_change_nothing(method):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), GlobalAveragePool(), nn.Linear(4, 5)]
    network = nn.Sequential(*layers)
    in_place = nn.Sequential(layers[0], nn.ReLU(inplace=True), *layers[2:])
    for layer in ("0", "1"):
        one, other = (
            class_activation_maps(each, images(), method=method, target_layer=layer).values
            for each in (network, in_place)
        )
        assert torch.equal(one, other)


def test_bytes_halves_and_doubles():
    network, pixels = own("resnet20"), (255 * images()).byte()
    expected = class_activation_maps(network, pixels.float() / 255).values
    torch.testing.assert_close(class_activation_maps(network, pixels).values, expected)
    double = class_activation_maps(copy.deepcopy(network).double(), images())
    assert double.values.dtype == torch.float64
    plain = cnn(nn.ReLU())
    torch.testing.assert_close(
        class_activation_maps(plain, pixels).values,
        class_activation_maps(plain, pixels.float() / 255).values,
    )
    for method in METHODS:
        whole = class_activation_maps(network, images(), method=method).values
        with torch.autocast("cpu", torch.bfloat16):
            rough = class_activation_maps(network, images(), method=method).values
        assert rough.dtype == torch.float32
        assert (whole - rough).abs().max() < 0.1 * whole.max()


def test_tensors_of_inference_mode_work_and_a_network_of_it_says_what_to_do():
    network = own("resnet20")
    expected = class_activation_maps(network, images()).values
    with torch.inference_mode():
        inference = images()
        inside = class_activation_maps(network, inference).values
        made_there = own("resnet20")
    assert torch.equal(inside, expected)
    assert torch.equal(class_activation_maps(network, inference).values, expected)
    with torch.no_grad():
        assert torch.equal(class_activation_maps(network, images()).values, expected)
    with pytest.raises(ValueError, match="inference_mode.*deepcopy"):
        class_activation_maps(made_there, images())
    again = class_activation_maps(copy.deepcopy(made_there), images())
    assert torch.equal(again.values, expected)


def test_images_go_to_the_device_of_the_network():
    network = own("resnet20").to("meta")
    found = class_activation_maps(network, images())
    assert found.values.device.type == "meta" and found.values.shape == (3, 8, 8)


def test_a_network_that_works_on_its_input_in_place_leaves_the_images():
    batch = images()
    class_activation_maps(InPlace(), batch)
    assert torch.equal(batch, images())


# What is left behind


class Counting(nn.Module):
    """Changes its buffers in every pass, in place and by new ones."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        self.seen = self.seen + len(x)
        return self.head(self.conv(x).mean((2, 3)))


@pytest.mark.parametrize("make", [lambda: own("resnet20"), Counting], ids=["own", "counting"])
@pytest.mark.parametrize("method", METHODS)
def test_the_network_is_left_as_it_was(make, method):
    network = make().train()
    list(network.children())[0].eval()
    next(network.parameters()).requires_grad_(False)
    parameter = list(network.parameters())[-1]
    parameter.grad = torch.ones_like(parameter)
    before = state_of(network)
    class_activation_maps(network, images(), method=method)
    assert_untouched(network, before)
    assert torch.is_grad_enabled()


def test_also_after_an_error():
    network = own("resnet20").train()
    before = state_of(network)
    network.head[1].register_forward_hook(lambda *_: 1 / 0)
    hooked = state_of(network)["hooks"]
    for method in METHODS:
        with pytest.raises(ZeroDivisionError):
            class_activation_maps(network, images(), method=method, target_layer="blocks")
    assert torch.is_grad_enabled()
    assert_untouched(network, before | {"hooks": hooked})


def test_one_pass_and_no_gradient_before_the_layer(monkeypatch):
    network, passes, asked = own("resnet20"), [], []
    network.head.register_forward_hook(lambda *_: passes.append(1))
    network.stem.register_forward_hook(lambda m, a, out: asked.append(out.requires_grad))
    class_activation_maps(network, images(), target_layer="blocks")
    assert passes == [1] and asked == [False]
    monkeypatch.setattr(maps_module, "_gradient", lambda *_: pytest.fail("CAM needs none"))
    class_activation_maps(network, images(), method="cam", target_layer="blocks")


# What is refused


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.act, self.last = nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 5, 3)

    def forward(self, x):
        x = self.act(self.last(self.act(self.conv(x))))
        return x.mean((2, 3))


class Detaching(Twice):
    def forward(self, x):
        return super().forward(x).detach()


class Pair(Twice):
    def forward(self, x):
        return super().forward(x), x


@pytest.mark.parametrize(
    "network, arguments, message",
    [
        (own("resnet20"), {"method": "score-cam"}, "'score-cam'.*grad-cam"),
        (own("resnet20"), {"target_layer": "layer4"}, "no layer 'layer4'.*stem.0, .*blocks"),
        (own("resnet20"), {"target_layer": ""}, "no layer ''.*blocks"),
        (own("resnet20"), {"target_layer": "head.1"}, "'head.1' gives no map.*blocks"),
        (get_model("resnet18"), {"target_layer": "layer4"}, "'layer4' gives no map.*layer3"),
        (Twice(), {"target_layer": "act"}, "'act' runs 2 times.*conv, last"),
        (Auxiliary(), {}, "no layer of the network gives a map"),
        (Detaching(), {}, "cannot be differentiated.*'last'"),
        (Pair(), {}, "output is a tuple.*the logits alone"),
        (nn.Conv2d(3, 2, 3), {}, "no layer of the network gives a map"),
        (nn.Sequential(nn.Conv2d(3, 2, 3)), {}, r"is \(3, 2, 30, 30\): .* images x classes"),
        (own("convnet10"), {"method": "cam"}, "global average pooling.*another method"),
        (own("resnet20"), {"method": "cam", "target_layer": "stem"}, "global average pooling"),
        (own("resnet20"), {"class_idx": 10}, "class_idx is 10: expected classes from 0 to 9"),
        (own("resnet20"), {"class_idx": -1}, "class_idx is -1: expected classes from 0 to 9"),
        (own("resnet20"), {"class_idx": 1, "versus": [0, 0, 12]}, "versus.*from 0 to 9"),
        (own("resnet20"), {"class_idx": [1, 2]}, "one for each of the 3 images"),
        (own("resnet20"), {"class_idx": torch.ones(3)}, "class_idx is tensor.*expected one class"),
    ],
)
def test_refused_with_what_is_expected(network, arguments, message):
    before = state_of(network)
    with pytest.raises(ValueError, match=message):
        class_activation_maps(network, images(), **arguments)
    assert_untouched(network, before)


def test_images_that_are_not_finite_or_no_batch_are_refused():
    network, batch = own("resnet20"), images()
    batch[1, 0, 3, 3] = float("nan")
    with pytest.raises(ValueError, match=r"not finite: images \[1\]"):
        class_activation_maps(network, batch)
    with pytest.raises(ValueError, match="expected a batch"):
        class_activation_maps(network, images()[0])
    with pytest.raises(ValueError, match="expected a batch"):
        class_activation_maps(network, images()[:0])


def test_scripted_and_compiled_networks():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(cnn(nn.ReLU()))
    with pytest.raises(ValueError, match="the one that was scripted"):
        class_activation_maps(scripted, images())
    network = own("resnet20")
    compiled = torch.compile(network, backend="eager")
    found = class_activation_maps(compiled, images(), target_layer="blocks")
    expected = class_activation_maps(network, images(), target_layer="blocks")
    assert torch.equal(found.values, expected.values)


def test_every_method_names_its_paper_and_equation():
    assert len({method.paper for method in METHODS.values()}) == len(METHODS) == 6
    assert all("=" in method.equation for method in METHODS.values())
