"""Built-in data sets: scikit-learn's digits in MNIST's format, and rendered shapes."""

import numpy as np
import torch

from labutils.config import DATA_SETS
from labutils.data.shapes import render
from labutils.data.splits import stratified_split


def make(name: str) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    if name == "digits":
        return _digits()
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
