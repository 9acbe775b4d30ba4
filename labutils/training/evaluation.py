"""How a network is computed (device, memory layout, precision), and how it is scored."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

from labutils.models.modes import eval_mode
from labutils.training.execution import Execution, execution_for

EVALUATION_BATCH = 1_000


class TrainingError(ValueError):
    """Something given to `fit` or `evaluate` cannot be trained on; the message says what to do."""


class Evaluation(NamedTuple):
    """Mean cross-entropy, and the share of correct answers in [0, 1]."""

    loss: float
    accuracy: float


@torch.no_grad()
def evaluate(
    model: nn.Module,
    images: Shaped[Tensor, "n channels height width"],
    labels: Int64[Tensor, " n"],
    *,
    execution: Execution | None = None,
    batch_size: int = EVALUATION_BATCH,
) -> Evaluation:
    """Mean cross-entropy and accuracy in eval mode; each module's mode is restored.

    Raises:
        TrainingError: sizes or types do not fit, or the model has too few classes.
    """
    check_split("evaluate", images, labels)
    execution = execution or execution_for(model, device=next(model.parameters()).device)
    loss, correct = 0.0, 0
    with eval_mode(model):
        for start in range(0, len(labels), batch_size):
            batch = execution.place(images[start : start + batch_size])
            target = labels[start : start + batch_size].to(execution.device)
            with execution.autocast():
                logits = model(batch)
            if start == 0:
                check_classes("evaluate", logits, labels)
            loss += F.cross_entropy(logits.float(), target, reduction="sum").item()
            correct += (logits.argmax(1) == target).sum().item()
    return Evaluation(loss / len(labels), correct / len(labels))


@torch.no_grad()
def predict(
    model: nn.Module,
    images: Shaped[Tensor, "n channels height width"],
    execution: Execution | None = None,
    batch_size: int = EVALUATION_BATCH,
) -> Float[Tensor, "n classes *map"]:
    """Probability of each class for each image, or each cell of its map, on the CPU.

    In eval mode; modes are restored.
    """
    execution = execution or execution_for(model, device=next(model.parameters()).device)
    parts = []
    with eval_mode(model), execution.autocast():
        for batch in images.split(batch_size):
            parts.append(model(execution.place(batch)).float().softmax(1).cpu())
    return torch.cat(parts)


def check_split(name: str, images: Tensor, labels: Tensor) -> None:
    """Raise a `TrainingError` unless images and labels fit one another."""
    if images.ndim != 4 or labels.shape != images.shape[:1] or len(labels) == 0:
        raise TrainingError(
            f"{name}: images are {tuple(images.shape)} and labels {tuple(labels.shape)}; "
            "give n x channels x height x width and n, with n at least 1"
        )
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise TrainingError(
            f"{name}: images are {images.dtype}; give uint8 (0 to 255) or floats (0 to 1)"
        )
    if labels.dtype != torch.int64 or labels.min() < 0:
        raise TrainingError(
            f"{name}: labels are {labels.dtype}, the smallest {labels.min().item()}; "
            "give class indices, int64 from 0"
        )


def check_classes(name: str, logits: Tensor, labels: Tensor) -> None:
    """Raise a `TrainingError` unless the logits have a column for each label."""
    if logits.ndim != 2:
        raise TrainingError(
            f"{name}: the model's output is {tuple(logits.shape)}; give a model whose output is "
            "images x classes"
        )
    if labels.max() >= logits.shape[1]:
        raise TrainingError(
            f"{name}: a label is {labels.max().item()}, but the model has {logits.shape[1]} "
            f"classes (0 to {logits.shape[1] - 1}): give it more, or number the labels from 0"
        )
