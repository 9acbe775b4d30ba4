"""bf16 arithmetic on every processor: without instructions for it, rounded and done in fp32."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

PRODUCTS = frozenset(
    {
        F.conv2d,
        F.conv_transpose2d,
        F.linear,
        torch.matmul,
        Tensor.matmul,
        Tensor.__matmul__,
        torch.addmm,
    }
)


def has_bf16_products(device: torch.device) -> bool:
    """Whether convolutions and matrix products in bf16 are fast there.

    On a CPU that takes AVX-512: on others PyTorch falls back to loops that are ten to three
    hundred times as slow as fp32.
    """
    return device.type != "cpu" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def bf16_autocast(device: torch.device) -> contextlib.AbstractContextManager:
    """Autocast to bf16, whose products are those of `RoundedProducts` where none are built in."""
    stack = contextlib.ExitStack()
    stack.enter_context(torch.autocast(device.type, dtype=torch.bfloat16))
    stack.enter_context(bf16_products(device))
    return stack


def bf16_products(device: torch.device) -> contextlib.AbstractContextManager:
    """Context in which products of bf16 tensors are computed fast."""
    return contextlib.nullcontext() if has_bf16_products(device) else RoundedProducts()


class RoundedProducts(TorchFunctionMode):
    """Computes products in bf16 with the arithmetic of fp32, and so at its speed.

    Factors are rounded to bf16, their products summed in fp32, and the sum is rounded to bf16: as
    AVX-512-BF16 and the tensor cores of a GPU do it, gradients included. What differs is the order
    of a sum, as between any two processors. Inside autocast its products are meant too; outside,
    those whose factors are bf16 already.
    """

    def __torch_function__(
        self,
        func: Callable,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func not in PRODUCTS or not _in_bf16(args):
            return func(*args, **kwargs)
        args = [_rounded(value) for value in args]
        kwargs = {name: _rounded(value) for name, value in kwargs.items()}
        with torch.autocast("cpu", enabled=False):
            return func(*args, **kwargs).bfloat16()


def _in_bf16(args: Iterable[Any]) -> bool:
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu") == torch.bfloat16
    return all(value.dtype == torch.bfloat16 for value in args if isinstance(value, Tensor))


def _rounded(value: Any) -> Any:
    return value.bfloat16().float() if isinstance(value, Tensor) else value
