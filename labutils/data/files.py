"""The file that a data set is kept in: downloaded once, written with a digest, read and checked."""

import hashlib
import json
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from labutils.config import DATA_SETS, DataSpec
from labutils.data.whole_files import refusal, write_file


class DataError(RuntimeError):
    """A data set that cannot be had; the message names the file and what to do."""


def read_set(path: Path, spec: DataSpec) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays and names of the classes.

    Raises:
        DataError: the file cannot be read, or its content is not what was written, or no such set.
    """
    remedy = f"delete {path} and it is downloaded again, or put a good copy in its place"
    try:
        path.open("rb").close()  # safetensors says that a file is missing which it may not read
        with safe_open(path, "numpy") as file:
            arrays = {key: file.get_tensor(key) for key in file.keys()}
            metadata = file.metadata() or {}
        class_names = json.loads(metadata.get("class_names", "null"))
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise DataError(refusal(path, error, remedy)) from error
    # files of older versions have no digest
    problem = _problem_with(arrays, class_names, spec, metadata.get("sha256", spec.sha256))
    if problem:
        raise DataError(refusal(path, problem, remedy))
    return arrays, class_names


def write_set(path: Path, arrays: dict[str, np.ndarray], class_names: list[str]) -> None:
    names = json.dumps(class_names)
    metadata = {"class_names": names, "sha256": content_digest(arrays, names)}
    write_file(path, save(arrays, metadata))


def content_digest(arrays: Mapping[str, np.ndarray], text: str = "") -> str:
    """SHA-256 of a text, and of names and bytes of arrays, in the order of the names."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]))
    return digest.hexdigest()


def _problem_with(
    arrays: dict[str, np.ndarray], class_names: object, spec: DataSpec, sha256: str | None
) -> str:
    """What is wrong with the content of a data set; empty where nothing is."""
    channels, height, width = spec.image_shape
    limits = {"labels": spec.classes}
    if spec.coarse_classes:
        limits["coarse_labels"] = spec.coarse_classes
    for part, count in (("train", spec.train), ("test", spec.test)):
        for kind in ("images", *limits):
            key = f"{part}_{kind}"
            shape = (count, height, width, channels) if kind == "images" else (count,)
            found = arrays.get(key)
            if found is None or found.shape != shape or found.dtype != np.uint8:
                what = "missing" if found is None else f"{found.dtype} {found.shape}"
                return f"{key} is {what}, expected uint8 {shape}"
            if kind in limits and found.max() >= limits[kind]:
                return f"a label in {key} is not below {limits[kind]}"
    if not isinstance(class_names, list) or len(class_names) != spec.classes:
        return f"its metadata do not name {spec.classes} classes"
    if sha256 not in (None, content_digest(arrays, json.dumps(class_names))):
        return "its content is not what it was"
    return ""


def download(name: str, root: Path, path: Path) -> None:
    """Fetch a set through torchvision and write its file, once for all processes.

    Raises:
        DataError: it is not to be had, or what came is not it.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{name}.lock"):
            if path.exists():
                return
            arrays, class_names = _from_torchvision(name, root)
            spec = DATA_SETS[name]
            problem = _problem_with(arrays, class_names, spec, spec.sha256)
            if problem:
                raise ValueError(f"what came is not {name}: {problem}")
            write_set(path, arrays, class_names)
    except Exception as error:  # a broken archive raises a dozen kinds
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(
            f"{name}: {path} is not there, and it could not be downloaded into {root} "
            f"({reason}). Connect to the network and try again (where a download was broken off, "
            f"delete what it left in {root} first), set LAB_DATA to a writable folder or to one "
            f"that holds {path.name}, or set LAB_PROFILE=quick to use the built-in data sets."
        ) from error


def _from_torchvision(name: str, root: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    from torchvision import datasets  # 2 s to import, and only a download needs it

    kinds = {"mnist": datasets.MNIST, "cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}
    arrays: dict[str, np.ndarray] = {}
    for part, train in (("train", True), ("test", False)):
        with warnings.catch_warnings():
            # torchvision unpickles CIFAR with an alignment flag that NumPy 2.4 deprecates
            warnings.simplefilter("ignore")
            source = kinds[name](root, train=train, download=True)
        images = np.asarray(source.data, dtype=np.uint8)
        arrays[f"{part}_images"] = images[..., None] if images.ndim == 3 else images
        arrays[f"{part}_labels"] = np.asarray(source.targets, dtype=np.uint8)
        if name == "cifar100":
            # its superclasses, which torchvision unpacks, checks and does not read
            content = Path(source.root, source.base_folder, part).read_bytes()
            coarse = pickle.loads(content, encoding="latin1")["coarse_labels"]
            arrays[f"{part}_coarse_labels"] = np.asarray(coarse, dtype=np.uint8)
    class_names = [title.split(" - ")[0] for title in source.classes]  # MNIST's: "0 - zero"
    return {key: np.ascontiguousarray(value) for key, value in arrays.items()}, class_names
