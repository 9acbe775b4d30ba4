"""Training of classifiers: fit on one's own tensors, train from a configuration."""

from __future__ import annotations

import time
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Int64, Shaped
from torch import Tensor, nn

from labutils import data
from labutils.config.classifier import RunConfig
from labutils.config.fit import FitConfig
from labutils.data.augmentation import training_batches
from labutils.models.blocks import weight_layers
from labutils.models.modes import eval_mode
from labutils.models.networks import Classifier, build_model, whiten
from labutils.training.evaluation import TrainingError, check_classes, check_split, evaluate
from labutils.training.execution import execution_for, software_and_hardware
from labutils.training.history import History, Outcome
from labutils.training.loop import OnEpoch, Task, run_epochs
from labutils.training.statistics import layer_statistics, weight_gradient

Images = Shaped[Tensor, "n channels height width"]
Labels = Int64[Tensor, " n"]
# sizes of their own: one name stands for one number throughout a call
ValImages = Shaped[Tensor, "n_val channels val_height val_width"]
ValLabels = Int64[Tensor, " n_val"]

TRAIN_LOSS_IMAGES = 5_000  # fixed and not augmented: see the report's protocol
STATISTICS_IMAGES = 512
WHITENING_IMAGES = 5_000


def fit(
    model: nn.Module,
    train: tuple[Images, Labels],
    val: tuple[ValImages, ValLabels],
    config: FitConfig,
    *,
    device: torch.device | None = None,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    progress: bool = True,
) -> History:
    """Train `model` in place on tensors in memory; it ends in eval mode.

    With `config.patience` the weights of the lowest validation loss are restored at the end;
    otherwise the last stay. A loss that is not finite ends the run with status `diverged` and
    the weights that were kept until then: of the last finite epoch, or the best with `patience`.

    Args:
        train, val: images (uint8, or floats where nothing is augmented) and class indices.
        checkpoint: file written after each epoch and read at the start where it is there: a run
            that was killed goes on to the same numbers as an unbroken one on the same machine.
        on_epoch: called after each epoch with its number, from 1, and its scalars.

    Raises:
        TrainingError: sizes or types do not fit, or the checkpoint belongs to another run.
    """
    task = Classification(model, train, val, config, device)
    return run_epochs(task, checkpoint=checkpoint, on_epoch=on_epoch, progress=progress)


class Classification(Task):
    """Training of a classifier on tensors in memory, by cross-entropy.

    A subclass with another `loss` trains otherwise, and is measured in the same way.

    Args:
        train, val: images (uint8, or floats where nothing is augmented) and class indices.

    Raises:
        TrainingError: sizes or types do not fit.
    """

    def __init__(
        self,
        model: nn.Module,
        train: tuple[Tensor, Tensor],
        val: tuple[Tensor, Tensor],
        config: FitConfig,
        device: torch.device | None = None,
    ) -> None:
        check_split("train", *train)
        check_split("val", *val)
        augmented = config.flip or config.crop_padding or config.cutout
        if augmented and train[0].dtype != torch.uint8:
            raise TrainingError(
                "augmentation needs uint8 images (0 to 255): convert the training set"
            )
        self.config, self.examples = config, len(train[1])
        self.execution = execution_for(model, config.precision, device)
        place = self.execution.device
        self.model = model.to(place, memory_format=self.execution.memory_format)
        self.train, self.val = ([tensor.to(place) for tensor in part] for part in (train, val))
        self.history = History(layer_names=list(weight_layers(model)))
        self.cut = training_batches(self.train[0], config)
        self._check_output()

    def _check_output(self) -> None:
        with torch.no_grad(), eval_mode(self.model), self.execution.autocast():
            logits = self.model(self.execution.place(self.train[0][:1]))
        check_classes("train", logits, self.train[1])
        check_classes("val", logits, self.val[1])

    def start_epoch(self, epoch: int, generator: torch.Generator) -> Tensor:
        """A new order of the training images."""
        self.epoch, self.generator = epoch, generator
        return torch.randperm(self.examples, generator=generator)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images of the training split, augmented as the configuration says, and labels."""
        images = self.execution.place(self.cut(indices, self.generator, self.epoch))
        return images, self.train[1][indices.to(self.execution.device)]

    def logits(self, images: Tensor) -> Tensor:
        """The model's output, in fp32 whatever it was computed in."""
        with self.execution.autocast():
            return self.model(images).float()

    def loss(self, indices: Tensor) -> Tensor:
        """Mean cross-entropy of a batch."""
        images, labels = self.batch(indices)
        smoothing = self.config.label_smoothing
        return F.cross_entropy(self.logits(images), labels, label_smoothing=smoothing)

    def measure(self) -> dict[str, float]:
        """Loss and accuracy on the first 5,000 training images and on the validation split."""
        held = [tensor[:TRAIN_LOSS_IMAGES] for tensor in self.train]
        train = evaluate(self.model, *held, execution=self.execution)
        val = evaluate(self.model, *self.val, execution=self.execution)
        return {
            "train_loss": train.loss,
            "train_accuracy": train.accuracy,
            "val_loss": val.loss,
            "val_accuracy": val.accuracy,
        }

    def measure_layers(self) -> None:
        """Layer statistics, and the first layer's gradient where it is asked for."""
        held = [tensor[:STATISTICS_IMAGES] for tensor in self.train]
        held[0] = self.execution.place(held[0])
        for name, values in layer_statistics(self.model, *held).items():
            self.history.layers.setdefault(name, []).append(values)
        epoch = self.history.epochs
        if epoch in self.config.gradient_epochs:
            gradient = weight_gradient(self.model, *held)
            self.history.first_gradient[str(epoch)] = gradient.tolist()


def train(
    config: RunConfig,
    *,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    progress: bool = True,
) -> Outcome:
    """The recipe of a classifier: load its data, build, fit, and test once at the end."""
    images = data.load(config.data)
    task = Classification(untrained(config, images), *labelled(images), config)
    return train_and_test(
        task, images.test, checkpoint=checkpoint, on_epoch=on_epoch, progress=progress
    )


def untrained(config: RunConfig, images: data.DataSet) -> Classifier:
    """The network that `config` describes as it is before training on `images`."""
    statistics = (images.mean, images.std)
    model = build_model(config, images.image_shape, len(images.class_names), statistics)
    whiten(model, images.train.images[:WHITENING_IMAGES])
    return model


def labelled(images: data.DataSet) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Images and labels of the training and of the validation split."""
    train, val = ((part.images, part.labels) for part in (images.train, images.val))
    return train, val


def train_and_test(
    task: Classification,
    test: data.Split,
    *,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    progress: bool = True,
) -> Outcome:
    """Run all epochs of a task, and test its model once at the end."""
    history = run_epochs(task, checkpoint=checkpoint, on_epoch=on_epoch, progress=progress)
    val = evaluate(task.model, *task.val, execution=task.execution)
    started = time.perf_counter()
    tested = evaluate(task.model, test.images, test.labels, execution=task.execution)
    test_seconds = time.perf_counter() - started
    metrics = {
        "status": history.status,
        "epochs": history.epochs,
        "best_epoch": history.best_epoch,
        "val_loss": val.loss,
        "val_accuracy": val.accuracy,
        "test_loss": tested.loss,
        "test_accuracy": tested.accuracy,
        "seconds": sum(history.seconds),
        "test_seconds": test_seconds,
        "parameters": sum(parameter.numel() for parameter in task.model.parameters()),
        **software_and_hardware(),
    }
    return Outcome(task.model, history.to_dict(), metrics)
