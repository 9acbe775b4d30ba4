"""What a reader waits for: an import, a move of a slider, a notebook that loads stored runs."""

import contextlib
import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import ipywidgets
import pandas as pd
import torch

from benchmarks.timing import RESULTS
from labutils import data
from labutils.config.profiles import profile
from labutils.report import experiments
from labutils.report.explorers.depth import DepthExplorer
from labutils.report.explorers.gradient import GradientExplorer
from labutils.report.explorers.maps import MapExplorer
from labutils.report.notebooks import report_notebooks, run_notebook
from labutils.report.rendering import markdown
from labutils.training.execution import software_and_hardware

NOTEBOOK_LIMIT, SLIDER_LIMIT = 30.0, 0.2  # seconds
FOUND = RESULTS.parent / "waits.json"  # beside the ratios


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def imports() -> Iterator[tuple[str, list[float], float | None]]:
    """In processes of their own; PyTorch alone is the floor."""
    for name in ("torch", "labutils.training", "labutils.cam", "labutils.report.experiments"):
        run = partial(subprocess.run, [sys.executable, "-c", f"import {name}"], check=True)
        yield f"import {name}", [seconds(run) for _ in range(5)], None


def moves(control: ipywidgets.Widget, values: Iterable[object]) -> list[float]:
    """Seconds from each move of a control until the explorer shows what belongs to it."""
    moved = [value for value in values if value != control.value]
    with contextlib.redirect_stdout(io.StringIO()):  # where no notebook shows it
        return [seconds(partial(setattr, control, "value", value)) for value in moved]


def sliders() -> Iterator[tuple[str, list[float], float | None]]:
    """Positions of the depth explorer, and of two that compute what they show."""
    full = profile("full")
    depth = DepthExplorer(experiments.load("mnist-depth", full))
    yield "depth explorer, a move", moves(depth.depth, depth.depth.options), SLIDER_LIMIT

    digits = data.load("digits").train
    gradient = GradientExplorer(digits.images[:512], digits.labels[:512])
    yield "gradient explorer, a move", moves(gradient.depth, range(4, 41, 4)), SLIDER_LIMIT

    images = data.load("cifar10")
    (run,) = experiments.load("strong", full, seed=0)
    few = data.Split(images.test.images[:16], images.test.labels[:16])
    maps = MapExplorer(run.model(), few, images.class_names)
    yield "map explorer, a move", moves(maps.image, list(maps.image.options)), SLIDER_LIMIT


def notebooks() -> Iterator[tuple[str, list[float], float | None]]:
    """Run from stored runs, in place."""
    for path in report_notebooks():
        yield path.name, [seconds(partial(run_notebook, path, "full"))], NOTEBOOK_LIMIT


def main() -> None:
    found = []
    for measure in (imports, sliders, notebooks):
        for what, taken, limit in measure():
            print(f"{what}: {statistics.median(taken):.2f} s")
            found.append({"what": what, "seconds": taken, "limit": limit})
    result = {"waits": found, **software_and_hardware(torch.device("cpu"))}
    FOUND.write_text(json.dumps(result, indent=1) + "\n")


def table() -> str:
    """The Markdown table: a row a wait."""
    rows = []
    for one in json.loads(FOUND.read_text())["waits"]:
        taken, limit = one["seconds"], one["limit"]
        rows.append(
            {
                "wait for": one["what"],
                "seconds, median": f"{statistics.median(taken):.2f}",
                "longest": f"{max(taken):.2f}",
                "times": len(taken),
                "wanted": f"{limit:g}" if limit else "-",
            }
        )
    return markdown(pd.DataFrame(rows))


if __name__ == "__main__":
    main()
