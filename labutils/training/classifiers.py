"""Training and evaluation of classifiers: fit, evaluate, History, early stopping, resume."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Int64, Shaped
from torch import Tensor, nn
from tqdm import tqdm

from labutils import data
from labutils.config.classifier import RunConfig
from labutils.config.fit import FitConfig
from labutils.data.augmentation import training_batches
from labutils.models.blocks import weight_layers
from labutils.models.modes import eval_mode
from labutils.models.networks import build_model, whiten
from labutils.training.checkpoints import restore_checkpoint, save_checkpoint
from labutils.training.evaluation import TrainingError, check_classes, check_split, evaluate
from labutils.training.execution import execution_for
from labutils.training.optimizers import learning_rate_at, make_optimizer, set_learning_rate
from labutils.training.statistics import layer_statistics, weight_gradient

Images = Shaped[Tensor, "n channels height width"]
Labels = Int64[Tensor, " n"]
# sizes of their own: one name stands for one number throughout a call
ValImages = Shaped[Tensor, "n_val channels val_height val_width"]
ValLabels = Int64[Tensor, " n_val"]
OnEpoch = Callable[[int, Mapping[str, float]], None]

TRAIN_LOSS_IMAGES = 5_000  # fixed and not augmented: see the report's protocol
STATISTICS_IMAGES = 512
WHITENING_IMAGES = 5_000


@dataclass
class History:
    """What was measured through a training, a list a quantity.

    Attributes:
        train_loss, train_accuracy: after each epoch, on 5,000 fixed training images that are not
            augmented, in eval mode.
        val_loss, val_accuracy: after each epoch, on the whole validation split.
        learning_rate: of each epoch's last step.
        seconds: of each epoch, its evaluation included.
        layer_names: the layers that `depth` counts, first to last.
        layers: for each quantity of `gradients.layer_statistics`, one list a layer for each
            epoch, that before training (epoch 0) included.
        first_gradient: the gradient of the first layer's weight on the images of `layers`, nested
            lists in the shape of the weight, by epoch (as text), for `config.gradient_epochs`.
        status: `finished`, `stopped_early` or `diverged`; `running` until then.
        best_epoch: the epoch whose weights the model ends with, from 1; 0 is before training.
    """

    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    layer_names: list[str] = field(default_factory=list)
    layers: dict[str, list[list[float]]] = field(default_factory=dict)
    first_gradient: dict[str, Any] = field(default_factory=dict)
    status: str = "running"
    best_epoch: int = 0

    @property
    def epochs(self) -> int:
        """Epochs run so far."""
        return len(self.val_loss)

    def to_dict(self) -> dict[str, Any]:
        """A copy as plain lists, for JSON."""
        return asdict(self)


class Outcome(NamedTuple):
    """What a recipe returns: the trained model, its history and its metrics."""

    model: nn.Module
    history: dict[str, Any]
    metrics: dict[str, Any]


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
    check_split("train", *train)
    check_split("val", *val)
    if (config.flip or config.crop_padding or config.cutout) and train[0].dtype != torch.uint8:
        raise TrainingError("augmentation needs uint8 images (0 to 255): convert the training set")
    return _Fit(model, train, val, config, device, checkpoint).run(on_epoch, progress)


def batch_bar(config: FitConfig, steps: int, epochs_done: int, shown: bool) -> tqdm:
    """A progress bar over the batches of a whole training, `steps` an epoch."""
    return tqdm(
        total=config.epochs * steps,
        initial=epochs_done * steps,
        desc=config.label,
        unit="batch",
        disable=not shown,
        dynamic_ncols=True,
    )


def tell_divergence(config: FitConfig, epoch: int, kept: int) -> None:
    """Say that a training ends early, and which weights it ends with."""
    tqdm.write(
        f"{config.label}: the loss is not finite in epoch {epoch}. The run ends as diverged with "
        f"the weights of epoch {kept}; a lower learning rate or normalisation may help."
    )


class _Fit:
    """State of one training: what a checkpoint holds, and the tensors it works on."""

    def __init__(
        self,
        model: nn.Module,
        train: tuple[Tensor, Tensor],
        val: tuple[Tensor, Tensor],
        config: FitConfig,
        device: torch.device | None,
        checkpoint: Path | None,
    ) -> None:
        self.config, self.checkpoint = config, checkpoint
        self.execution = execution_for(model, config.precision, device)
        place = self.execution.device
        self.model = model.to(place, memory_format=self.execution.memory_format)
        self.train, self.val = ([tensor.to(place) for tensor in part] for part in (train, val))
        self.optimizer = make_optimizer(self.model, config)
        self.history = History(layer_names=list(weight_layers(model)))
        self.kept = self._copy_weights()
        self.steps = math.ceil(len(self.train[1]) / config.batch_size)
        self.batch = training_batches(self.train[0], config)

    def run(self, on_epoch: OnEpoch | None, progress: bool) -> History:
        self._check_output()
        if not self._restore():
            self._measure_layers()
        history, config = self.history, self.config
        with batch_bar(config, self.steps, history.epochs, progress) as bar:
            while history.status == "running":
                started = time.perf_counter()
                finite = self._train_epoch(bar)
                self._measure_epoch(started, finite)
                self._save()
                if on_epoch:
                    on_epoch(history.epochs, self._scalars())
                bar.set_postfix(val_accuracy=f"{history.val_accuracy[-1]:.4f}")
        if history.best_epoch != history.epochs:
            self.model.load_state_dict(self.kept)
        if history.status == "diverged":
            tell_divergence(config, history.epochs, history.best_epoch)
        self.model.eval()
        return history

    def _check_output(self) -> None:
        with torch.no_grad(), eval_mode(self.model), self.execution.autocast():
            logits = self.model(self.execution.place(self.train[0][:1]))
        check_classes("train", logits, self.train[1])
        check_classes("val", logits, self.val[1])

    def _train_epoch(self, bar: tqdm) -> bool:
        """One pass over the training split; tells whether every loss was finite."""
        config, device = self.config, self.execution.device
        epoch = self.history.epochs
        total = config.epochs * self.steps
        self.model.train()
        losses = torch.zeros((), device=device)
        with _epoch_randomness(config.seed, epoch, device) as generator:
            order = torch.randperm(len(self.train[1]), generator=generator)
            for step, indices in enumerate(order.split(config.batch_size)):
                bar.update()
                if len(indices) == 1 and self.steps > 1 and config.batch_size > 1:
                    continue  # batch norm has no statistics of a single image
                rate = learning_rate_at(config, epoch * self.steps + step, total)
                set_learning_rate(self.optimizer, rate)
                losses += self._step(self.batch(indices, generator, epoch), indices)
        return bool(losses.isfinite())

    def _step(self, images: Tensor, indices: Tensor) -> Tensor:
        images = self.execution.place(images)
        labels = self.train[1][indices.to(self.execution.device)]
        self.optimizer.zero_grad(set_to_none=True)
        with self.execution.autocast():
            logits = self.model(images)
        smoothing = self.config.label_smoothing
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def _measure_epoch(self, started: float, finite: bool) -> None:
        history, config = self.history, self.config
        held = [tensor[:TRAIN_LOSS_IMAGES] for tensor in self.train]
        train = evaluate(self.model, *held, execution=self.execution)
        val = evaluate(self.model, *self.val, execution=self.execution)
        self._measure_layers()
        history.train_loss.append(train.loss)
        history.train_accuracy.append(train.accuracy)
        history.val_loss.append(val.loss)
        history.val_accuracy.append(val.accuracy)
        history.learning_rate.append(self.optimizer.param_groups[0]["lr"])
        history.seconds.append(time.perf_counter() - started)
        if not (finite and math.isfinite(train.loss) and math.isfinite(val.loss)):
            history.status = "diverged"
            return
        best = history.val_loss[history.best_epoch - 1] if history.best_epoch else math.inf
        if config.patience is None or val.loss < best:
            history.best_epoch = history.epochs
            self.kept = self._copy_weights()
        waited = history.epochs - history.best_epoch
        if config.patience is not None and waited >= config.patience:
            history.status = "stopped_early"
        elif history.epochs == config.epochs:
            history.status = "finished"

    def _measure_layers(self) -> None:
        held = [tensor[:STATISTICS_IMAGES] for tensor in self.train]
        held[0] = self.execution.place(held[0])
        for name, values in layer_statistics(self.model, *held).items():
            self.history.layers.setdefault(name, []).append(values)
        epoch = len(self.history.layers["gradient_norm"]) - 1
        if epoch in self.config.gradient_epochs:
            gradient = weight_gradient(self.model, *held)
            self.history.first_gradient[str(epoch)] = gradient.tolist()

    def _copy_weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def _scalars(self) -> dict[str, float]:
        names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate")
        return {name: getattr(self.history, name)[-1] for name in names}

    def _save(self) -> None:
        if self.checkpoint is not None:
            save_checkpoint(
                self.checkpoint,
                self.config,
                self.model,
                self.optimizer,
                self.history.to_dict(),
                kept=self.kept,
            )

    def _restore(self) -> bool:
        """Go on from the checkpoint, where there is one that can be read."""
        if self.checkpoint is None:
            return False
        state = restore_checkpoint(
            self.checkpoint,
            self.config,
            self.model,
            self.optimizer,
            History,
            self.execution.device,
        )
        if state is None:
            return False
        self.kept, self.history = state["kept"], state["history"]
        return True


def train(
    config: RunConfig,
    *,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    progress: bool = True,
) -> Outcome:
    """The recipe of a classifier: load its data, build, fit, and test once at the end."""
    images = data.load(config.data)
    statistics = (images.mean, images.std)
    model = build_model(config, images.image_shape, len(images.class_names), statistics)
    whiten(model, images.train.images[:WHITENING_IMAGES])
    history = fit(
        model,
        (images.train.images, images.train.labels),
        (images.val.images, images.val.labels),
        config,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
        progress=progress,
    )
    execution = execution_for(model, config.precision)
    val = evaluate(model, images.val.images, images.val.labels, execution=execution)
    started = time.perf_counter()
    test = evaluate(model, images.test.images, images.test.labels, execution=execution)
    test_seconds = time.perf_counter() - started
    metrics = {
        "status": history.status,
        "epochs": history.epochs,
        "best_epoch": history.best_epoch,
        "val_loss": val.loss,
        "val_accuracy": val.accuracy,
        "test_loss": test.loss,
        "test_accuracy": test.accuracy,
        "seconds": sum(history.seconds),
        "test_seconds": test_seconds,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        **execution.record(),
    }
    return Outcome(model, history.to_dict(), metrics)


@contextlib.contextmanager
def _epoch_randomness(seed: int, epoch: int, device: torch.device) -> Iterator[torch.Generator]:
    """A generator for order and augmentation, and the global one (dropout), both of this epoch.

    Drawn from seed and epoch alone, a resumed run needs no stored generator.
    """
    drawn = seed * 1_000_003 + epoch
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(drawn)
        yield torch.Generator().manual_seed(drawn)
