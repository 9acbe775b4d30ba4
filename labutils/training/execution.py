"""How a network is computed: device, memory layout, precision."""

import contextlib
import ctypes
import platform
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from labutils.models.blocks import Normalize

# options of mallopt in glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4

Arithmetic = Literal["bf16", "fp32", "fp64"]


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the processor has instructions for products in bf16: AVX-512-BF16 or AMX on x86.

    Without them PyTorch emulates each product, which is many times as slow as fp32.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return True
    if platform.machine() in ("aarch64", "arm64"):  # oneDNN has the kernels; not in every build
        onednn = torch.backends.mkldnn.is_available()
        return onednn and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    # oneDNN's own answer is yes for any AVX-512, which is not enough
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


class Execution(NamedTuple):
    """How a network is computed: chosen by `execution_for` and nowhere else.

    Attributes:
        takes_bytes: uint8 images go to the network as they are; to others as floats from 0 to 1.
    """

    device: torch.device
    memory_format: torch.memory_format
    arithmetic: Arithmetic
    dtype: torch.dtype = torch.float32
    takes_bytes: bool = True

    def autocast(self) -> contextlib.AbstractContextManager:
        """Context in which a forward pass runs."""
        if self.arithmetic == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return torch.autocast(self.device.type, enabled=False)  # also within another's autocast

    def place(self, images: Tensor) -> Tensor:
        """The images on the device, in the memory format and the numbers of the network."""
        if self.takes_bytes and images.dtype == torch.uint8:
            return images.to(self.device).contiguous(memory_format=self.memory_format)
        # a copy: a network may work on its input in place
        floats = images.to(self.device, self.dtype, copy=True, memory_format=self.memory_format)
        return floats.div_(255) if images.dtype == torch.uint8 else floats

    def record(self) -> dict[str, Any]:
        """Arithmetic, software and hardware of a result, for its metrics."""
        return {"arithmetic": self.arithmetic, **software_and_hardware(self.device)}


def full_precision(values: Tensor) -> Tensor:
    """The values in fp32, or in fp64 where they are that: for losses and statistics."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def device_of(model: nn.Module) -> torch.device:
    """Where the model's weights are; the CPU for a model without."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def execution_for(
    model: nn.Module, precision: str = "fp32", device: torch.device | str | None = None
) -> Execution:
    """Channels-last memory for networks with convolutions, autocast where bf16 is asked for.

    Together they train a ResNet-18 more than twice as fast on a CPU with AVX-512-BF16. Where the
    processor does not multiply bf16, the arithmetic is that of the weights.
    """
    convolutional = any(isinstance(module, nn.Conv2d) for module in model.modules())
    convolutional &= all(parameter.ndim < 5 for parameter in model.parameters())  # none in 3-D
    memory_format = torch.channels_last if convolutional else torch.contiguous_format
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtypes = (parameter.dtype for parameter in model.parameters())
    dtype = next((dtype for dtype in dtypes if dtype.is_floating_point), torch.float32)
    arithmetic = "fp64" if dtype == torch.float64 else "fp32"
    if precision == "bf16" and multiplies_bf16(device):
        arithmetic = "bf16"
    normalizes = any(isinstance(module, Normalize) for module in model.modules())
    takes_bytes = normalizes and dtype in (torch.float32, torch.float64)
    return Execution(device, memory_format, arithmetic, dtype, takes_bytes)


@contextlib.contextmanager
def memory_reused() -> Iterator[None]:
    """Context in which freed memory is kept for the next tensors; it goes back at the end.

    glibc asks the system for each large tensor anew, and writing to it waits while the system
    clears page after page. With another C library, or within such a context, nothing happens.
    Results do not change.
    """
    if platform.libc_ver()[0] != "glibc" or _Memory.reused:
        yield
        return
    c_library = ctypes.CDLL(None)
    _Memory.reused = True
    c_library.mallopt(M_MMAP_MAX, 0)  # large tensors are not mapped by themselves
    c_library.mallopt(M_TRIM_THRESHOLD, -1)  # whatever is freed stays
    try:
        yield
    finally:
        # where glibc's own rule ends in a process that has freed large tensors
        c_library.mallopt(M_MMAP_MAX, 65_536)
        c_library.mallopt(M_MMAP_THRESHOLD, 32 * 2**20)
        c_library.mallopt(M_TRIM_THRESHOLD, 64 * 2**20)
        c_library.malloc_trim(0)
        _Memory.reused = False


class _Memory:
    reused = False


def software_and_hardware(device: torch.device) -> dict[str, Any]:
    """Software and hardware that a measurement on `device` was made with."""
    cuda = device.type == "cuda"
    cpu = torch.backends.cpu.get_cpu_capability()
    processor = torch.cuda.get_device_name(device) if cuda else cpu
    threads = torch.get_num_threads()
    return {
        "software": {"python": platform.python_version(), "torch": torch.__version__},
        "hardware": {"device": device.type, "processor": processor, "threads": threads},
    }
