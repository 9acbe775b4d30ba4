"""The one epoch loop: early stopping, divergence, resume, progress and history, for any task."""

import contextlib
import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from labutils.config import FitConfig
from labutils.training.checkpoints import Checkpoint
from labutils.training.execution import Execution, memory_reused
from labutils.training.history import History
from labutils.training.optimizers import learning_rate_at, make_optimizer, set_learning_rate

OnEpoch = Callable[[int, Mapping[str, float]], None]


class Task(Protocol):
    """What the loop trains: a model with its examples, its loss and its measures.

    Attributes:
        model: on the device of `execution`, in its memory format.
        history: what is measured is appended to it.
        examples: how many are seen in an epoch.
        data: the tensors that are trained and validated on; a checkpoint belongs to them.
    """

    config: FitConfig
    model: nn.Module
    execution: Execution
    history: History
    examples: int
    data: Sequence[Tensor]

    def start_epoch(self, epoch: int, generator: torch.Generator) -> Tensor:
        """The order of an epoch's examples, as indices; `epoch` is from 0.

        What is drawn from `generator` and from PyTorch's own (dropout) until the epoch ends is the
        same in a resumed run. The model is in train mode.
        """

    def loss(self, indices: Tensor) -> Tensor:
        """The loss of a batch of examples, to be differentiated."""

    def measure(self) -> dict[str, float]:
        """`train_loss`, `val_loss` and more for the history; the progress bar shows the last."""

    def measure_layers(self) -> None:
        """Append to the history what layers do: called before training and after each epoch."""


@memory_reused()
def run_epochs(
    task: Task,
    *,
    checkpoint: Path | str | None = None,
    on_epoch: OnEpoch | None = None,
    progress: bool = True,
) -> History:
    """Train the model of a task in place, as `fit` says, whose arguments these are.

    Raises:
        TrainingError: the checkpoint is that of another run.
        Unwritable: it cannot be written.
    """
    return _Loop(task, checkpoint).run(on_epoch, progress)


class _Loop:
    """State of one training: what a checkpoint holds."""

    def __init__(self, task: Task, checkpoint: Path | str | None) -> None:
        self.task, self.config, self.checkpoint = task, task.config, None
        if checkpoint is not None:
            self.checkpoint = Checkpoint(checkpoint, task.config, task.model, task.data)
        self.optimizer = make_optimizer(task.model, task.config)
        self.steps = math.ceil(task.examples / task.config.batch_size)
        self.kept = copy.deepcopy(task.model.state_dict())

    def run(self, on_epoch: OnEpoch | None, progress: bool) -> History:
        if not self._restore():
            self.task.measure_layers()
        task, config, history = self.task, self.config, self.task.history
        total, done = config.epochs * self.steps, history.epochs * self.steps
        style = {"desc": config.label, "unit": "batch", "dynamic_ncols": True}
        with tqdm(total=total, initial=done, disable=not progress, **style) as bar:
            while history.status == "running":
                started = time.perf_counter()
                finite = self._train_epoch(bar)
                measured = self._measure_epoch(started, bar)
                self._judge_epoch(finite)
                if self.checkpoint:
                    self._save()
                if on_epoch:
                    on_epoch(history.epochs, measured)
        if history.best_epoch != history.epochs:
            task.model.load_state_dict(self.kept)
        if history.status == "diverged":
            tqdm.write(
                f"{config.label}: the loss is not finite in epoch {history.epochs}. The run ends as"
                f" diverged with the weights of epoch {history.best_epoch}; a lower learning rate "
                "or normalisation may help."
            )
        task.model.eval()
        return history

    def _train_epoch(self, bar: tqdm) -> bool:
        """One pass over the examples; tells whether every loss was finite."""
        task, config, epoch = self.task, self.config, self.task.history.epochs
        device, total = task.execution.device, config.epochs * self.steps
        task.model.train()
        losses = torch.zeros((), device=device)
        with _epoch_randomness(config.seed, epoch, device) as generator:
            order = task.start_epoch(epoch, generator)
            for step, indices in enumerate(order.split(config.batch_size)):
                bar.update()
                if len(indices) == 1 and self.steps > 1 and config.batch_size > 1:
                    continue  # batch norm has no statistics of a single image
                rate = learning_rate_at(config, epoch * self.steps + step, total)
                set_learning_rate(self.optimizer, rate)
                self.optimizer.zero_grad()
                loss = task.loss(indices)
                loss.backward()
                self.optimizer.step()
                losses += loss.detach()
        return bool(losses.isfinite())

    def _measure_epoch(self, started: float, bar: tqdm) -> dict[str, float]:
        task, history = self.task, self.task.history
        measured = task.measure()
        name, value = list(measured.items())[-1]
        bar.set_postfix({name: f"{value:.4f}"})
        measured["learning_rate"] = self.optimizer.param_groups[0]["lr"]
        for name, value in measured.items():
            getattr(history, name).append(value)
        task.measure_layers()
        history.seconds.append(time.perf_counter() - started)
        return measured

    def _judge_epoch(self, finite: bool) -> None:
        """Whether to go on, and which weights to keep."""
        history, patience = self.task.history, self.config.patience
        val_loss = history.val_loss[-1]
        if not (finite and math.isfinite(history.train_loss[-1]) and math.isfinite(val_loss)):
            history.status = "diverged"
            return
        best = history.val_loss[history.best_epoch - 1] if history.best_epoch else math.inf
        if patience is None or val_loss < best:
            history.best_epoch = history.epochs
            self.kept = copy.deepcopy(self.task.model.state_dict())
        if patience is not None and history.epochs - history.best_epoch >= patience:
            history.status = "stopped_early"
        elif history.epochs == self.config.epochs:
            history.status = "finished"

    def _save(self) -> None:
        self.checkpoint.save(
            model=self.task.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            history=self.task.history.to_dict(),
            kept=self.kept,
        )

    def _restore(self) -> bool:
        """Go on from the checkpoint; tells whether there was one."""
        task = self.task
        state = self.checkpoint and self.checkpoint.load(task.execution.device)
        if state:
            task.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.kept, task.history = state["kept"], type(task.history)(**state["history"])
        return bool(state)


@contextlib.contextmanager
def _epoch_randomness(seed: int, epoch: int, device: torch.device) -> Iterator[torch.Generator]:
    """A generator for order and augmentation, and the global one (dropout), both of this epoch.

    Drawn from seed and epoch alone, a resumed run needs no stored generator.
    """
    drawn = seed * 1_000_003 + epoch
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(drawn)
        yield torch.Generator().manual_seed(drawn)
