"""labutils.winograd: the convolution that PyTorch computes, from fewer products."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from labutils import winograd
from labutils.bfloat16 import RoundedProducts

FEW, MANY = winograd.FEWEST_CHANNELS - 1, winograd.FEWEST_CHANNELS


def make(*shape: int, seed: int = 0, **kind: object) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(**kind)


def with_gradients(conv, x: Tensor, weight: Tensor, **settings: object) -> list[Tensor]:
    """What a convolution gives, and the gradients of its sum weighted by random numbers."""
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    output = conv(x, weight, **settings)
    output.backward(make(*output.shape, seed=2).to(output))
    return [output.detach(), x.grad, weight.grad]


def count_calls(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """A list that grows by one for each convolution that Winograd's algorithm computes."""
    calls, original = [], winograd._Conv3x3.apply

    def counted(*tensors: Tensor) -> Tensor:
        calls.append(None)
        return original(*tensors)

    monkeypatch.setattr(winograd._Conv3x3, "apply", counted)
    return calls


@pytest.mark.parametrize("batch", [1, winograd.CHUNK, 2 * winograd.CHUNK + 3])
@pytest.mark.parametrize("sides", [(4, 4), (8, 12)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_output_and_gradients_are_those_of_the_convolution(
    batch: int, sides: tuple[int, int], layout: torch.memory_format, monkeypatch
) -> None:
    calls = count_calls(monkeypatch)
    x, weight = make(batch, MANY, *sides), make(MANY + 2, MANY, 3, 3, seed=1)
    exact = with_gradients(F.conv2d, x, weight, padding=1)
    x, weight = (tensor.float().contiguous(memory_format=layout) for tensor in (x, weight))
    ours = with_gradients(winograd.conv2d, x, weight, padding=1)
    assert len(calls) == 1
    for got, expected in zip(ours, exact, strict=True):
        assert got.dtype == torch.float32 and got.shape == expected.shape
        assert (got - expected).abs().max() < 1e-4 * expected.std()


def test_a_bias_is_added() -> None:
    x, weight, bias = make(2, MANY, 4, 4).float(), make(MANY, MANY, 3, 3).float(), make(MANY)
    ours = winograd.conv2d(x, weight, bias.float(), padding=1)
    torch.testing.assert_close(
        ours, F.conv2d(x, weight, bias.float(), padding=1), rtol=1e-4, atol=1e-2
    )


@pytest.mark.parametrize("asked", ["input", "weight"])
def test_one_gradient_alone(asked: str) -> None:
    tensors = {"input": make(3, MANY, 4, 4).float(), "weight": make(MANY, MANY, 3, 3).float()}
    _, *both = with_gradients(winograd.conv2d, *tensors.values(), padding=1)
    tensors[asked].requires_grad_()
    output = winograd.conv2d(**tensors, padding=1)
    output.backward(make(*output.shape, seed=2).to(output))
    expected = dict(zip(("input", "weight"), both, strict=True))
    assert torch.equal(tensors[asked].grad, expected[asked])
    assert all(tensor.grad is None for name, tensor in tensors.items() if name != asked)


def test_no_images() -> None:
    weight = make(MANY, MANY, 3, 3).float()
    output, to_input, to_weight = with_gradients(
        winograd.conv2d, torch.zeros(0, MANY, 8, 8), weight, padding=1
    )
    assert output.shape == to_input.shape == (0, MANY, 8, 8)
    assert torch.equal(to_weight, torch.zeros_like(weight))


ELSEWHERE = {
    "few inputs": ((2, FEW, 8, 8), (MANY, FEW, 3, 3), {"padding": 1}),
    "few outputs": ((2, MANY, 8, 8), (FEW, MANY, 3, 3), {"padding": 1}),
    "side of 7": ((2, MANY, 8, 7), (MANY, MANY, 3, 3), {"padding": 1}),
    "no padding": ((2, MANY, 8, 8), (MANY, MANY, 3, 3), {}),
    "padding in words": ((2, MANY, 8, 8), (MANY, MANY, 3, 3), {"padding": "same"}),
    "strided": ((2, MANY, 8, 8), (MANY, MANY, 3, 3), {"padding": 1, "stride": (2, 1)}),
    "dilated": ((2, MANY, 8, 8), (MANY, MANY, 3, 3), {"padding": 1, "dilation": 2}),
    "grouped": ((2, 2 * MANY, 8, 8), (2 * MANY, MANY, 3, 3), {"padding": 1, "groups": 2}),
    "1x1": ((2, MANY, 8, 8), (MANY, MANY, 1, 1), {"padding": 1}),
    "one image without a batch": ((MANY, 8, 8), (MANY, MANY, 3, 3), {"padding": 1}),
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_elsewhere_it_is_pytorch(case: str, monkeypatch) -> None:
    calls = count_calls(monkeypatch)
    x_shape, weight_shape, settings = ELSEWHERE[case]
    x, weight = make(*x_shape).float(), make(*weight_shape).float()
    expected = F.conv2d(x, weight, **settings)
    assert torch.equal(winograd.conv2d(x, weight, **settings), expected)
    assert not calls


def test_doubles_and_wrong_shapes_are_pytorchs(monkeypatch) -> None:
    calls = count_calls(monkeypatch)
    x, weight = make(2, MANY, 8, 8), make(MANY, MANY, 3, 3)
    expected = F.conv2d(x, weight, padding=1)
    assert torch.equal(winograd.conv2d(x, weight, padding=1), expected)
    with pytest.raises(RuntimeError, match="to have"):
        winograd.conv2d(x.float(), make(MANY, MANY + 1, 3, 3).float(), padding=1)
    assert not calls


def test_bf16_without_instructions_uses_it(monkeypatch) -> None:
    """Rounded afterwards, its answer is PyTorch's but for a rare neighbouring number."""
    calls = count_calls(monkeypatch)
    x, weight = make(3, MANY, 8, 8).float(), make(MANY, MANY, 3, 3).float() / 30
    with torch.autocast("cpu", dtype=torch.bfloat16), RoundedProducts():
        ours = with_gradients(F.conv2d, x, weight, padding=1)
    assert len(calls) == 1
    monkeypatch.setattr(winograd, "FEWEST_CHANNELS", MANY + 1)
    with torch.autocast("cpu", dtype=torch.bfloat16), RoundedProducts():
        pytorch = with_gradients(F.conv2d, x, weight, padding=1)
    assert len(calls) == 1 and ours[0].dtype == torch.bfloat16
    for got, expected in zip(ours, pytorch, strict=True):
        assert got.dtype == expected.dtype
        assert (got == expected).float().mean() > 0.97
        torch.testing.assert_close(got, expected, rtol=2**-7, atol=1e-3)


def test_the_gradient_may_be_taken_within_autocast() -> None:
    x, weight = make(2, MANY, 4, 4).float(), make(MANY, MANY, 3, 3).float()
    outside = with_gradients(winograd.conv2d, x, weight, padding=1)
    with torch.autocast("cpu", dtype=torch.bfloat16), RoundedProducts():
        x2, weight2 = x.clone().requires_grad_(), weight.clone().requires_grad_()
        with torch.autocast("cpu", enabled=False):
            output = winograd.conv2d(x2, weight2, padding=1)
        output.backward(make(*output.shape, seed=2).to(output))
    assert torch.equal(x2.grad, outside[1]) and torch.equal(weight2.grad, outside[2])
