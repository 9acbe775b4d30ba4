"""How a network is computed: device, memory layout, precision."""

from __future__ import annotations

import contextlib
import platform
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

Arithmetic = Literal["bf16", "fp32"]


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the processor has instructions for products in bf16.

    Those are AVX-512-BF16 or AMX on x86, bf16 on Arm, and a GPU's from NVIDIA's Ampere on. Without
    them PyTorch emulates each product, which is many times as slow as fp32.
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
    """How a network is computed: chosen here and nowhere else."""

    device: torch.device
    memory_format: torch.memory_format
    arithmetic: Arithmetic

    def autocast(self) -> contextlib.AbstractContextManager:
        """Context in which a forward pass runs."""
        if self.arithmetic == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return torch.autocast(self.device.type, enabled=False)  # also within another's autocast

    def place(self, images: Tensor) -> Tensor:
        """The images on the device, in the memory format of the network."""
        return images.to(self.device).contiguous(memory_format=self.memory_format)

    def record(self) -> dict[str, Any]:
        """Arithmetic, software and hardware of a result, for its metrics."""
        return {"arithmetic": self.arithmetic, **software_and_hardware(self.device)}


def default_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def execution_for(
    model: nn.Module, precision: str = "fp32", device: torch.device | None = None
) -> Execution:
    """Channels-last memory for networks with convolutions, autocast where bf16 is asked for.

    Together they train a ResNet-18 more than twice as fast as fp32 in PyTorch's default layout on
    a CPU with AVX-512-BF16; a network of small linear layers gains from neither. Where the
    processor does not multiply bf16, the arithmetic is fp32 whatever is asked for.
    """
    convolutional = any(isinstance(module, nn.Conv2d) for module in model.modules())
    memory_format = torch.channels_last if convolutional else torch.contiguous_format
    device = device or default_device()
    arithmetic = "bf16" if precision == "bf16" and multiplies_bf16(device) else "fp32"
    return Execution(device, memory_format, arithmetic)


def software_and_hardware(device: torch.device) -> dict[str, Any]:
    """Software and hardware that a measurement on `device` was made with."""
    processor = torch.backends.cpu.get_cpu_capability()
    if device.type == "cuda":
        processor = torch.cuda.get_device_name(device)
    return {
        "software": {"python": platform.python_version(), "torch": torch.__version__},
        "hardware": {
            "device": device.type,
            "processor": processor,
            "threads": torch.get_num_threads(),
        },
    }
