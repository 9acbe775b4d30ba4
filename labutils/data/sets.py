"""Data sets as in-memory uint8 tensors: download, cache, split, statistics."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from labutils.config.data_sets import DATA_SETS, DataName, DataSpec
from labutils.config.profiles import ROOT
from labutils.data.builtin import make
from labutils.data.downloads import download
from labutils.data.files import DataError, read_set
from labutils.data.splits import Split, nested_subset, stratified_split
from labutils.data.variants import VARIANTS


@dataclass(frozen=True)
class DataSet:
    """One data set in memory, split once and for all.

    Attributes:
        mean, std: of the training split's pixels, a channel, in units where white is 1.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    mean: Float[Tensor, " channels"]
    std: Float[Tensor, " channels"]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return tuple(self.train.images.shape[1:])

    def with_labels(self, per_class: int, draw: int = 0) -> DataSet:
        """The set as it would be with `per_class` training images of each class; test stays whole.

        Validation shrinks by the same factor, to one image a class at least. Mean and deviation
        are those of the images that are left.

        Args:
            draw: which images; of one draw, fewer are among more.
        """
        classes = len(self.class_names)
        share = per_class * classes / len(self.train)
        val_per_class = max(1, round(share * len(self.val) / classes))
        train = self.train.take(nested_subset(self.train.labels, per_class, draw))
        val = self.val.take(nested_subset(self.val.labels, val_per_class, draw))
        mean, std = pixel_statistics(train.images)
        return replace(self, train=train, val=val, mean=mean, std=std)


def data_root() -> Path:
    """Folder of the data files: the variable LAB_DATA, or data/ below `profiles.ROOT`."""
    return Path(os.environ.get("LAB_DATA") or ROOT / "data").expanduser()


def is_here(name: DataName) -> bool:
    """Whether `load` needs no download: the set is built in, or its file is there."""
    name = DATA_SETS[name].made_from or name
    return DATA_SETS[name].built_in or (data_root() / f"{name}.safetensors").exists()


def load(name: DataName, root: Path | None = None) -> DataSet:
    """Load a data set, downloading it on first use; later calls share one copy in memory.

    Raises:
        DataError: the name is unknown, or the file is missing and cannot be downloaded,
            damaged, or of the wrong shape. Nothing that is there is overwritten.
    """
    if name not in DATA_SETS:
        raise DataError(f"no data set {name!r}: choose one of {', '.join(DATA_SETS)}")
    return _load(name, Path(root or data_root()))


@functools.lru_cache(maxsize=4)
def _load(name: str, root: Path) -> DataSet:
    if DATA_SETS[name].made_from:
        return _variant(name, _load(DATA_SETS[name].made_from, root))
    if DATA_SETS[name].built_in:
        arrays, class_names = make(name)
    else:
        path = root / f"{name}.safetensors"
        if not path.exists():
            download(name, root, path)
        arrays, class_names = read_set(path, DATA_SETS[name])
    everything, test = (_as_split(arrays, part) for part in ("train", "test"))
    train_indices, val_indices = stratified_split(everything.labels)
    train = everything.take(train_indices)
    mean, std = pixel_statistics(train.images)
    val = everything.take(val_indices)
    return DataSet(name, tuple(class_names), train, val, test, mean, std)


def _variant(name: str, source: DataSet) -> DataSet:
    """Each part is made from that part of the source: none of its images wanders."""
    parts = {
        part: VARIANTS[name](getattr(source, part), count, seed)
        for seed, (part, count) in enumerate(_counts(DATA_SETS[name]).items())
    }
    mean, std = pixel_statistics(parts["train"].images)
    return DataSet(name, source.class_names, **parts, mean=mean, std=std)


def _counts(spec: DataSpec) -> dict[str, int]:
    return {"train": spec.train - spec.val, "val": spec.val, "test": spec.test}


def pixel_statistics(
    images: UInt8[Tensor, "n channels height width"],
) -> tuple[Float[Tensor, " channels"], Float[Tensor, " channels"]]:
    """Mean and standard deviation of each channel, in units where 255 is 1.

    Counts grey values first: exact, and without a float copy of the whole set.
    """
    values = torch.arange(256, dtype=torch.float64) / 255
    channels = images.cpu().unbind(1)
    counts = torch.stack([torch.bincount(c.flatten(), minlength=256) for c in channels])
    shares = counts.double() / counts.sum(1, keepdim=True)
    mean = shares @ values
    variance = shares @ values.square() - mean.square()
    return mean.float(), variance.clamp_min(1e-8).sqrt().float()


def _as_split(arrays: dict[str, np.ndarray], part: str) -> Split:
    def labels(key: str) -> Tensor | None:
        found = arrays.get(f"{part}_{key}")
        return None if found is None else torch.from_numpy(found.astype(np.int64))

    masks = arrays.get(f"{part}_masks")
    return Split(
        torch.from_numpy(arrays[f"{part}_images"]).permute(0, 3, 1, 2),
        labels("labels"),
        labels("coarse_labels"),
        None if masks is None else torch.from_numpy(masks.astype(np.uint8)),
    )
