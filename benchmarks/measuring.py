"""What an epoch of `fit` costs besides its training steps, and what of that is measuring.

`fit` also evaluates on 5,000 training images and takes the statistics of all layers. The latter
once before training, too; that is left out here, so that the ratio is that of a later epoch.
"""

import copy
import sys

import torch
from torch import Tensor

from benchmarks.epoch import NETWORKS, setting
from benchmarks.timing import compare
from labutils.training.classifiers import Classification
from labutils.training.evaluation import evaluate
from labutils.training.loop import run_epochs

# name: training images of an epoch, pairs
COUNTS = {"mlp": (54_000, 5), "small-cnn": (45_000, 3), "resnet20": (45_000, 3)}


class Measured(Classification):
    """As `fit` trains, without the statistics before the first epoch."""

    def measure_layers(self) -> None:
        if self.history.epochs:
            super().measure_layers()


class Validated(Classification):
    """Nothing is measured but the validation split."""

    def measure(self) -> dict[str, float]:
        val = evaluate(self.model, *self.val, execution=self.execution).named("val")
        return val | {name.replace("val", "train"): value for name, value in val.items()}

    def measure_layers(self) -> None:
        pass


class Steps(Validated):
    """The training steps alone: one batch again and again, and nothing is measured."""

    def start_epoch(self, epoch: int, generator: torch.Generator) -> Tensor:
        order = super().start_epoch(epoch, generator)
        self.first = super().batch(order[: self.config.batch_size])
        return order

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        return tuple(tensor[: len(indices)] for tensor in self.first)

    def measure(self) -> dict[str, float]:
        return dict.fromkeys(("train_loss", "train_accuracy", "val_loss", "val_accuracy"), 0.0)


def compare_measuring(name: str) -> None:
    """Time one epoch of a network with and without."""
    config, (count, pairs) = NETWORKS[name][1], COUNTS[name]
    parts, how, start = setting(config, count)

    def epoch(kind: type[Classification]) -> None:
        run_epochs(kind(copy.deepcopy(start), *parts, how), progress=False)

    question = f"Epoch of {config.model} {config.depth}: with / without what `fit` measures besides"
    compare(f"measuring-{name}", question, lambda: epoch(Measured), lambda: epoch(Validated), pairs)
    question = f"Epoch of {config.model} {config.depth}: `fit` / its training steps alone"
    compare(f"steps-{name}", question, lambda: epoch(Measured), lambda: epoch(Steps), pairs)


def main() -> None:
    for name in sys.argv[1:] or COUNTS:
        compare_measuring(name)


if __name__ == "__main__":
    main()
