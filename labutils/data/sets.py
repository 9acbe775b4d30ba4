"""Data sets as in-memory uint8 tensors: loaded, split, with statistics."""

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
from labutils.data.files import DataError, download, read_set
from labutils.data.shapes import CLASS_NAMES, render
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
        are those of the images that are left. Of one `draw`, fewer images are among more.
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
        arrays, class_names = _shapes(name) if name in CLASS_NAMES else _digits()
    else:
        path = root / f"{name}.safetensors"
        if not path.exists():
            download(name, root, path)
        arrays, class_names = read_set(path, DATA_SETS[name])
    everything, test = (_as_split(arrays, part) for part in ("train", "test"))
    train, val = map(everything.take, stratified_split(everything.labels))
    return DataSet(name, tuple(class_names), train, val, test, *pixel_statistics(train.images))


def _shapes(name: str) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    arrays = {}
    for seed, part in enumerate(("train", "test")):
        drawn = render(name, getattr(DATA_SETS[name], part), seed)
        for key in ("images", "labels", "masks"):
            arrays[f"{part}_{key}"] = getattr(drawn, key)
    return arrays, drawn.class_names


def _digits() -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """scikit-learn's 1,797 digits of 8x8 pixels, enlarged to 20x20 and framed like MNIST."""
    import cv2
    from sklearn.datasets import load_digits

    bunch = load_digits()
    small = (bunch.images * 255 / 16).astype(np.uint8)
    large = [cv2.resize(image, (20, 20), interpolation=cv2.INTER_CUBIC) for image in small]
    images = np.pad(large, ((0, 0), (4, 4), (4, 4)))[..., None]
    arrays = {}
    test, train = stratified_split(torch.from_numpy(bunch.target), 0.8)
    for part, indices in (("train", train.numpy()), ("test", test.numpy())):
        arrays[f"{part}_images"] = images[indices]
        arrays[f"{part}_labels"] = bunch.target[indices]
    return arrays, tuple("0123456789")


def _variant(name: str, source: DataSet) -> DataSet:
    """Each part is made from that part of the source: none of its images wanders."""
    parts = [
        VARIANTS[name](getattr(source, part), count, seed)
        for seed, (part, count) in enumerate(part_sizes(DATA_SETS[name]).items())
    ]
    return DataSet(name, source.class_names, *parts, *pixel_statistics(parts[0].images))


def part_sizes(spec: DataSpec) -> dict[str, int]:
    """Images of each part of a set: known without loading it."""
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
    images = torch.from_numpy(arrays[f"{part}_images"]).permute(0, 3, 1, 2)
    columns = {
        name: torch.from_numpy(arrays[f"{part}_{name}"].astype(dtype))
        for name, dtype in (("labels", np.int64), ("coarse_labels", np.int64), ("masks", np.uint8))
        if f"{part}_{name}" in arrays
    }
    return Split(images, **columns)
