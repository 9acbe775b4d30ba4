"""48 trainings of small networks: one after the other with all threads, and as a sweep."""

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.timing import compare
from labutils.config.classifier import RunConfig
from labutils.runs.load import load_or_train
from labutils.runs.store import Store
from labutils.runs.sweep import run_sweep
from labutils.training.classifiers import train

RUNS = 48
CONFIG = RunConfig(data="digits", depth=10, epochs=5)


def main() -> None:
    configs = [replace(CONFIG, seed=seed) for seed in range(RUNS)]

    def in_turn(store: Store) -> None:
        for config in configs:
            load_or_train(config, store=store, progress=False)

    def side_by_side(store: Store) -> None:
        run_sweep(configs, train, store=store, progress=False)

    def anew(way: partial) -> None:
        with tempfile.TemporaryDirectory() as folder:
            way(Store(Path(folder) / "runs", Path(folder) / "unfinished"))

    question = f"MLPs of depth {CONFIG.depth}, {RUNS} in turn with all threads / in a sweep"
    compare("sweep", question, partial(anew, in_turn), partial(anew, side_by_side), pairs=3)


if __name__ == "__main__":
    main()
