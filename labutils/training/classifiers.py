"""Training of classifiers: fit on one's own tensors, train from a configuration."""

import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.utils.data import Dataset

from labutils import data
from labutils.config.classifier import RunConfig
from labutils.config.fit import FitConfig
from labutils.data.augmentation import training_batches
from labutils.models.modes import eval_mode
from labutils.models.networks import Classifier, build_model, fit_to_images
from labutils.training.evaluation import evaluate, fitting, runnable
from labutils.training.execution import execution_for, full_precision
from labutils.training.history import History, Outcome
from labutils.training.inputs import TrainingError, as_split, check_classes, check_logits
from labutils.training.loop import OnEpoch, Task, run_epochs
from labutils.training.statistics import LayerStatistics, layer_statistics, weight_gradient

Labelled = tuple[ArrayLike, ArrayLike] | Dataset  # images and class indices

TRAIN_LOSS_IMAGES = 5_000  # fixed and not augmented: see the report's protocol
STATISTICS_IMAGES = 512
FITTED_IMAGES = 5_000  # that whitening and LSUV see


def fit(
    model: nn.Module,
    train: Labelled,
    val: Labelled,
    config: FitConfig,
    *,
    device: torch.device | str | None = None,
    checkpoint: Path | str | None = None,
    on_epoch: OnEpoch | None = None,
    progress: bool = True,
) -> History:
    """Train `model` in place on tensors in memory; it ends in eval mode.

    With `config.patience` the weights of the lowest validation loss are restored at the end;
    otherwise the last stay. A loss that is not finite ends the run with status `diverged` and
    the weights that were kept until then: of the last finite epoch, or the best with `patience`.

    Args:
        train, val: images (n x channels x height x width, uint8, or floats where nothing is
            augmented) and class indices, as tensors, arrays or lists, or as a data set of such
            pairs. A network without `Normalize` gets uint8 images as floats from 0 to 1.
        checkpoint: file written after each epoch and read at the start where it is there: a run
            that was killed goes on to the same numbers as an unbroken one on the same machine.
        on_epoch: called after each epoch with its number, from 1, and its scalars.

    Raises:
        TrainingError: sizes or types do not fit, or the checkpoint belongs to another run.
    """
    task = Classification(model, train, val, config, device)
    return run_epochs(task, checkpoint=checkpoint, on_epoch=on_epoch, progress=progress)


class Classification(Task):
    """Training of a classifier by cross-entropy; arguments and errors are those of `fit`.

    A subclass with another `loss` trains otherwise, and is measured in the same way.
    """

    def __init__(
        self,
        model: nn.Module,
        train: Labelled,
        val: Labelled,
        config: FitConfig,
        device: torch.device | str | None = None,
    ) -> None:
        train, val = as_split("train", train), as_split("val", val)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise TrainingError("the model has nothing to train: set requires_grad of some weights")
        augmented = config.flip or config.crop_padding or config.cutout
        if augmented and train[0].dtype != torch.uint8:
            raise TrainingError("augmentation needs uint8 images (0 to 255): convert them")
        if config.precision == "fp64":
            model.double()
        execution = execution_for(model, config.precision, device)
        place = execution.device
        self.model = model.to(place, memory_format=execution.memory_format)
        self.execution = runnable(model, execution, train[0])
        self.config, self.examples = config, len(train[1])
        self.train, self.val = ([tensor.to(place) for tensor in part] for part in (train, val))
        self.data, self.history = [*self.train, *self.val], History()
        self.cut = training_batches(self.train[0], config)
        for name, images, labels in (("train", *self.train), ("val", *self.val)):
            with torch.no_grad(), eval_mode(model):
                check_classes(name, self.logits(self.execution.place(images[:1])), labels)

    def start_epoch(self, epoch: int, generator: torch.Generator) -> Tensor:
        """A new order of the training images."""
        self.epoch, self.generator = epoch, generator
        return torch.randperm(self.examples, generator=generator)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images of the training split, augmented as the configuration says, and labels."""
        images = self.execution.place(self.cut(indices, self.generator, self.epoch))
        return images, self.train[1][indices.to(self.execution.device)]

    def logits(self, images: Tensor) -> Tensor:
        """The model's output, in fp32 whatever it was computed in, or in fp64."""
        try:
            with self.execution.autocast():
                logits = self.model(images)
        except ValueError as error:
            if len(images) > 1:
                raise
            raise TrainingError(  # batch norm has no statistics of a single number
                f"the model fails on a batch of one image ({error}): give a larger batch_size, or "
                "more images"
            ) from error
        check_logits(logits, images)
        return full_precision(logits)

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
        return train.named("train") | val.named("val")

    def measure_layers(self) -> None:
        """Layer statistics, and the first layer's gradient where it is asked for.

        Whatever fails there is a line in the history: measuring never stands in the way.
        """
        history = self.history
        if history.epochs and not history.layer_names:
            return  # it failed before training
        count = fitting(STATISTICS_IMAGES, self.train[0])
        images, labels = self.execution.place(self.train[0][:count]), self.train[1][:count]
        gradient = None
        try:
            found = layer_statistics(self.model, images, labels)
            if history.epochs in self.config.gradient_epochs:
                gradient = weight_gradient(self.model, images, labels)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            found = LayerStatistics([], dict.fromkeys(history.layers, []), [reason])
        history.add_layers(*found)
        if gradient is not None:
            history.first_gradient[str(history.epochs)] = gradient.tolist()


def train(config: RunConfig, **options: Any) -> Outcome:
    """The recipe of a classifier: load its data, build, fit, and test once at the end.

    Args:
        options: those of `run_epochs`.
    """
    images = data.load(config.data)
    task = Classification(untrained(config, images), *labelled(images), config)
    return train_and_test(task, images.test, **options)


def untrained(config: RunConfig, images: data.DataSet) -> Classifier:
    """The network that `config` describes as it is before training on `images`."""
    statistics = (images.mean, images.std)
    model = build_model(config, images.image_shape, len(images.class_names), statistics)
    fit_to_images(model, images.train.images[:FITTED_IMAGES], config.init)
    return model


def labelled(images: data.DataSet) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Images and labels of the training and of the validation split."""
    return tuple((part.images, part.labels) for part in (images.train, images.val))


def train_and_test(task: Classification, test: data.Split, **options: Any) -> Outcome:
    """Run all epochs of a task, and test its model once at the end; as `train` otherwise."""
    history = run_epochs(task, **options)
    val = evaluate(task.model, *task.val, execution=task.execution)
    started = time.perf_counter()
    tested = evaluate(task.model, test.images, test.labels, execution=task.execution)
    test_seconds = time.perf_counter() - started
    metrics = {
        "status": history.status,
        "epochs": history.epochs,
        "best_epoch": history.best_epoch,
        **val.named("val"),
        **tested.named("test"),
        "seconds": sum(history.seconds),
        "test_seconds": test_seconds,
        "parameters": sum(parameter.numel() for parameter in task.model.parameters()),
        **task.execution.record(),
    }
    return Outcome(task.model, history.to_dict(), metrics)
