"""What it brings to keep freed memory for the next tensors, in training and in evaluation."""

import copy
from collections.abc import Callable

from benchmarks.epoch import NETWORKS, setting
from benchmarks.timing import compare, own_process
from labutils.training import evaluate, execution, fit

COUNTS = {"small-cnn": 20_000, "resnet20": 5_000, "resnet18": 2_000}  # training images
PAIRS = 3


def epoch(name: str) -> None:
    """An epoch of `fit`."""
    parts, how, start = setting(NETWORKS[name][1], COUNTS[name])
    fit(copy.deepcopy(start), *parts, how, progress=False)


def evaluation(name: str) -> None:
    """Loss and accuracy on as many images, in the precision of `fit`."""
    parts, how, start = setting(NETWORKS[name][1], COUNTS[name])
    evaluate(start, *parts[0], execution=execution.execution_for(start, how.precision))


def hand_back() -> None:
    """From now on memory goes back to the system, as without `memory_reused`."""
    execution._Memory.reused = True  # as if another context kept it: nothing is set


def compare_memory(name: str, task: Callable[[str], None]) -> None:
    """Time the task of a network in both ways."""
    title = NETWORKS[name][0].split(",")[0]
    with own_process() as usual, own_process() as keeping:
        usual.submit(hand_back).result()
        compare(
            f"memory-{task.__name__}-{name}",
            f"{task.__name__.capitalize()} of a {title}, freed memory handed back / kept",
            lambda: usual.submit(task, name).result(),
            lambda: keeping.submit(task, name).result(),
            PAIRS,
        )


def main() -> None:
    for name in COUNTS:
        for task in (epoch, evaluation):
            compare_memory(name, task)


if __name__ == "__main__":
    main()
