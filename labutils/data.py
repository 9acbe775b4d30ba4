"""Data sets as in-memory uint8 tensors: download, cache, split, statistics."""

from __future__ import annotations

import functools
import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from filelock import FileLock
from jaxtyping import Float, Int64, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor

from labutils.config import DataName
from labutils.profiles import ROOT

SPLIT_SEED = 20151210  # no run changes it: every run sees the same validation images
VALIDATION_SHARE = 0.1
BUILT_IN = ("digits", "shapes10", "shapes20")


class DataError(RuntimeError):
    """A data set that cannot be had; the message names the file and what to do."""


class Spec(NamedTuple):
    """What a data set's file must hold."""

    train: int
    test: int
    image_shape: tuple[int, int, int]
    classes: int
    coarse_classes: int = 0


# The counts of built-in sets decide how they are made; those of the others are checked.
SPECS = {
    "digits": Spec(1_438, 359, (28, 28, 1), 10),
    "shapes10": Spec(10_000, 2_000, (32, 32, 3), 10),
    "shapes20": Spec(10_000, 2_000, (32, 32, 3), 20),
    "mnist": Spec(60_000, 10_000, (28, 28, 1), 10),
    "cifar10": Spec(50_000, 10_000, (32, 32, 3), 10),
    "cifar100": Spec(50_000, 10_000, (32, 32, 3), 100, 20),
}


@dataclass(frozen=True)
class Split:
    """Images and labels of one part of a data set.

    Attributes:
        images: uint8, 0 to 255, batch x channels x height x width, in channels-last memory.
        labels: class indices from 0.
        coarse_labels: CIFAR-100's twenty superclasses, else None.
        masks: where the object is (shapes10 and shapes20), else None.
    """

    images: UInt8[Tensor, "n channels height width"]
    labels: Int64[Tensor, " n"]
    coarse_labels: Int64[Tensor, " n"] | None = None
    masks: UInt8[Tensor, "n height width"] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Int64[Tensor, " k"] | slice) -> Split:
        """The images at `indices`, with all that belongs to them."""
        extras = (self.coarse_labels, self.masks)
        return Split(
            self.images[indices],
            self.labels[indices],
            *(None if extra is None else extra[indices] for extra in extras),
        )


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


def data_root() -> Path:
    """Folder of the data files: the variable LAB_DATA, or data/ beside the notebooks."""
    return Path(os.environ.get("LAB_DATA") or ROOT / "data").expanduser()


def load(name: DataName, root: Path | None = None) -> DataSet:
    """Load a data set, downloading it on first use; later calls share one copy in memory.

    Raises:
        DataError: the name is unknown, or the file is missing and cannot be downloaded,
            damaged, or of the wrong shape. Nothing that is there is overwritten.
    """
    if name not in SPECS:
        raise DataError(f"no data set {name!r}: choose one of {', '.join(SPECS)}")
    return _load(name, Path(root or data_root()))


@functools.lru_cache(maxsize=4)
def _load(name: str, root: Path) -> DataSet:
    if name in BUILT_IN:
        arrays, class_names = _built_in(name)
    else:
        path = root / f"{name}.safetensors"
        if not path.exists():
            _download(name, root, path)
        arrays, class_names = _read(path, SPECS[name])
    everything, test = (_as_split(arrays, part) for part in ("train", "test"))
    train_indices, val_indices = stratified_split(everything.labels)
    train = everything.take(train_indices)
    mean, std = pixel_statistics(train.images)
    val = everything.take(val_indices)
    return DataSet(name, tuple(class_names), train, val, test, mean, std)


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


def _read(path: Path, spec: Spec) -> tuple[dict[str, np.ndarray], list[str]]:
    remedy = f"Delete {path} and it is downloaded again, or put a good copy in its place."
    try:
        with safe_open(path, "numpy") as file:
            arrays = {key: file.get_tensor(key) for key in file.keys()}
            class_names = json.loads((file.metadata() or {}).get("class_names", "null"))
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read: truncated or damaged ({error}). {remedy}"
        ) from error
    problem = _problem(arrays, class_names, spec)
    if problem:
        raise DataError(f"{path}: {problem}. {remedy}")
    return arrays, class_names


def _problem(arrays: dict[str, np.ndarray], class_names: object, spec: Spec) -> str:
    """What is wrong with the content of a data set; empty where nothing is."""
    limits = {"labels": spec.classes}
    if spec.coarse_classes:
        limits["coarse_labels"] = spec.coarse_classes
    for part, count in (("train", spec.train), ("test", spec.test)):
        for kind in ("images", *limits):
            key = f"{part}_{kind}"
            shape = (count, *spec.image_shape) if kind == "images" else (count,)
            found = arrays.get(key)
            if found is None or found.shape != shape or found.dtype != np.uint8:
                what = "missing" if found is None else f"{found.dtype} {found.shape}"
                return f"{key} is {what}, expected uint8 {shape}"
            if kind in limits and found.max() >= limits[kind]:
                return f"a label in {key} is not below {limits[kind]}"
    if not isinstance(class_names, list) or len(class_names) != spec.classes:
        return f"its metadata do not name {spec.classes} classes"
    return ""


def _download(name: str, root: Path, path: Path) -> None:
    """Fetch a set through torchvision and write its cache file, once for all processes."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{name}.lock"):
            if path.exists():
                return
            arrays, class_names = _from_torchvision(name, root)
            problem = _problem(arrays, class_names, SPECS[name])
            if problem:
                raise ValueError(f"what came is not {name}: {problem}")
            metadata = {"class_names": json.dumps(class_names), "source": "torchvision.datasets"}
            _write(path, save(arrays, metadata))
    except Exception as error:  # a broken archive raises a dozen kinds
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(
            f"{name}: {path} is not there, and it could not be downloaded into {root} "
            f"({reason}). Connect to the network and try again (where a download was broken off, "
            f"delete what it left in {root} first), set LAB_DATA to a writable folder or to one "
            f"that holds {path.name}, or set LAB_PROFILE=quick to use the built-in data sets."
        ) from error


def _write(path: Path, content: bytes) -> None:
    """All of it or nothing; not by safetensors' own writer, whose files only their owner reads."""
    temporary = path.with_suffix(".part")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _from_torchvision(name: str, root: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    from torchvision import datasets  # 2 s to import, and only a download needs it

    arrays: dict[str, np.ndarray] = {}
    for part, train in (("train", True), ("test", False)):
        with warnings.catch_warnings():
            # torchvision unpickles CIFAR with an alignment flag that NumPy 2.4 deprecates
            warnings.simplefilter("ignore")
            kind = {"mnist": datasets.MNIST, "cifar10": datasets.CIFAR10}.get(name)
            source = (kind or datasets.CIFAR100)(root, train=train, download=True)
        images = np.asarray(source.data, dtype=np.uint8)
        arrays[f"{part}_images"] = images[..., None] if images.ndim == 3 else images
        arrays[f"{part}_labels"] = np.asarray(source.targets, dtype=np.uint8)
        if name == "cifar100":
            arrays[f"{part}_coarse_labels"] = _coarse_labels(source, part)
    class_names = [title.split(" - ")[0] for title in source.classes]  # MNIST's: "0 - zero"
    return {key: np.ascontiguousarray(value) for key, value in arrays.items()}, class_names


def _coarse_labels(source: object, part: str) -> np.ndarray:
    """CIFAR-100's superclasses, which torchvision unpacks to disk but does not read."""
    import pickle

    path = Path(source.root, source.base_folder, part)
    with path.open("rb") as file:  # its checksum was verified by torchvision
        return np.asarray(pickle.load(file, encoding="latin1")["coarse_labels"], dtype=np.uint8)


def _built_in(name: str) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    if name == "digits":
        return _digits()
    from labutils import shapes

    arrays = {}
    for seed, part in enumerate(("train", "test")):
        drawn = shapes.render(name, getattr(SPECS[name], part), seed)
        for key in ("images", "labels", "masks"):
            arrays[f"{part}_{key}"] = getattr(drawn, key)
    return arrays, drawn.class_names


def _digits() -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """scikit-learn's 1,797 digits of 8x8 pixels, enlarged to 20x20 and framed like MNIST."""
    import cv2
    from sklearn.datasets import load_digits

    bunch = load_digits()
    small = np.clip(bunch.images * 255 / 16, 0, 255).astype(np.uint8)
    large = np.stack(
        [cv2.resize(image, (20, 20), interpolation=cv2.INTER_CUBIC) for image in small]
    )
    images = np.pad(large, ((0, 0), (4, 4), (4, 4)))[..., None]
    test, train = (part.numpy() for part in stratified_split(torch.from_numpy(bunch.target), 0.8))
    return {
        "train_images": images[train],
        "train_labels": bunch.target[train],
        "test_images": images[test],
        "test_labels": bunch.target[test],
    }, tuple(str(digit) for digit in range(10))
