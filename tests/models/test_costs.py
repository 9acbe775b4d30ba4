from dataclasses import replace

import pytest
import torch
from small_networks import CIFAR, CONFIGS, MNIST, every_config
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from labutils.config.classifier import RunConfig
from labutils.models.blocks import Whitening, weight_layers
from labutils.models.costs import describe, inference_cost, multiply_adds, training_cost
from labutils.models.networks import build_model


@every_config
@pytest.mark.parametrize("shape", [MNIST, CIFAR], ids=["28", "32"])
def test_describe_agrees_with_pytorch(config, shape):
    model = build_model(config, shape, 10)
    rows = describe(model, shape)
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in model.parameters())
    fixed = [name for name, module in model.named_modules() if isinstance(module, Whitening)]
    assert [row.name for row in rows if row.multiply_adds] == fixed + list(weight_layers(model))
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model.eval()(torch.zeros(1, *shape))
    assert multiply_adds(model, shape) == counter.get_total_flops() / 2
    last = rows[-1]
    assert last.output_shape in ((10,), (10, *last.output_shape[1:]))
    assert {row.kind for row in rows} <= {
        "Linear", "Conv2d", "Whitening", "BatchNorm1d", "BatchNorm2d"
    }  # fmt: skip


def test_describe_by_hand():
    model = build_model(RunConfig(model="convnet", depth=2, width=4, stem_stride=2), CIFAR, 10)
    stem, head = describe(model, CIFAR)
    assert stem == ("stem.0", "Conv2d", (4, 16, 16), 3 * 4 * 9 + 4, 3 * 4 * 9 * 256)
    assert head == ("head.1", "Linear", (10,), 1024 * 10 + 10, 1024 * 10)


def test_a_strided_stem_quarters_the_arithmetic_behind_it():
    whole, strided = (
        describe(
            build_model(replace(CONFIGS["resnet-stride"], stem_stride=stride), CIFAR, 10), CIFAR
        )
        for stride in (1, 2)
    )
    assert len(whole) == len(strided)
    for row, cheaper in zip(whole, strided, strict=True):
        factor = 1 if row.name.startswith("head") else 4
        assert row.multiply_adds == factor * cheaper.multiply_adds, row.name


def test_describe_leaves_the_model_as_it_was():
    model = build_model(CONFIGS["cnn"], CIFAR, 10).train()
    model.blocks.eval()  # a frozen part
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    describe(model, CIFAR)
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks for module in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_describe_leaves_no_hook_after_an_error():
    model = build_model(RunConfig(width=4), MNIST, 10).train()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        describe(model, CIFAR)
    assert model.training and not any(module._forward_hooks for module in model.modules())


def test_a_transposed_convolution_costs_its_weights_at_each_pixel_it_reads():
    model = nn.Sequential(nn.ConvTranspose2d(3, 5, 4, stride=2, padding=1))
    (row,) = describe(model, (3, 8, 8))
    assert row.output_shape == (5, 16, 16) and row.multiply_adds == 3 * 5 * 4 * 4 * 8 * 8


class Recurrent(nn.Module):
    """Rows of pixels one after the other; the LSTM returns its outputs and its state."""

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(28, 16, batch_first=True), nn.Linear(16, 10)

    def forward(self, images):
        return self.head(self.lstm(images[:, 0])[0][:, -1])


def test_a_module_that_returns_several_tensors_is_described_by_the_first():
    lstm, head = describe(Recurrent(), MNIST)
    weights = 4 * 16 * (28 + 16)
    assert lstm == ("lstm", "LSTM", (28, 16), weights + 2 * 4 * 16, 28 * weights)
    assert head == ("head", "Linear", (10,), 170, 160)


class ByName(nn.Module):
    """Returns a dictionary, and is called with its input by name."""

    def __init__(self):
        super().__init__()
        self.scale, self.up = nn.Parameter(torch.ones(1)), nn.ConvTranspose2d(1, 2, 2, stride=2)

    def forward(self, images):
        return {"task": "maps", "loss": None, "maps": [self.scale * self.up(input=images)]}


def test_tensors_in_dictionaries_and_inputs_by_name_are_found():
    up, whole = describe(ByName(), MNIST)
    assert up == ("up", "ConvTranspose2d", (2, 56, 56), 10, 8 * 28 * 28)
    assert whole == ("", "ByName", (2, 56, 56), 1, 0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_image_has_the_type_of_the_weights(dtype):
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).to(dtype)
    assert describe(model, MNIST) == [("1", "Linear", (10,), 7850, 7840)]


def test_a_model_without_parameters_has_no_layers():
    assert describe(nn.Flatten(), MNIST) == [] and multiply_adds(nn.Flatten(), MNIST) == 0


def test_what_is_used_again_has_its_parameters_counted_once_and_costs_each_time():
    first, again, tied = nn.Linear(784, 8), nn.Linear(8, 8), nn.Linear(8, 8)
    tied.weight = again.weight
    model = nn.Sequential(nn.Flatten(), first, again, nn.ReLU(), again, again, tied)
    rows = describe(model, MNIST)
    assert [(row.name, row.parameters, row.multiply_adds) for row in rows] == [
        ("1", 784 * 8 + 8, 784 * 8),
        ("2", 8 * 8 + 8, 3 * 8 * 8),
        ("6", 8, 8 * 8),
    ]
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in model.parameters())


def test_a_training_costs_three_forward_passes_of_each_image_and_epoch():
    config = RunConfig(data="cifar10", model="strong", width=4, epochs=10)
    images = 45_000
    assert training_cost(config) == 3 * inference_cost(config) * images * 10
