"""How the time of an epoch and the memory of a training grow, and what more workers bring.

Each value is twice the one before. Memory is the peak of a process that trains nothing else, above
what it holds before it builds the network (Linux alone says so).
"""

import itertools
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from benchmarks.timing import RESULTS, compare
from labutils.config.classifier import RunConfig
from labutils.models.networks import build_model
from labutils.report.rendering import markdown
from labutils.runs.store import Store
from labutils.runs.sweep import run_sweep
from labutils.training import fit
from labutils.training.classifiers import train
from labutils.training.execution import software_and_hardware

FOUND = RESULTS.parent / "growth.json"  # beside the ratios
# network, the images of an epoch, depths
NETWORKS = {
    "MLP": (RunConfig(depth=12, width=128, epochs=1), 8_192, (6, 12, 24, 48, 96)),
    "ConvNet": (
        RunConfig(data="cifar10", model="convnet", depth=12, width=32, stem_stride=2, epochs=1),
        1_024,
        (6, 12, 24, 48),
    ),
}
WIDTHS = (16, 32, 64, 128, 256)
REPEATS = 3
SWEEP = RunConfig(data="digits", depth=10, epochs=20)
SWEPT, WORKERS = 12, (1, 2, 4)  # how many runs, by how many workers


def epoch(config: RunConfig, images: int) -> float:
    """Seconds of one epoch on so many random images, all that `fit` measures included."""
    shape = (1, 28, 28) if config.data == "mnist" else (3, 32, 32)
    drawn = torch.randint(0, 256, (images, *shape), dtype=torch.uint8)
    labels = torch.arange(images) % 10
    model = build_model(config, shape, 10)
    started = time.perf_counter()
    fit(model, (drawn, labels), (drawn[:256], labels[:256]), config, progress=False)
    return time.perf_counter() - started


def peak() -> float:
    """The most memory in MB that this process has held since it began."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024


def memory(name: str, depth: int) -> float:
    """MB that a training of this depth adds, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.growth", name, str(depth)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def sweep(workers: int) -> float:
    """Seconds of a sweep, the start of its workers included."""
    configs = [replace(SWEEP, seed=seed) for seed in range(SWEPT)]
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "runs", Path(folder) / "unfinished")
        started = time.perf_counter()
        run_sweep(configs, train, store=store, n_jobs=workers, progress=False)
        return time.perf_counter() - started


def measured() -> Iterator[tuple[str, str, Sequence[int], list[list[float]]]]:
    """What grows, against what, its values, and for each value what repeats gave."""
    for name, (base, images, depths) in NETWORKS.items():
        sizes = [images * 2**power // 4 for power in range(5)]
        grids = {
            "depth": (depths, [(replace(base, depth=depth), images) for depth in depths]),
            "width": (WIDTHS, [(replace(base, width=width), images) for width in WIDTHS]),
            "images": (sizes, [(base, size) for size in sizes]),
        }
        for against, (values, grid) in grids.items():
            rounds = [[epoch(*one) for one in grid] for _ in range(REPEATS)]
            yield f"{name}: seconds of an epoch", against, values, list(zip(*rounds, strict=True))
        added = [[memory(name, depth)] for depth in depths]
        yield f"{name}: MB of a training", "depth", depths, added
    taken = [[sweep(workers) for _ in range(REPEATS)] for workers in WORKERS]
    yield f"seconds of a sweep of {SWEPT} MLPs", "workers", WORKERS, taken


def compare_subnormals() -> None:
    """Time the deepest plain MLP, whose gradients get too small for normal numbers."""
    base, images, depths = NETWORKS["MLP"]
    deepest = replace(base, depth=depths[-1])

    def run(flush: bool) -> None:
        torch.set_flush_denormal(flush)  # of this thread alone
        epoch(deepest, images)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    question = f"Epoch of a plain MLP of depth {depths[-1]}, subnormal numbers kept / flushed"
    compare("subnormals", question, lambda: run(False), lambda: run(True), pairs=3)
    torch.set_flush_denormal(False)
    torch.set_num_threads(threads)


def main() -> None:
    if sys.argv[1:]:
        config, images, _ = NETWORKS[sys.argv[1]]
        before = peak()
        epoch(replace(config, depth=int(sys.argv[2])), images)
        print(peak() - before)
        return
    compare_subnormals()
    found = []
    for what, against, values, results in measured():
        medians = [statistics.median(repeats) for repeats in results]
        print(what, against, *(f"{median:.3g}" for median in medians))
        found.append({"what": what, "against": against, "values": values, "medians": medians})
    result = {"growth": found, **software_and_hardware(torch.device("cpu"))}
    FOUND.write_text(json.dumps(result, indent=1) + "\n")


def table() -> str:
    """The Markdown table: a row a quantity, with the factor at each doubling."""
    rows = []
    for one in json.loads(FOUND.read_text())["growth"]:
        medians = one["medians"]
        factors = [after / before for before, after in itertools.pairwise(medians)]
        rows.append(
            {
                "what": one["what"],
                "against": one["against"],
                "values": ", ".join(f"{value:,}" for value in one["values"]),
                "smallest and largest": ", ".join(map(_short, (min(medians), max(medians)))),
                "factor of each doubling": ", ".join(f"{factor:.1f}" for factor in factors),
            }
        )
    return markdown(pd.DataFrame(rows))


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


if __name__ == "__main__":
    main()
