"""Times two ways of doing one thing in turn, and keeps the ratio of each pair."""

from __future__ import annotations

import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from labutils.training.execution import software_and_hardware

RESULTS = Path(__file__).parent / "results"


def compare(
    name: str,
    question: str,
    slow: Callable[[], object],
    fast: Callable[[], object],
    pairs: int = 7,
    beside: Mapping[str, object] | None = None,
) -> None:
    """Run `slow` and `fast` in turn, slow / fast a pair, and write benchmarks/results/NAME.json.

    A machine that is busy slows both halves of a pair: the ratio holds where seconds would not.
    One pair first is not counted. What `beside` holds in the end is written as well.
    """
    ratios, seconds = [], {"slow": [], "fast": []}
    for number in range(pairs + 1):
        taken = {}
        for key, function in (("slow", slow), ("fast", fast)):
            started = time.perf_counter()
            function()
            taken[key] = time.perf_counter() - started
        if number:
            ratios.append(taken["slow"] / taken["fast"])
            for key, value in taken.items():
                seconds[key].append(value)
    medians = {key: statistics.median(values) for key, values in seconds.items()}
    keep(name, question, ratios, median_seconds=medians, **(beside or {}))


def own_process() -> ProcessPoolExecutor:
    """A process for one side of a pair, so that the memory of the other does not serve it."""
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def keep(name: str, question: str, ratios: Sequence[float], **beside: object) -> None:
    """Write benchmarks/results/NAME.json: the ratios of some pairs, and what is said beside."""
    result = {
        "question": question,
        "ratio": {
            "min": min(ratios),
            "median": statistics.median(ratios),
            "max": max(ratios),
            "pairs": len(ratios),
        },
        **beside,
        **software_and_hardware(torch.device("cpu")),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    ratio = result["ratio"]
    print(f"{question}: {ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})")
