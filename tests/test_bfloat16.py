"""labutils.bfloat16: bf16 by rounding and fp32 is what autocast computes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from labutils import bfloat16
from labutils.bfloat16 import RoundedProducts, bf16_autocast
from labutils.evaluation import execution_for

CPU = torch.device("cpu")
ULP = 2.0**-7  # between neighbouring bf16 numbers, relative to the smaller, at most


LAYERS = {
    "convolution": (nn.Conv2d(3, 8, 3, padding=1), (6, 3, 8, 8)),
    "strided, without bias": (nn.Conv2d(3, 8, 3, stride=2, bias=False), (6, 3, 9, 9)),
    "transposed": (nn.ConvTranspose2d(3, 8, 4, stride=2, padding=1), (6, 3, 8, 8)),
    "linear": (nn.Linear(50, 7), (6, 50)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_products_are_those_of_rounded_factors(kind: str) -> None:
    """The reference is float64: PyTorch's own loops, without AVX-512, round some partial sums."""
    layer, shape = LAYERS[kind]
    layer.zero_grad()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(shape, generator=generator, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16), RoundedProducts():
        output = layer(x)
    assert output.dtype == torch.bfloat16
    upstream = torch.randn(output.shape, generator=generator).bfloat16()
    output.backward(upstream)

    exact = copy.deepcopy(layer).double()
    exact.zero_grad()
    with torch.no_grad():
        for parameter in exact.parameters():
            parameter.copy_(parameter.bfloat16())
    exact_x = x.detach().bfloat16().double().requires_grad_()
    exact_output = exact(exact_x)
    exact_output.backward(upstream.double())

    expected = [exact_output, exact_x.grad, *(p.grad for p in exact.parameters())]
    got = [output, x.grad, *(p.grad for p in layer.parameters())]
    for ours, theirs in zip(got, expected, strict=True):
        near = (ours.double() - theirs).abs() <= 0.51 * ULP * theirs.abs() + 1e-5
        assert near.all()
        assert torch.equal(ours.float(), ours.bfloat16().float())
    assert not torch.equal(layer(x), output.float())  # fp32 is another number


def test_factors_are_rounded_before_they_are_multiplied() -> None:
    fine = torch.tensor([[1 + 2.0**-12]])  # rounds to 1 in bf16
    with torch.autocast("cpu", dtype=torch.bfloat16), RoundedProducts():
        assert (4096 * fine @ torch.ones(1, 1)).item() == 4096
        assert nn.functional.linear(fine - 1, torch.ones(1, 1)).item() == 2.0**-12


@pytest.mark.parametrize("form", ["matmul", "method", "operator", "addmm"])
def test_products_of_bf16_tensors_outside_autocast(form: str) -> None:
    a, b = (torch.randn(5, 5, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    a, b = a.bfloat16(), b.bfloat16()
    compute = {
        "matmul": lambda: torch.matmul(a, b),
        "method": lambda: a.matmul(b),
        "operator": lambda: a @ b,
        "addmm": lambda: torch.addmm(a, a, b, beta=2, alpha=-1),
    }[form]
    expected = compute()
    with RoundedProducts():
        got = compute()
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got, expected, rtol=2 * ULP, atol=2 * ULP)


def test_fp32_is_left_alone() -> None:
    layer, shape = LAYERS["convolution"]
    images = torch.randn(shape)
    expected = layer(images)
    with RoundedProducts():
        assert torch.equal(layer(images), expected)


@pytest.mark.parametrize(("capability", "native"), [("AVX512", True), ("AVX2", False)])
def test_the_processor_decides(
    monkeypatch: pytest.MonkeyPatch, capability: str, native: bool
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    entered = []
    monkeypatch.setattr(RoundedProducts, "__enter__", lambda self: entered.append(self))
    monkeypatch.setattr(RoundedProducts, "__exit__", lambda self, *error: None)
    with bf16_autocast(CPU):
        assert torch.is_autocast_enabled("cpu")
    assert bool(entered) != native
    assert bfloat16.has_bf16_products(torch.device("cuda"))


def test_execution_in_bf16_autocasts_and_ends() -> None:
    layer, shape = LAYERS["convolution"]
    for precision, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        with execution_for(layer, precision, CPU).autocast():
            assert layer(torch.randn(shape)).dtype == dtype
        assert layer(torch.randn(shape)).dtype == torch.float32
