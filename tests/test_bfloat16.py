"""labutils.bfloat16: bf16 by rounding and fp32 is what autocast computes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from labutils import bfloat16
from labutils.bfloat16 import RoundedProducts, bf16_autocast
from labutils.config import FitConfig
from labutils.evaluation import execution_for
from labutils.optimizers import make_optimizer

CPU = torch.device("cpu")
ULP = 2.0**-7  # between neighbouring bf16 numbers, relative to the smaller, at most


LAYERS = {
    "convolution": (lambda: nn.Conv2d(3, 8, 3, padding=1), (6, 3, 8, 8)),
    "strided, without bias": (lambda: nn.Conv2d(3, 8, 3, stride=2, bias=False), (6, 3, 9, 9)),
    "transposed": (lambda: nn.ConvTranspose2d(3, 8, 4, stride=2, padding=1), (6, 3, 8, 8)),
    "linear": (lambda: nn.Linear(50, 7), (6, 50)),
}


def make(kind: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A layer of a kind, of fixed weights, and the shape of what it takes."""
    build, shape = LAYERS[kind]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(), shape


@pytest.mark.parametrize("kind", LAYERS)
def test_products_are_those_of_rounded_factors(kind: str) -> None:
    """The reference is float64: PyTorch's own loops, without AVX-512, round some partial sums."""
    layer, shape = make(kind)
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


class Spy(TorchDispatchMode):
    """Notes the types that products are computed in."""

    PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "convolution")

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, torch.dtype]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in self.PRODUCTS:
            self.seen.append((name, args[0].dtype))
        return func(*args, **(kwargs or {}))


def factors(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(
        torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16()
        for seed in (0, 1)
    )


FORMS = {
    "torch.matmul": lambda a, b: torch.matmul(a, b),
    "matmul": lambda a, b: a.matmul(b),
    "operator": lambda a, b: a @ b,
    "torch.mm": lambda a, b: torch.mm(a, b),
    "mm": lambda a, b: a.mm(b),
    "torch.addmm": lambda a, b: torch.addmm(a, a, b, beta=2, alpha=-1),
    "addmm": lambda a, b: a.addmm(a, b),
    "linear": lambda a, b: nn.functional.linear(input=a, weight=b),
    "torch.bmm": lambda a, b: torch.bmm(a[None], b[None]),
    "bmm": lambda a, b: a[None].bmm(b[None]),
    "torch.baddbmm": lambda a, b: torch.baddbmm(a[None], a[None], b[None]),
}


@pytest.mark.parametrize("form", FORMS)
def test_products_of_bf16_tensors_are_computed_in_fp32(form: str) -> None:
    a, b = factors(5, 5)
    expected = FORMS[form](a, b)
    with RoundedProducts(), Spy() as spy:
        got = FORMS[form](a, b)
    assert spy.seen and {dtype for _, dtype in spy.seen} == {torch.float32}
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got, expected, rtol=ULP, atol=ULP)


def test_muon_orthogonalises_in_fp32_where_bf16_has_no_instructions(monkeypatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2))
    config = FitConfig(optimizer="muon", bias_learning_rate=0.1, head_learning_rate=0.1)
    optimizer = make_optimizer(model, config)
    model(torch.randn(5, 3, 8, 8)).sum().backward()
    with Spy() as spy:
        optimizer.step()
    assert spy.seen and {dtype for _, dtype in spy.seen} == {torch.float32}


def test_what_is_not_in_bf16_stays_as_it_is() -> None:
    x, weight = torch.randn(2, 5), torch.randn(3, 5)
    whole, double = torch.full((1, 1), 2001), torch.ones(1, 1, dtype=torch.float64) / 3
    with RoundedProducts():
        assert nn.functional.linear(input=x, weight=weight).dtype == torch.float32
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert (whole @ whole).item() == 2001**2
            assert (double @ double).dtype == torch.float64
        a, b = factors(4, 4)
        out = torch.zeros(4, 4, dtype=torch.bfloat16)
        torch.matmul(a, b, out=out)
    torch.testing.assert_close(out, a @ b, rtol=ULP, atol=ULP)


def test_fp32_is_left_alone() -> None:
    layer, shape = make("convolution")
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
    context = bf16_autocast(CPU)
    assert not torch.is_autocast_enabled("cpu") and not entered, "not before the block"
    with context:
        assert torch.is_autocast_enabled("cpu")
    assert bool(entered) != native
    assert bfloat16.has_bf16_products(torch.device("cuda"))


def test_execution_in_bf16_autocasts_and_ends() -> None:
    layer, shape = make("convolution")
    for precision, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        with execution_for(layer, precision, CPU).autocast():
            assert layer(torch.randn(shape)).dtype == dtype
        assert layer(torch.randn(shape)).dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with execution_for(layer, "fp32", CPU).autocast():
            assert layer(torch.randn(shape)).dtype == torch.float32
