"""The file that a data set is kept in: read and checked, written whole or not at all."""

import json
import os
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from labutils.config import DataSpec


class DataError(RuntimeError):
    """A data set that cannot be had; the message names the file and what to do."""


def read_file(path: Path, spec: DataSpec) -> tuple[dict[str, np.ndarray], list[str]]:
    remedy = f"Delete {path} and it is downloaded again, or put a good copy in its place."
    try:
        with safe_open(path, "numpy") as file:
            arrays = {key: file.get_tensor(key) for key in file.keys()}
            class_names = json.loads((file.metadata() or {}).get("class_names", "null"))
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read: truncated or damaged ({error}). {remedy}"
        ) from error
    problem = problem_with(arrays, class_names, spec)
    if problem:
        raise DataError(f"{path}: {problem}. {remedy}")
    return arrays, class_names


def problem_with(arrays: dict[str, np.ndarray], class_names: object, spec: DataSpec) -> str:
    """What is wrong with the content of a data set; empty where nothing is."""
    limits = {"labels": spec.classes}
    if spec.coarse_classes:
        limits["coarse_labels"] = spec.coarse_classes
    for part, count in (("train", spec.train), ("test", spec.test)):
        for kind in ("images", *limits):
            key = f"{part}_{kind}"
            channels, height, width = spec.image_shape
            shape = (count, height, width, channels) if kind == "images" else (count,)
            found = arrays.get(key)
            if found is None or found.shape != shape or found.dtype != np.uint8:
                what = "missing" if found is None else f"{found.dtype} {found.shape}"
                return f"{key} is {what}, expected uint8 {shape}"
            if kind in limits and found.max() >= limits[kind]:
                return f"a label in {key} is not below {limits[kind]}"
    if not isinstance(class_names, list) or len(class_names) != spec.classes:
        return f"its metadata do not name {spec.classes} classes"
    return ""


def write_file(path: Path, content: bytes) -> None:
    """All of it or nothing; not by safetensors' own writer, whose files only their owner reads."""
    temporary = path.with_suffix(".part")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
