"""What it brings to keep freed memory for the next tensors, in training and in evaluation."""

import copy

from benchmarks.epoch import NETWORKS, setting
from benchmarks.timing import compare
from labutils.training import evaluate, execution, fit
from labutils.training.execution import execution_for

COUNTS = {"small-cnn": 20_000, "resnet20": 5_000, "resnet18": 2_000}  # training images
PAIRS = 5


def compare_memory(name: str) -> None:
    """Time an epoch and an evaluation of a network in both ways."""
    title, config, *_ = NETWORKS[name]
    title = title.split(",")[0]
    parts, how, start = setting(config, COUNTS[name])
    bf16 = execution_for(start, how.precision)

    def train() -> None:
        fit(copy.deepcopy(start), *parts, how, progress=False)

    def score() -> None:
        evaluate(start, *parts[0], execution=bf16)

    for what, task in (("Epoch", train), ("Evaluation", score)):

        def handed_back(task=task) -> None:
            execution._Memory.reused = True  # as if it were already: nothing is set
            try:
                task()
            finally:
                execution._Memory.reused = False

        question = f"{what} of a {title}, freed memory handed back / kept for the next tensors"
        compare(f"memory-{what.lower()}-{name}", question, handed_back, task, PAIRS)


def main() -> None:
    for name in COUNTS:
        compare_memory(name)


if __name__ == "__main__":
    main()
