"""Training and evaluation of classifiers: fit, evaluate, History, early stopping, resume."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import time
import warnings
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
from labutils.config import FitConfig, RunConfig
from labutils.gradients import layer_statistics
from labutils.models import build_model, eval_mode, weight_layers

Images = Shaped[Tensor, "n channels height width"]
Labels = Int64[Tensor, " n"]
# sizes of their own: one name stands for one number throughout a call
ValImages = Shaped[Tensor, "n_val channels val_height val_width"]
ValLabels = Int64[Tensor, " n_val"]
OnEpoch = Callable[[int, Mapping[str, float]], None]

TRAIN_LOSS_IMAGES = 5_000  # fixed and not augmented: see the report's protocol
STATISTICS_IMAGES = 512
EVALUATION_BATCH = 1_000


class TrainingError(ValueError):
    """Something given to `fit` or `evaluate` cannot be trained on; the message says what to do."""


class Evaluation(NamedTuple):
    """Mean cross-entropy, and the share of correct answers in [0, 1]."""

    loss: float
    accuracy: float


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


class Execution(NamedTuple):
    """How a network is computed: chosen here and nowhere else."""

    device: torch.device
    memory_format: torch.memory_format
    bf16: bool

    def autocast(self) -> contextlib.AbstractContextManager:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    def place(self, images: Tensor) -> Tensor:
        return images.to(self.device).contiguous(memory_format=self.memory_format)


def default_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def execution_for(
    model: nn.Module, precision: str = "fp32", device: torch.device | None = None
) -> Execution:
    """Channels-last memory for networks with convolutions, autocast where bf16 is asked for.

    Together they train a ResNet-18 more than twice as fast as fp32 in PyTorch's default layout on
    a CPU with AVX-512-BF16; a network of small linear layers gains from neither.
    """
    convolutional = any(isinstance(module, nn.Conv2d) for module in model.modules())
    memory_format = torch.channels_last if convolutional else torch.contiguous_format
    return Execution(device or default_device(), memory_format, precision == "bf16")


@torch.no_grad()
def evaluate(
    model: nn.Module,
    images: Images,
    labels: Labels,
    *,
    execution: Execution | None = None,
    batch_size: int = EVALUATION_BATCH,
) -> Evaluation:
    """Mean cross-entropy and accuracy in eval mode; each module's mode is restored.

    Raises:
        TrainingError: sizes or types do not fit, or the model has too few classes.
    """
    _check_split("evaluate", images, labels)
    execution = execution or execution_for(model, device=next(model.parameters()).device)
    loss, correct = 0.0, 0
    with eval_mode(model):
        for start in range(0, len(labels), batch_size):
            batch = execution.place(images[start : start + batch_size])
            target = labels[start : start + batch_size].to(execution.device)
            with execution.autocast():
                logits = model(batch)
            if start == 0:
                _check_classes("evaluate", logits, labels)
            loss += F.cross_entropy(logits.float(), target, reduction="sum").item()
            correct += (logits.argmax(1) == target).sum().item()
    return Evaluation(loss / len(labels), correct / len(labels))


def learning_rate_at(config: FitConfig, step: int, total_steps: int) -> float:
    """Learning rate of one step, counted from 0: a pure function, so that resuming is exact.

    `one-cycle` is that of Smith and Topin (2018) as PyTorch's OneCycleLR draws it: from 1/25 of
    the highest rate up to it in the first 30 % of the steps, then down to a ten-thousandth of the
    first, both along a cosine.
    """
    highest = config.learning_rate
    if config.schedule == "constant":
        return highest
    if config.schedule == "cosine":
        return highest * 0.5 * (1 + math.cos(math.pi * step / total_steps))
    peak = 0.3 * total_steps - 1
    first, final = highest / 25, highest / 25 / 1e4
    if step <= peak:
        start, end, share = first, highest, step / peak
    else:
        start, end, share = highest, final, (step - peak) / max(total_steps - 1 - peak, 1e-9)
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


def make_optimizer(model: nn.Module, config: FitConfig) -> torch.optim.Optimizer:
    """The optimiser that `config` names, over all parameters; fused, which pays on a CPU too."""
    shared = {"lr": config.learning_rate, "weight_decay": config.weight_decay, "fused": True}
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            model.parameters(), momentum=config.momentum, nesterov=True, **shared
        )
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[config.optimizer](model.parameters(), **shared)


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
    _check_split("train", *train)
    _check_split("val", *val)
    if (config.flip or config.crop_padding or config.cutout) and train[0].dtype != torch.uint8:
        raise TrainingError("augmentation needs uint8 images (0 to 255): convert the training set")
    return _Fit(model, train, val, config, device, checkpoint).run(on_epoch, progress)


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
        if config.flip or config.crop_padding or config.cutout:
            self.batch = data.Augmenter(
                self.train[0],
                flip=config.flip,
                crop_padding=config.crop_padding,
                cutout=config.cutout,
            )
        else:
            self.batch = lambda indices, generator: self.train[0][indices.to(place)]

    def run(self, on_epoch: OnEpoch | None, progress: bool) -> History:
        self._check_output()
        if not self._restore():
            self._measure_layers()
        history, config = self.history, self.config
        total = config.epochs * self.steps
        with tqdm(
            total=total,
            initial=history.epochs * self.steps,
            desc=config.label,
            unit="batch",
            disable=not progress,
            dynamic_ncols=True,
        ) as bar:
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
            tqdm.write(
                f"{config.label}: the loss is not finite in epoch {history.epochs}. The run ends "
                f"as diverged with the weights of epoch {history.best_epoch}; a lower learning "
                "rate or normalisation may help."
            )
        self.model.eval()
        return history

    def _check_output(self) -> None:
        with torch.no_grad(), eval_mode(self.model), self.execution.autocast():
            logits = self.model(self.execution.place(self.train[0][:1]))
        _check_classes("train", logits, self.train[1])
        _check_classes("val", logits, self.val[1])

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
                self.optimizer.param_groups[0]["lr"] = rate
                losses += self._step(indices, generator)
        return bool(losses.isfinite())

    def _step(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        images = self.execution.place(self.batch(indices, generator))
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
        found = layer_statistics(self.model, self.execution.place(held[0]), held[1])
        for name, values in found.items():
            self.history.layers.setdefault(name, []).append(values)

    def _copy_weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def _scalars(self) -> dict[str, float]:
        names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate")
        return {name: getattr(self.history, name)[-1] for name in names}

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        part = self.checkpoint.with_suffix(f".part{os.getpid()}")
        state = {
            "config": self.config.to_dict(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "kept": self.kept,
            "history": self.history.to_dict(),
        }
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self.checkpoint)

    def _restore(self) -> bool:
        """Go on from the checkpoint, where there is one that can be read."""
        if self.checkpoint is None or not self.checkpoint.exists():
            return False
        try:
            state = torch.load(self.checkpoint, map_location=self.execution.device)
            owner, history = state["config"]["id"], History(**state["history"])
        except Exception as error:  # torch.load raises many kinds for a damaged file
            warnings.warn(
                f"{self.checkpoint} cannot be read ({error}): training starts from the beginning",
                stacklevel=4,
            )
            return False
        remedy = "delete it, or give this run a checkpoint file of its own"
        if owner != self.config.id:
            raise TrainingError(
                f"{self.checkpoint} belongs to another configuration ({owner}, not "
                f"{self.config.id}): {remedy}"
            )
        try:
            self.model.load_state_dict(state["model"])
        except RuntimeError as error:  # a FitConfig does not say which network it trains
            raise TrainingError(
                f"{self.checkpoint} belongs to another network: {remedy} ({error})"
            ) from error
        self.optimizer.load_state_dict(state["optimizer"])
        self.kept, self.history = state["kept"], history
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
        **surroundings(),
    }
    return Outcome(model, history.to_dict(), metrics)


def surroundings() -> dict[str, Any]:
    """Software and hardware that a measurement was made with."""
    cuda = torch.cuda.is_available()
    processor = torch.cuda.get_device_name() if cuda else torch.backends.cpu.get_cpu_capability()
    return {
        "software": {"python": platform.python_version(), "torch": torch.__version__},
        "hardware": {
            "device": default_device().type,
            "processor": processor,
            "threads": torch.get_num_threads(),
        },
    }


@contextlib.contextmanager
def _epoch_randomness(seed: int, epoch: int, device: torch.device) -> Iterator[torch.Generator]:
    """A generator for order and augmentation, and the global one (dropout), both of this epoch.

    Drawn from seed and epoch alone, a resumed run needs no stored generator.
    """
    drawn = seed * 1_000_003 + epoch
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(drawn)
        yield torch.Generator().manual_seed(drawn)


def _check_split(name: str, images: Tensor, labels: Tensor) -> None:
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


def _check_classes(name: str, logits: Tensor, labels: Tensor) -> None:
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
