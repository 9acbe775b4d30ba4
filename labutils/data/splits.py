"""The parts of a data set, and the one split into training and validation images."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from labutils.config.data_sets import VALIDATION_SHARE

SPLIT_SEED = 20151210  # no run changes it: every run sees the same validation images
SUBSET_SEED = 20150309  # with the number of the draw


class SubsetError(ValueError):
    """A class has fewer images than were asked for."""


@dataclass(frozen=True)
class Split:
    """Images and labels of one part of a data set.

    Attributes:
        images: uint8, 0 to 255, batch x channels x height x width, in channels-last memory.
        labels: class indices from 0.
        coarse_labels: CIFAR-100's twenty superclasses, else None.
        masks: where the object is (shapes, and digits on canvases), else None.
    """

    images: UInt8[Tensor, "n channels height width"]
    labels: Int64[Tensor, " n"]
    coarse_labels: Int64[Tensor, " n"] | None = None
    masks: UInt8[Tensor, "n height width"] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Int64[Tensor, " k"] | slice) -> Split:
        """The images at `indices`, with all that belongs to them."""
        columns = (getattr(self, field.name) for field in fields(self))
        return Split(*(None if column is None else column[indices] for column in columns))


def stratified_split(
    labels: Int64[Tensor, " n"], share: float = VALIDATION_SHARE
) -> tuple[Int64[Tensor, " train"], Int64[Tensor, " val"]]:
    """Indices of the training and validation images, each class in its proportion, shuffled.

    Written out rather than taken from a library, and its result pinned by a test: no release of
    a library may move an image from one part to another unnoticed.
    """
    generator = np.random.default_rng(SPLIT_SEED)
    train, val = [], []
    for label in np.unique(labels.numpy()):
        members = generator.permutation(np.flatnonzero(labels.numpy() == label))
        cut = round(share * len(members))
        val.append(members[:cut])
        train.append(members[cut:])
    shuffled = (generator.permutation(np.concatenate(part)) for part in (train, val))
    return tuple(torch.from_numpy(indices) for indices in shuffled)


def nested_subset(
    labels: Int64[Tensor, " n"], per_class: int, draw: int = 0
) -> Int64[Tensor, " k"]:
    """Indices of `per_class` images of each class, in their order; of one draw, fewer among more.

    Raises:
        SubsetError: a class has fewer images.
    """
    generator = np.random.default_rng((SUBSET_SEED, draw))
    chosen = []
    for label in np.unique(labels.numpy()):
        members = generator.permutation(np.flatnonzero(labels.numpy() == label))
        if len(members) < per_class:
            raise SubsetError(
                f"{per_class} images of each class were asked for, but class {label} has "
                f"{len(members)}: give fewer"
            )
        chosen.append(members[:per_class])
    return torch.from_numpy(np.sort(np.concatenate(chosen)))
