"""Random flips, crops and cutout for whole batches, each image by its own draw."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from labutils.config import FitConfig
from labutils.data.sets import pixel_statistics

# indices of the images of a batch, a generator for its draws, the epoch from 0
Batches = Callable[[Tensor, torch.Generator, int], Tensor]


def training_batches(images: Tensor, config: FitConfig) -> Batches:
    """What cuts the batches of a training from its images: augmented as `config` says, or as is."""
    if not (config.flip or config.crop_padding or config.cutout):
        return lambda indices, generator, epoch: images[indices.to(images.device)]
    return Augmenter(
        images,
        flip=config.flip,
        alternating_seed=config.seed if config.alternating_flip else None,
        crop_padding=config.crop_padding,
        padding_mode=config.padding_mode,
        cutout=config.cutout,
    )


class Augmenter:
    """Cuts randomly augmented batches from a set held in memory, each image by its own draw.

    Padded images and their mirrors are kept as uint8; a batch is one fancy index into a view
    of all their windows (benchmarks/augmentation.py compares it with a loader over pictures).

    Args:
        images: uint8, 0 to 255.
        flip: mirror each image with probability one half.
        alternating_seed: mirror each image in every second epoch instead; the seed draws in which
            of them. So a pair of epochs shows each image both ways (Jordan 2024, section 3.6).
        crop_padding: pixels added on each side before a random cut of the original size.
        padding_mode: `constant` adds black pixels, `reflect` mirrors the image at its border.
        cutout: side in pixels of a square around a random pixel, clipped at the border, that is
            filled with the set's mean colour (DeVries and Taylor 2017); 0 for none.
    """

    def __init__(
        self,
        images: UInt8[Tensor, "n channels height width"],
        *,
        flip: bool = False,
        alternating_seed: int | None = None,
        crop_padding: int = 0,
        padding_mode: str = "constant",
        cutout: int = 0,
    ) -> None:
        self.flip, self.crop_padding, self.cutout = flip, crop_padding, cutout
        self.first_mirrored = None
        if alternating_seed is not None:
            generator = torch.Generator().manual_seed(alternating_seed)
            self.first_mirrored = torch.randint(2, images.shape[:1], generator=generator)
        self.height, self.width = images.shape[2:]
        if min(crop_padding, cutout) < 0 or cutout > min(self.height, self.width):
            raise ValueError(
                f"crop_padding {crop_padding}, cutout {cutout}: give whole numbers from 0, "
                f"and a cutout no larger than the image ({self.height} x {self.width})"
            )
        # channels last, so that a window's rows are runs; torch cannot reflect uint8, NumPy can
        stored = images.permute(0, 2, 3, 1).cpu().numpy()
        frame = [(side, side) for side in (0, crop_padding, crop_padding, 0)]
        stored = torch.from_numpy(np.pad(stored, frame, mode=padding_mode)).to(images.device)
        stored = torch.stack([stored, stored.flip(2)] if flip else [stored])
        windows = stored.unfold(2, self.height, 1).unfold(3, self.width, 1)
        self.windows = windows.permute(0, 1, 2, 3, 5, 6, 4)
        if cutout:
            mean, _ = pixel_statistics(images)
            self.fill = (mean * 255).round().byte().view(1, -1, 1, 1).to(images.device)

    def __call__(
        self, indices: Int64[Tensor, " batch"], generator: torch.Generator, epoch: int = 0
    ) -> UInt8[Tensor, "batch channels height width"]:
        """Augment the images at `indices`; all draws come from `generator`, on the CPU.

        The epoch, from 0, matters to alternating flips alone.
        """
        count, device = len(indices), self.windows.device

        def draw(high: int) -> Tensor:
            return torch.randint(high, (count,), generator=generator).to(device)

        if self.first_mirrored is not None:
            mirror = ((self.first_mirrored[indices] + epoch) % 2).to(device)
        else:
            mirror = draw(2) if self.flip else torch.zeros(count, dtype=torch.int64, device=device)
        top, left = draw(2 * self.crop_padding + 1), draw(2 * self.crop_padding + 1)
        chosen = mirror, indices.to(device), top, left
        if device.type == "cpu":  # NumPy copies rows of a window, PyTorch its numbers one by one
            windows = self.windows.numpy()[tuple(index.numpy() for index in chosen)]
            batch = torch.from_numpy(windows).permute(0, 3, 1, 2)
        else:
            batch = self.windows[chosen].permute(0, 3, 1, 2)
        if not self.cutout:
            return batch
        rows = _in_window(draw(self.height), self.height, self.cutout)
        columns = _in_window(draw(self.width), self.width, self.cutout)
        hole = rows[:, None, :, None] & columns[:, None, None, :]
        return torch.where(hole, self.fill, batch)


def _in_window(center: Int64[Tensor, " batch"], length: int, side: int) -> Tensor:
    """Which of `length` positions lie within `side` around each center."""
    offset = torch.arange(length, device=center.device) - center[:, None] + side // 2
    return (offset >= 0) & (offset < side)
