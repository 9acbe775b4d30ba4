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


def test_a_training_costs_three_forward_passes_of_each_image_and_epoch():
    config = RunConfig(data="cifar10", model="strong", width=4, epochs=10)
    images = 45_000
    assert training_cost(config) == 3 * inference_cost(config) * images * 10
