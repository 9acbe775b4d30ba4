"""Mistakes by superclass: which classes a network knows, and how far its mistakes go."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor

from labutils import data
from labutils.runs.load import measure, ready
from labutils.runs.store import Run
from labutils.training.evaluation import predict

# of CIFAR-100, in the order of its coarse labels (Krizhevsky 2009)
SUPERCLASSES = (
    "aquatic mammals", "fish", "flowers", "food containers", "fruit and vegetables",
    "household electrical devices", "household furniture", "insects", "large carnivores",
    "large man-made outdoor things", "large natural outdoor scenes",
    "large omnivores and herbivores", "medium-sized mammals", "non-insect invertebrates", "people",
    "reptiles", "small mammals", "trees", "vehicles 1", "vehicles 2",
)  # fmt: skip


@measure("superclasses", lambda run: {})
def superclass_predictions(run: Run) -> dict[str, Any]:
    """Test accuracy of a stored network by class, and its confusion matrix by superclass.

    In a set without superclasses each class is its own.

    Returns:
        `accuracy`, `top5_accuracy`, `superclass_accuracy`: shares of the test images, in [0, 1],
        of which the class, one of five classes, or the superclass is right. The superclass that
        is predicted is that of the class that is predicted.
        `class_names`, `class_accuracy`: of each class.
        `superclass_names`, `superclass_of`: the number of each class's superclass.
        `confusion`: a row a true superclass, a column a predicted one, in images.

    Raises:
        RunError: the run keeps no weights.
    """
    images, (model, execution) = data.load(run.config.data), ready(run)
    test, classes = images.test, len(images.class_names)
    top = predict(model, test.images, execution).topk(5).indices
    right = top == test.labels[:, None]
    superclass_of = superclasses_of(test, classes)
    predicted, true = superclass_of[top[:, 0]], superclass_of[test.labels]
    names = images.class_names if test.coarse_labels is None else SUPERCLASSES
    by_class = test.labels.bincount(right[:, 0].double(), minlength=classes)
    return {
        "accuracy": right[:, 0].double().mean().item(),
        "top5_accuracy": right.any(1).double().mean().item(),
        "superclass_accuracy": (predicted == true).double().mean().item(),
        "class_names": list(images.class_names),
        "class_accuracy": (by_class / test.labels.bincount(minlength=classes)).tolist(),
        "superclass_names": list(names),
        "superclass_of": superclass_of.tolist(),
        "confusion": confusion_matrix(true, predicted, labels=range(len(names))).tolist(),
    }


def superclasses_of(split: data.Split, classes: int) -> Tensor:
    """The number of each class's superclass, in a set without any its own number."""
    own = torch.arange(classes)
    if split.coarse_labels is not None:
        own[split.labels] = split.coarse_labels
    return own
