"""Two small trainings: one after the other with two threads, and side by side with one each."""

import multiprocessing

import torch

from benchmarks.timing import compare
from labutils.config.classifier import RunConfig
from labutils.config.fit import FitConfig
from labutils.models.networks import build_model
from labutils.training.classifiers import fit

IMAGES = torch.randint(0, 256, (6000, 1, 28, 28), dtype=torch.uint8)
LABELS = torch.arange(6000) % 10
CONFIG = RunConfig(depth=10, epochs=3)


def one(threads: int) -> None:
    torch.set_num_threads(threads)
    model = build_model(CONFIG, (1, 28, 28), 10)
    held = (IMAGES[:100], LABELS[:100])
    fit(model, (IMAGES, LABELS), held, FitConfig(epochs=3), progress=False)


def main() -> None:
    def in_turn() -> None:
        one(2)
        one(2)

    with multiprocessing.get_context("spawn").Pool(2) as pool:
        question = "Two MLPs of depth 10, in turn with two threads / side by side with one"
        compare("sweep", question, in_turn, lambda: pool.map(one, [1, 1], chunksize=1))


if __name__ == "__main__":
    main()
