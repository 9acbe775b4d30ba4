"""Real data sets: fetched through torchvision, then kept as one file a set."""

import warnings
from pathlib import Path

import numpy as np
from filelock import FileLock

from labutils.config import DATA_SETS
from labutils.data.files import DataError, problem_with, write_set


def download(name: str, root: Path, path: Path) -> None:
    """Fetch a set through torchvision and write its cache file, once for all processes."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{name}.lock"):
            if path.exists():
                return
            arrays, class_names = _from_torchvision(name, root)
            spec = DATA_SETS[name]
            problem = problem_with(arrays, class_names, spec, spec.sha256)
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
