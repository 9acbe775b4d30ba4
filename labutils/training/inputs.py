"""What is given to `fit` and `evaluate`, converted, or refused with what to do."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset, default_collate


class TrainingError(ValueError):
    """Something given to `fit` or `evaluate` cannot be trained on; the message says what to do."""


def as_split(name: str, given: Any) -> tuple[Tensor, Tensor]:
    """Images and labels as tensors that fit one another; `given` is what `fit` takes.

    Raises:
        TrainingError: it is not that.
    """
    if isinstance(given, TensorDataset):
        given = given.tensors
    try:
        if isinstance(given, Dataset):
            given = default_collate([given[i] for i in range(len(given))])
        images, labels = given
        images, labels = _as_tensor(images), _as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"{name}: a {type(given).__name__} is not images and labels ({error}): give a pair of "
            "tensors or arrays, or a data set of such pairs"
        ) from error
    _check_images(name, images, labels)
    if labels.is_floating_point() or labels.is_complex():
        raise TrainingError(f"{name}: labels are {labels.dtype}; give class indices, whole numbers")
    labels = labels.long()
    if labels.min() < 0:
        raise TrainingError(
            f"{name}: the smallest label is {labels.min().item()}; give class indices from 0"
        )
    return images, labels


def _as_tensor(value: Any) -> Tensor:
    """The value itself, or a tensor that shares an array's memory where it can."""
    if isinstance(value, Tensor):
        return value.detach()
    return torch.from_numpy(np.require(value, requirements=["C", "W"]))


def _check_images(name: str, images: Tensor, labels: Tensor) -> None:
    if images.ndim != 4 or labels.shape != images.shape[:1] or len(labels) == 0:
        raise TrainingError(
            f"{name}: images are {tuple(images.shape)} and labels {tuple(labels.shape)}; "
            "give n x channels x height x width and n, with n at least 1"
        )
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise TrainingError(
            f"{name}: images are {images.dtype}; give uint8 (0 to 255) or floats (0 to 1)"
        )
    if images.is_floating_point() and not images.sum().isfinite():  # a sum may be too large, too
        wrong = (~images.isfinite()).flatten(1).any(1)
        if wrong.any():
            first = wrong.nonzero()[0].item()
            raise TrainingError(
                f"{name}: {wrong.sum().item()} of {len(images)} images have pixels that are not "
                f"finite, the first is number {first}: leave them out or repair them"
            )


def check_logits(logits: Any, images: Tensor) -> None:
    """Raise a `TrainingError` unless a model's output is a row of scores for each image."""
    if not isinstance(logits, Tensor):
        raise TrainingError(
            f"the model's output is a {type(logits).__name__}: give a model whose output is the "
            "logits alone, or wrap it in one (torchvision's googlenet: aux_logits=False)"
        )
    if logits.ndim != 2 or len(logits) != len(images):
        raise TrainingError(
            f"the model's output for images {tuple(images.shape)} is {tuple(logits.shape)}: "
            "give a model whose output is images x classes"
        )


def check_classes(name: str, logits: Tensor, labels: Tensor) -> None:
    """Raise a `TrainingError` unless the logits have a column for each label."""
    if labels.max() >= logits.shape[1]:
        raise TrainingError(
            f"{name}: a label is {labels.max().item()}, but the model has {logits.shape[1]} "
            f"classes (0 to {logits.shape[1] - 1}): give it more, or number the labels from 0"
        )
