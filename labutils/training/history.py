"""What is measured through a training (History), and what it returns (Outcome)."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from torch import nn


@dataclass
class History:
    """What was measured through a training, a list a quantity.

    Attributes:
        train_loss, train_accuracy: after each epoch, on fixed training examples that are not
            augmented, in eval mode.
        val_loss, val_accuracy: after each epoch, on the whole validation split.
        learning_rate: of each epoch's last step.
        seconds: of each epoch, its evaluation included.
        layer_names: the layers that `layers` is about, in the order of the forward pass.
        layers: for each quantity of `statistics.layer_statistics`, one list a layer for each
            epoch, that before training (epoch 0) included.
        first_gradient: the gradient of the first layer's weight on the images of `layers`, nested
            lists in the shape of the weight, by epoch (as text), for `config.gradient_epochs`.
        not_measured: what of `layers` could not be measured, and why.
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
    not_measured: list[str] = field(default_factory=list)
    status: str = "running"
    best_epoch: int = 0

    def add_layers(self, names: list[str], values: dict, not_measured: list[str]) -> None:
        """Append layer statistics of one epoch; what is not there for a layer becomes nan."""
        self.layer_names = self.layer_names or names
        for quantity in values if self.layer_names else ():
            row = dict(zip(names, values[quantity], strict=True))
            whole = [row.get(name, math.nan) for name in self.layer_names]
            self.layers.setdefault(quantity, []).append(whole)
        self.not_measured += [line for line in not_measured if line not in self.not_measured]

    @property
    def epochs(self) -> int:
        """Epochs run so far."""
        return len(self.val_loss)

    def to_dict(self) -> dict[str, Any]:
        """A copy as plain lists, for JSON, without the quantities that were not measured."""
        return {name: value for name, value in asdict(self).items() if value not in ([], {})}


class Outcome(NamedTuple):
    """What a training returns: the trained model, its history and its metrics."""

    model: nn.Module
    history: dict[str, Any]
    metrics: dict[str, Any]
