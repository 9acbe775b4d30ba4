"""What measuring costs: an epoch of `fit`, and one that trains and validates and measures no more.

`fit` also evaluates on 5,000 training images and takes the statistics of all layers. The latter
once before training, too; that is left out here, so that the ratio is that of a later epoch.
"""

import copy
import sys

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


def compare_measuring(name: str) -> None:
    """Time one epoch of a network with and without."""
    config, (count, pairs) = NETWORKS[name][1], COUNTS[name]
    parts, how, start = setting(config, count)

    def epoch(kind: type[Classification]) -> None:
        run_epochs(kind(copy.deepcopy(start), *parts, how), progress=False)

    question = f"Epoch of {config.model} {config.depth}: with / without what `fit` measures besides"
    compare(f"measuring-{name}", question, lambda: epoch(Measured), lambda: epoch(Validated), pairs)


def main() -> None:
    for name in sys.argv[1:] or COUNTS:
        compare_measuring(name)


if __name__ == "__main__":
    main()
