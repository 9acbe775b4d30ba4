"""The tables that README.md shows, by the name of their experiment."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pandas as pd

from labutils.config.data_sets import DATA_SETS
from labutils.config.profiles import ROOT, Profile, profile
from labutils.fcn.conditions import Condition, condition
from labutils.fcn.scores import scores
from labutils.report.detector.experiments import BEST_HEAD
from labutils.report.experiments import BASELINES, baselines, configs, load, select
from labutils.report.mlps.experiments import stall_depth
from labutils.report.rendering import markdown
from labutils.report.residuals.figures import ablation
from labutils.report.statistics import accuracy, spread
from labutils.runs.store import Run
from labutils.tables import depth, detection, networks

SHALLOW = (10,)  # of the ConvNets whose gradients are followed through training

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
    "side-by-side-sgd": networks.side_table,
    "protocols": networks.protocol_table,
    "augmentation": networks.augmentation_table,
    "schedule": networks.schedule_table,
    "mnist-cnn": networks.side_table,
    "strong": networks.strong_table,
    "strong-recipes": networks.recipe_table,
    "strong-size": lambda runs: networks.size_table(select(runs, residual=True)),
    "gradients": lambda runs: ablation.gradient_table(
        [run for run in runs if run.config.gradient_epochs or run.config.depth in SHALLOW]
    ),
    "ablation-mnist": ablation.ablation_table,
    "ablation-cifar10": ablation.ablation_table,
    "ablation-rates": ablation.rate_table,
    "lesions": lambda runs: ablation.lesion_table(select(runs, seed=0)),
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
    "gradients": ("convnet-depth", "gradients"),
    "protocols": ("side-by-side", "side-by-side-sgd"),
    "strong": ("strong", "strong-plain"),
    "lesions": ("lesions", "strong", "strong-plain"),
    "strong-recipes": ("strong-brief", "strong-recipes", "strong", "strong-plain"),
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

    def both(name: str, field: str, values: tuple[object, object], **fields: object) -> str:
        return " / ".join(found(name, **{field: value}, **fields) for value in values)

    def detected(shown: Condition) -> str:
        best = select(load("detector", which), head=BEST_HEAD)
        return f"{spread([100 * scores(run, shown)['ap_half'] for run in best])} %"

    mnist, cifar10 = which.data("mnist"), which.data("cifar10")
    convnet, resnet = (
        max(config.depth for config in configs(name, which))
        for name in ("convnet-depth", "resnet-depth")
    )
    rows = [
        ("MLP with 64 hidden units, images as they are / shifted", mnist, "97.35 % (report-d)",
         both("mnist-width", "crop_padding", (0, 1), width=64)),
        ("Well-trained MLP / CNN", mnist, "curves only (report-b)",
         f"{found('best-mlp', data=mnist)} / {found('mnist-cnn', model='cnn')}"),
        ("Depth from which plain MLPs stay at chance (rate 0.001)", mnist, "26 (report-c)",
         stall_depth(load("mnist-depth", which))),
        ("Well-trained MLP / SmallCNN and CNN after eight epochs", cifar10,
         "43.02 % / 70.28 % (report-b) / 79.18 %, validation (report-d)",
         f"{found('best-mlp', data=cifar10)} / "
         + both("side-by-side-sgd", "model", ("small-cnn", "cnn"))),
        (f"ConvNet of depth {convnet}, plain / residual", cifar10, "curves only (report-a)",
         both("convnet-depth", "residual", (False, True), depth=convnet)),
        (f"Network of depth {resnet} with batch norm, plain / residual", cifar10, "-",
         both("resnet-depth", "residual", (False, True), depth=resnet)),
        ("ConvNet-16 / ResNet-16", cifar10, "75.37 % / 82.21 % (report-b)",
         both("side-by-side-sgd", "residual", (False, True), model="resnet")),
        ("ResNet-20, learning rate constant / with schedule", cifar10,
         "75.65 %, ResNet-18, validation (report-d)",
         f"{found('schedule')} / {found('resnet-depth', depth=20, residual=True)}"),
        ("Strong network of nine layers / its plain twin", cifar10, "-",
         f"{found('strong')} / {found('strong-plain')}"),
        ("Digit detector, average precision, one digit / four", mnist, "examples (report-b)",
         " / ".join(map(detected, map(condition, ("one digit", "four digits on 96 x 96"))))),
    ]  # fmt: skip
    return pd.DataFrame(
        {"what": what, "data": DATA_SETS[data].title, "older reports": older, "here": here}
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
