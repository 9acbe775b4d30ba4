"""How the time of an epoch grows with depth, width and images, and the memory with depth.

Each value is twice the one before. The table has, for each quantity, the factor from each value to
the next: 2 is growth in proportion. Memory is the peak of a process that trains nothing else.
"""

import itertools
import json
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace

import pandas as pd
import torch

from benchmarks.timing import RESULTS
from labutils.config.classifier import RunConfig
from labutils.models.networks import build_model
from labutils.report.rendering import markdown
from labutils.training import fit
from labutils.training.execution import software_and_hardware

BASE = {
    "MLP": RunConfig(depth=10, width=128, epochs=1),
    "ConvNet": RunConfig(data="cifar10", model="convnet", depth=10, width=16, epochs=1),
}
SHAPES = {"MLP": (1, 28, 28), "ConvNet": (3, 32, 32)}
IMAGES = {"MLP": 8_192, "ConvNet": 1_024}
VALUES = {"depth": (6, 12, 24, 48, 96), "width": (16, 32, 64, 128, 256)}
REPEATS = 5


def epoch(config: RunConfig, family: str, count: int) -> float:
    """Seconds of one epoch, all that `fit` measures included."""
    images = torch.randint(0, 256, (count, *SHAPES[family]), dtype=torch.uint8)
    labels = torch.arange(count) % 10
    model = build_model(config, SHAPES[family], 10)
    started = time.perf_counter()
    fit(model, (images, labels), (images[:256], labels[:256]), config, progress=False)
    return time.perf_counter() - started


def peak(family: str, depth: int) -> float:
    """Peak memory in MB of a process that trains one epoch."""
    command = [sys.executable, "-m", "benchmarks.growth", family, str(depth)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    if sys.argv[1:]:
        family, depth = sys.argv[1], int(sys.argv[2])
        epoch(replace(BASE[family], depth=depth), family, IMAGES[family])
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    found = []
    for family, base in BASE.items():
        count = IMAGES[family]
        grids = {name: [(replace(base, **{name: value}), count) for value in values]
                 for name, values in VALUES.items()}  # fmt: skip
        sizes = [count * 2**power for power in range(-2, 3)]
        grids["images"] = [(base, size) for size in sizes]
        for name, grid in grids.items():
            times = [[epoch(config, family, size) for config, size in grid] for _ in range(REPEATS)]
            medians = [statistics.median(column) for column in zip(*times, strict=True)]
            values = list(VALUES.get(name, sizes))
            found.append(row(family, f"seconds, {name}", values, medians))
        depths = list(VALUES["depth"])
        found.append(row(family, "MB, depth", depths, [peak(family, depth) for depth in depths]))
    result = {"growth": found, **software_and_hardware(torch.device("cpu"))}
    (RESULTS / "growth.json").write_text(json.dumps(result, indent=1) + "\n")


def row(family: str, name: str, values: list[int], measured: list[float]) -> dict[str, object]:
    print(family, name, *(f"{number:.2f}" for number in measured))
    return {"network": family, "measured": name, "values": values, "results": measured}


def table() -> str:
    """The Markdown table: a row a quantity, the factor at each doubling."""
    rows = []
    for one in json.loads((RESULTS / "growth.json").read_text())["growth"]:
        factors = [b / a for a, b in itertools.pairwise(one["results"])]
        rows.append(
            {
                "network": one["network"],
                "measured against": one["measured"],
                "values": ", ".join(f"{value:,}" for value in one["values"]),
                "first and last": "{:.3g} to {:.3g}".format(one["results"][0], one["results"][-1]),
                "factor of each doubling": ", ".join(f"{factor:.1f}" for factor in factors),
            }
        )
    return markdown(pd.DataFrame(rows))


if __name__ == "__main__":
    main()
