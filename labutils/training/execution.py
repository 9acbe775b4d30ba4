"""How a network is computed: device, memory layout, precision."""

from __future__ import annotations

import contextlib
import platform
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


def multiplies_bf16(device: torch.device) -> bool:
    """Whether PyTorch multiplies bf16 tensors fast there: an x86 CPU needs AVX-512 for it.

    On others it falls back to loops that are many times as slow as fp32.
    """
    return device.type != "cpu" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")


class Execution(NamedTuple):
    """How a network is computed: chosen here and nowhere else."""

    device: torch.device
    memory_format: torch.memory_format
    bf16: bool

    def autocast(self) -> contextlib.AbstractContextManager:
        """Context in which a forward pass runs."""
        if self.bf16:
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return torch.autocast(self.device.type, enabled=False)  # also within another's autocast

    def place(self, images: Tensor) -> Tensor:
        """The images on the device, in the memory format of the network."""
        return images.to(self.device).contiguous(memory_format=self.memory_format)


def default_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def execution_for(
    model: nn.Module, precision: str = "fp32", device: torch.device | None = None
) -> Execution:
    """Channels-last memory for networks with convolutions, autocast where bf16 is asked for.

    Together they train a ResNet-18 more than twice as fast as fp32 in PyTorch's default layout on
    a CPU with AVX-512-BF16; a network of small linear layers gains from neither.
    """
    convolutional = any(isinstance(module, nn.Conv2d) for module in model.modules())
    memory_format = torch.channels_last if convolutional else torch.contiguous_format
    device = device or default_device()
    return Execution(device, memory_format, precision == "bf16" and multiplies_bf16(device))


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
