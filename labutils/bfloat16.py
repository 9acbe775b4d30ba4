"""bf16 arithmetic on every processor: without instructions for it, rounded and done in fp32."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from labutils import winograd

PRODUCTS = frozenset(
    {
        F.conv2d,
        F.conv_transpose2d,
        F.linear,
        torch.matmul,
        torch.mm,
        torch.bmm,
        torch.addmm,
        torch.baddbmm,
        Tensor.matmul,
        Tensor.__matmul__,
        Tensor.mm,
        Tensor.bmm,
        Tensor.addmm,
    }
)


def has_bf16_products(device: torch.device) -> bool:
    """Whether PyTorch multiplies bf16 tensors fast there: an x86 CPU needs AVX-512 for it.

    On others it falls back to loops that are many times as slow as fp32 (benchmarks/rounding.py).
    """
    return device.type != "cpu" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")


@contextlib.contextmanager
def bf16_autocast(device: torch.device) -> Iterator[None]:
    """Autocast to bf16, whose products are those of `RoundedProducts` where none are built in."""
    with torch.autocast(device.type, dtype=torch.bfloat16), bf16_products(device):
        yield


def bf16_products(device: torch.device) -> contextlib.AbstractContextManager:
    """Context in which products of bf16 tensors are computed fast."""
    return contextlib.nullcontext() if has_bf16_products(device) else RoundedProducts()


class RoundedProducts(TorchFunctionMode):
    """Computes products in bf16 with the arithmetic of fp32, and so at its speed.

    Factors are rounded to bf16, their products summed in fp32, and the sum is rounded to bf16: as
    AVX-512-BF16 does it, up to the order of a sum, gradients included. (Where Winograd's algorithm
    is quicker, convolutions are `winograd.conv2d`, whose error is a hundredth of that of rounding.)
    Inside autocast to bf16 every product of floats is taken; outside, those whose factors are all
    bf16. Factors are kept for the backward pass in fp32, twice the memory.

    It sees `PRODUCTS` that are called by these names: what a composite function (einsum, attention)
    or a recomputation in the backward pass multiplies is left to PyTorch.
    """

    def __torch_function__(
        self,
        func: Callable,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func not in PRODUCTS or not _in_bf16([*args, *kwargs.values()]) or "out" in kwargs:
            return func(*args, **kwargs)
        args = [_rounded(value) for value in args]
        kwargs = {name: _rounded(value) for name, value in kwargs.items()}
        func = winograd.conv2d if func is F.conv2d else func
        with torch.autocast("cpu", enabled=False):
            return func(*args, **kwargs).bfloat16()


def _in_bf16(values: Iterable[Any]) -> bool:
    """Whether a product of these would be computed in bf16."""
    casts = torch.is_autocast_enabled("cpu")
    casts = casts and torch.get_autocast_dtype("cpu") == torch.bfloat16
    taken = {torch.bfloat16, torch.float32} if casts else {torch.bfloat16}
    return all(value.dtype in taken for value in values if isinstance(value, Tensor))


def _rounded(value: Any) -> Any:
    return value.bfloat16().float() if isinstance(value, Tensor) else value
