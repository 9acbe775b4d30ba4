"""How a network is scored: loss and accuracy, and its predictions."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from numpy.typing import ArrayLike
from torch import Tensor, nn

from labutils.models.modes import eval_mode
from labutils.training.execution import (
    Execution,
    device_of,
    execution_for,
    full_precision,
    memory_reused,
)
from labutils.training.inputs import as_split, check_classes, check_logits

EVALUATION_BATCH = 250  # the maps of more images leave the cache of a processor
LARGEST_PASS = 512 * 3 * 64 * 64  # numbers in the images of one pass: what fits a laptop's memory


class Evaluation(NamedTuple):
    """Mean cross-entropy, and the share of correct answers in [0, 1]."""

    loss: float
    accuracy: float

    def named(self, part: str) -> dict[str, float]:
        """As a history has them, for example `val_loss` and `val_accuracy`."""
        return {f"{part}_{name}": value for name, value in self._asdict().items()}


def fitting(count: int, images: Tensor) -> int:
    """At most so many images for one pass through a network: fewer, where they are large."""
    return min(count, max(1, LARGEST_PASS // images[0].numel()))


@torch.no_grad()
def runnable(model: nn.Module, execution: Execution, images: Tensor) -> Execution:
    """The execution, in PyTorch's default memory format where the network needs that.

    A network that flattens by `view`, for example, cannot take channels-last images.
    """
    if execution.takes_bytes or execution.memory_format is torch.contiguous_format:
        return execution  # the networks of `models` take them
    try:
        with eval_mode(model), execution.autocast():
            model(execution.place(images[:1]))
    except RuntimeError:
        model.to(memory_format=torch.contiguous_format)
        return execution._replace(memory_format=torch.contiguous_format)
    return execution


@memory_reused()
@torch.no_grad()
def evaluate(
    model: nn.Module,
    images: ArrayLike,
    labels: ArrayLike,
    *,
    execution: Execution | None = None,
    batch_size: int = EVALUATION_BATCH,
) -> Evaluation:
    """Mean cross-entropy and accuracy in eval mode; each module's mode is restored.

    Args:
        images, labels: as `fit` takes them.

    Raises:
        TrainingError: sizes or types do not fit, or the model has too few classes.
    """
    images, labels = as_split("evaluate", (images, labels))
    execution = execution or runnable(model, execution_for(model, device=device_of(model)), images)
    batch_size = fitting(batch_size, images)
    loss, correct = 0.0, 0
    with eval_mode(model):
        for start in range(0, len(labels), batch_size):
            batch = execution.place(images[start : start + batch_size])
            target = labels[start : start + batch_size].to(execution.device)
            with execution.autocast():
                logits = model(batch)
            check_logits(logits, batch)
            if start == 0:
                check_classes("evaluate", logits, labels)
            loss += F.cross_entropy(full_precision(logits), target, reduction="sum").item()
            correct += (logits.argmax(1) == target).sum().item()
    return Evaluation(loss / len(labels), correct / len(labels))


@memory_reused()
@torch.no_grad()
def predict(
    model: nn.Module,
    images: Shaped[Tensor, "n channels height width"],
    execution: Execution | None = None,
    batch_size: int = EVALUATION_BATCH,
) -> Float[Tensor, "n classes *map"]:
    """Probability of each class for each image or cell of its map, on the CPU, in eval mode."""
    execution = execution or runnable(model, execution_for(model, device=device_of(model)), images)
    parts = []
    with eval_mode(model), execution.autocast():
        for batch in images.split(batch_size):
            parts.append(model(execution.place(batch)).float().softmax(1).cpu())
    return torch.cat(parts)
