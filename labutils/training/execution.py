"""How a network is computed: device, memory layout, precision."""

from __future__ import annotations

import contextlib
import platform
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from labutils.models.blocks import Normalize


def multiplies_bf16(device: torch.device) -> bool:
    """Whether PyTorch multiplies bf16 tensors fast there: an x86 CPU needs AVX-512 for it.

    On others it falls back to loops that are many times as slow as fp32.
    """
    return device.type != "cpu" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")


class Execution(NamedTuple):
    """How a network is computed: chosen here and nowhere else.

    Attributes:
        takes_bytes: uint8 images go to the network as they are; to others as floats from 0 to 1.
    """

    device: torch.device
    memory_format: torch.memory_format
    bf16: bool
    dtype: torch.dtype = torch.float32
    takes_bytes: bool = True

    def autocast(self) -> contextlib.AbstractContextManager:
        """Context in which a forward pass runs."""
        if self.bf16:
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return torch.autocast(self.device.type, enabled=False)  # also within another's autocast

    def place(self, images: Tensor) -> Tensor:
        """The images on the device, in the memory format and the numbers of the network."""
        if self.takes_bytes and images.dtype == torch.uint8:
            return images.to(self.device).contiguous(memory_format=self.memory_format)
        # a copy: a network may work on its input in place
        floats = images.to(self.device, self.dtype, copy=True, memory_format=self.memory_format)
        return floats.div_(255) if images.dtype == torch.uint8 else floats


def default_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_of(model: nn.Module) -> torch.device:
    """Where the model's weights are; the CPU for a model without."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def execution_for(
    model: nn.Module, precision: str = "fp32", device: torch.device | str | None = None
) -> Execution:
    """Channels-last memory for networks with convolutions, autocast where bf16 is asked for.

    Together they train a ResNet-18 more than twice as fast as fp32 in PyTorch's default layout on
    a CPU with AVX-512-BF16; a network of small linear layers gains from neither.
    """
    convolutional = any(isinstance(module, nn.Conv2d) for module in model.modules())
    convolutional &= all(parameter.ndim < 5 for parameter in model.parameters())  # none in 3-D
    memory_format = torch.channels_last if convolutional else torch.contiguous_format
    device = torch.device(device or default_device())
    bf16 = precision == "bf16" and multiplies_bf16(device)
    numbers = (parameter.dtype for parameter in model.parameters())
    dtype = next((kind for kind in numbers if kind.is_floating_point), torch.float32)
    # Normalize turns bytes into fp32
    normalizes = any(isinstance(module, Normalize) for module in model.modules())
    takes_bytes = normalizes and dtype == torch.float32
    return Execution(device, memory_format, bf16, dtype, takes_bytes)


def software_and_hardware() -> dict[str, Any]:
    """Software and hardware that a measurement was made with."""
    cuda = torch.cuda.is_available()
    processor = torch.cuda.get_device_name() if cuda else torch.backends.cpu.get_cpu_capability()
    return {
        "software": {"python": platform.python_version(), "torch": torch.__version__},
        "hardware": {
            "device": default_device().type,
            "processor": processor,
            "threads": torch.get_num_threads(),
        },
    }
