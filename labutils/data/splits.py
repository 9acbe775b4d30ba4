"""The one split into training and validation images."""

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from labutils.config.data_sets import VALIDATION_SHARE

SPLIT_SEED = 20151210  # no run changes it: every run sees the same validation images


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
