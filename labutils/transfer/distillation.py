"""Distillation: a small network learns the probabilities of a large one beside the labels."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from labutils import data
from labutils.config.classifier import RunConfig
from labutils.config.transfer import DistillConfig
from labutils.models.networks import Classifier
from labutils.runs.load import default_store
from labutils.runs.store import Store
from labutils.training.classifiers import Classification, labelled, train_and_test, untrained
from labutils.training.history import Outcome
from labutils.training.inputs import TrainingError


def distill(config: DistillConfig, *, store: Store | None = None, **options: Any) -> Outcome:
    """The recipe of a student: load its teacher, train by both, and test once at the end.

    Without a teacher it is the training of a `RunConfig`.

    Args:
        store: where the teacher is looked up; by default that of the profile.
        options: those of `run_epochs`.

    Raises:
        MissingRuns: the teacher is not stored.
        RunError: it keeps no weights.
        TrainingError: it has learned other classes, or looks at images of another shape.
    """
    images = data.load(config.data)
    given = untrained(config, images), *labelled(images), config
    if config.teacher:
        task = Distillation(*given, _teacher(config, store or default_store()))
    else:
        task = Classification(*given)
    return train_and_test(task, images.test, **options)


class Distillation(Classification):
    """Training of a student, whose teacher sees the same augmented images in eval mode."""

    def __init__(
        self,
        student: Classifier,
        train: tuple[Tensor, Tensor],
        val: tuple[Tensor, Tensor],
        config: DistillConfig,
        teacher: Classifier,
    ) -> None:
        super().__init__(student, train, val, config)
        device, layout = self.execution.device, self.execution.memory_format
        self.teacher = teacher.to(device, memory_format=layout).eval()

    def loss(self, indices: Tensor) -> Tensor:
        """The mean `distillation_loss` of a batch."""
        images, labels = self.batch(indices)
        with torch.no_grad(), self.execution.autocast():
            teacher_logits = self.teacher(images).float()
        config = self.config
        return distillation_loss(
            self.logits(images),
            teacher_logits,
            labels,
            temperature=config.temperature,
            soft_weight=config.soft_weight,
            label_smoothing=config.label_smoothing,
        )


def distillation_loss(
    logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    labels: Int64[Tensor, " batch"],
    *,
    temperature: float,
    soft_weight: float,
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """(1 - w) x cross-entropy with the labels + w x T^2 x KL(teacher || student), batch means.

    The divergence is that of the probabilities of logits / T. Its gradient shrinks as 1 / T^2;
    the factor T^2 keeps its share of the loss when T changes. With w = 0 this is the
    cross-entropy alone.

    Source: Hinton, Vinyals and Dean 2015, section 2; the divergence differs from their
    cross-entropy with soft targets by the teacher's entropy, which has no gradient.

    Args:
        temperature: T, above 0.
        soft_weight: w, from 0 to 1.
        label_smoothing: of the labels' part alone.
    """
    hard = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    if soft_weight == 0:
        return hard
    student, teacher = ((part / temperature).log_softmax(1) for part in (logits, teacher_logits))
    soft = F.kl_div(student, teacher, reduction="batchmean", log_target=True)
    return (1 - soft_weight) * hard + soft_weight * temperature**2 * soft


def _teacher(config: DistillConfig, store: Store) -> Classifier:
    """The stored network that `config` names, if it tells the same classes apart."""
    run = store.load_id(config.teacher)
    if not isinstance(run.config, RunConfig) or run.config.data != config.data:
        raise TrainingError(
            f"teacher {config.teacher} is {run.config.label}, but its student learns "
            f"{config.data}: give the id of a classifier of that data set"
        )
    return run.model()
