"""The tables that README.md shows, by the name of their experiment."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pandas as pd

from labutils.experiments import BASELINES, baselines, load, select, stall_depth
from labutils.grids import BEST_HEAD
from labutils.profiles import ROOT, Profile, profile
from labutils.runs import Run
from labutils.summaries import TITLES, accuracy
from labutils.tables import ablation, depth, detection, networks
from labutils.tables.rendering import markdown

REPORT: dict[str, Callable[[Sequence[Run]], pd.DataFrame]] = {
    "mnist-width": depth.width_table,
    "mnist-depth": depth.depth_table,
    "cifar10-depth": depth.depth_table,
    "mlp-dead-layers": depth.dead_table,
    "convnet-dead-layers": depth.dead_table,
    "rescue": depth.rescue_table,
    "mnist-blocks": depth.block_table,
    "best-mlp": depth.model_table,
    "convnet-depth": depth.depth_table,
    "mlp-like-convnet": depth.depth_table,
    "convnet-head": networks.head_table,
    "resnet-depth": depth.depth_table,
    "side-by-side": networks.side_table,
    "augmentation": networks.augmentation_table,
    "schedule": networks.schedule_table,
    "mnist-cnn": networks.side_table,
    "strong": networks.strong_table,
    "strong-size": lambda runs: networks.size_table(select(runs, residual=True)),
    "ablation-mnist": ablation.ablation_table,
    "ablation-cifar10": ablation.ablation_table,
    "ablation-rates": ablation.rate_table,
    "detector-classifier": depth.model_table,
    "detector": detection.detector_table,
    "detector-dense": detection.dense_table,
    "detector-conditions": lambda runs: detection.condition_table(select(runs, head=BEST_HEAD)),
    "detector-pointing": lambda runs: detection.pointing_table(select(runs, head=BEST_HEAD)),
    "detector-alarms": lambda runs: detection.alarm_table(select(runs, head=BEST_HEAD)),
    "detector-pyramid": lambda runs: detection.pyramid_table(select(runs, head=BEST_HEAD)),
    "detector-no-background": lambda runs: detection.black_table(runs[0]),
}
# Whose runs a table shows, where these are not those of one experiment of the same name.
RUNS_OF: dict[str, tuple[str, ...]] = {
    "mlp-dead-layers": ("mnist-depth", "cifar10-depth"),
    "convnet-dead-layers": ("convnet-depth",),
    "strong": ("strong", "strong-plain"),
    "strong-size": ("strong",),
    "detector-dense": ("detector",),
    "detector-conditions": ("detector",),
    "detector-alarms": ("detector",),
    "detector-pointing": ("detector",),
    "detector-pyramid": ("detector",),
}


def report(name: str) -> str:
    """A Markdown table of a stored experiment, as README.md shows it: one of `REPORT`."""
    which = profile("full")
    runs = baselines(name, which) if name in BASELINES else []
    for experiment in RUNS_OF.get(name, (name,)):
        runs += load(experiment, which)
    return markdown(REPORT[name](runs))


def headline(which: Profile | None = None) -> pd.DataFrame:
    """The whole report in ten lines, beside what the older reports print."""
    which = which or profile("full")

    def found(name: str, **fields: object) -> str:
        return accuracy(select(load(name, which), **fields))

    deepest = max(run.config.depth for run in load("convnet-depth", which))
    plain, residual = (
        found("convnet-depth", depth=deepest, residual=skip) for skip in (False, True)
    )
    rows = [
        ("MLP with 64 hidden units", "mnist", "97.35 % (report-d)",
         found("mnist-width", width=64, crop_padding=1)),
        ("Well-trained MLP", "mnist", "-", found("best-mlp", data=which.data("mnist"))),
        ("Well-trained MLP", "cifar10", "43.02 % (report-b)",
         found("best-mlp", data=which.data("cifar10"))),
        ("Depth from which no plain MLP learns", "mnist", "26 (report-c)",
         stall_depth(load("mnist-depth", which))),
        (f"ConvNet of depth {deepest}, plain / residual", "cifar10", "curves only (report-a)",
         f"{plain} / {residual}"),
        ("SmallCNN", "cifar10", "70.28 % (report-b)", found("side-by-side", model="small-cnn")),
        ("CNN", "cifar10", "79.18 %, validation (report-d)", found("side-by-side", model="cnn")),
        ("ConvNet-16", "cifar10", "75.37 % (report-b)",
         found("side-by-side", model="resnet", residual=False)),
        ("ResNet-16", "cifar10", "82.21 % (report-b)",
         found("side-by-side", model="resnet", residual=True)),
        ("Strong network", "cifar10", "-", found("strong")),
    ]  # fmt: skip
    return pd.DataFrame(
        {"what": what, "data": TITLES[which.data(data)], "older reports": older, "here": here}
        for what, data, older, here in rows
    )


def benchmarks(names: str = "*") -> str:
    """The Markdown table of what `make bench` measured last, of benchmarks with such names.

    Raises:
        FileNotFoundError: nothing of such a name was measured.
    """
    rows = []
    for path in sorted((ROOT / "benchmarks" / "results").glob(f"{names}.json")):
        result = json.loads(path.read_text())
        ratio, hardware = result["ratio"], result["hardware"]
        rows.append(
            {
                "compared": result["question"],
                "ratio": f"{ratio['median']:.1f}",
                "lowest and highest": f"{ratio['min']:.1f} to {ratio['max']:.1f}",
                "pairs": ratio["pairs"],
                "processor": f"{hardware['device']} ({hardware['processor']})",
                "threads": hardware["threads"],
            }
        )
    if not rows:
        raise FileNotFoundError(f"no result {names} in benchmarks/results: run `make bench`")
    return markdown(pd.DataFrame(rows))
