"""Random flips, crops and cutout for whole batches, each image by its own draw."""

from __future__ import annotations

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from labutils.data import pixel_statistics


class Augmenter:
    """Cuts randomly augmented batches from a set held in memory, each image by its own draw.

    Padded images and their mirrors are kept as uint8; a batch is one fancy index into a view
    of all their windows (benchmarks/augmentation.py compares it with a loader over pictures).

    Args:
        images: uint8, 0 to 255.
        flip: mirror each image with probability one half.
        crop_padding: black pixels added on each side before a random cut of the original size.
        cutout: side in pixels of a square around a random pixel, clipped at the border, that is
            filled with the set's mean colour (DeVries and Taylor 2017); 0 for none.
    """

    def __init__(
        self,
        images: UInt8[Tensor, "n channels height width"],
        *,
        flip: bool = False,
        crop_padding: int = 0,
        cutout: int = 0,
    ) -> None:
        self.flip, self.crop_padding, self.cutout = flip, crop_padding, cutout
        self.height, self.width = images.shape[2:]
        if min(crop_padding, cutout) < 0 or cutout > min(self.height, self.width):
            raise ValueError(
                f"crop_padding {crop_padding}, cutout {cutout}: give whole numbers from 0, "
                f"and a cutout no larger than the image ({self.height} x {self.width})"
            )
        pad = crop_padding
        stored = images.permute(0, 2, 3, 1)  # channels last, so that a window's rows are runs
        stored = torch.nn.functional.pad(stored, (0, 0, pad, pad, pad, pad))
        stored = torch.stack([stored, stored.flip(2)] if flip else [stored])
        windows = stored.unfold(2, self.height, 1).unfold(3, self.width, 1)
        self.windows = windows.permute(0, 1, 2, 3, 5, 6, 4)
        if cutout:
            mean, _ = pixel_statistics(images)
            self.fill = (mean * 255).round().to(torch.uint8).view(1, -1, 1, 1).to(images.device)

    def __call__(
        self, indices: Int64[Tensor, " batch"], generator: torch.Generator
    ) -> UInt8[Tensor, "batch channels height width"]:
        """Augment the images at `indices`; all draws come from `generator`, on the CPU."""
        count, device = len(indices), self.windows.device

        def draw(high: int) -> Tensor:
            return torch.randint(high, (count,), generator=generator).to(device)

        mirror = draw(2) if self.flip else torch.zeros(count, dtype=torch.int64, device=device)
        top, left = draw(2 * self.crop_padding + 1), draw(2 * self.crop_padding + 1)
        batch = self.windows[mirror, indices.to(device), top, left].permute(0, 3, 1, 2)
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
