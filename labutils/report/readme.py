"""What README.md shows: tables of stored runs, figures, benchmarks, and two tables of its own."""

import importlib
import json
from collections.abc import Iterable

import pandas as pd
import PIL.Image

from labutils.cam.evidence import localised
from labutils.cam.kinds import Kind
from labutils.config import DATA_SETS
from labutils.config.profiles import ROOT, Profile, profile
from labutils.fcn.conditions import Condition, condition
from labutils.fcn.scores import scores
from labutils.report.cams.experiments import IMAGES, WITH_RESIZED
from labutils.report.detector.experiments import BEST_HEAD
from labutils.report.experiments import configs, load, load_compared
from labutils.report.mlps.experiments import stall_depth
from labutils.report.rendering import markdown
from labutils.report.statistics import accuracy, percent, percents
from labutils.report.transfer.experiments import SVM
from labutils.report.transfer.measured import probed


def table(address: str, *names: str) -> str:
    """A table of stored runs as README.md shows it, and the command that lists these.

    Args:
        address: chapter and function, for example `mlps.depth_table`.
        names: the experiments whose runs it shows. One alone brings those that it is compared
            with.
    """
    room, function = address.split(".")
    draw = getattr(importlib.import_module(f"labutils.report.{room}.tables"), function)
    full = profile("full")
    if len(names) == 1:
        runs = load_compared(names[0], full)
    else:
        runs = [run for name in names for run in load(name, full)]
    lists = f"python -m labutils runs --experiment {' '.join(names)}"
    return f"{markdown(draw(runs))}\n\n<sub>The runs: `{lists}`</sub>"


def figure(name: str) -> str:
    """A saved figure as README.md shows it; the alternative text is the file's."""
    path = profile("full").images / f"{name}.png"
    with PIL.Image.open(path) as image:
        return f"![{image.info['Description']}](images/{name}.png)"


# Networks of the report: name, section, and the experiment that trains them.
NETWORKS = (
    ("MLP", "1.2", "mnist-depth"),
    ("MLP", "1.2", "cifar10-depth"),
    ("ConvNet", "1.3", "convnet-depth"),
    ("He's network, batch norm", "1.3", "resnet-depth"),
    ("MLP, CNNs, ResNet-16", "1.4", "side-by-side-tuned"),
    ("strong network", "1.5", "strong"),
    ("the same, on new classes", "Transfer", "transfer"),
    ("digit detector", "2", "detector"),
    ("network whose maps are measured", "3", "cam-shapes"),
)
OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "muon": "Muon"}


def networks(which: Profile | None = None) -> str:
    """The networks of the report: depth, parameters, protocol and seeds, from stored runs."""
    rows = []
    for title, section, name in NETWORKS:
        runs = load(name, which or profile("full"))
        found = [run.config for run in runs]
        how, detects = found[0], found[0].kind == "fcn"
        optimizers = " / ".join(dict.fromkeys(OPTIMIZERS[config.optimizer] for config in found))
        views = ["augmented"] if how.crop_padding or detects else []
        row = {"network": title, "section": section, "data": DATA_SETS[how.data].title}
        row["depth"] = "-" if detects else _range(config.depth for config in found)
        millions = _range(round(run.metrics["parameters"] / 1e6, 2) for run in runs)
        row["parameters"] = f"{millions} M"
        row["protocol"] = ", ".join([optimizers, *views, f"{how.epochs} epochs"])
        row["seeds"] = len({config.seed for config in found})
        rows.append(row)
    return markdown(pd.DataFrame(rows))


def _range(values: Iterable[float]) -> str:
    """The least and the largest, or the one that there is."""
    found = sorted(set(values))
    return " to ".join(f"{end:g}" for end in dict.fromkeys((found[0], found[-1])))


def headline(which: Profile | None = None) -> str:
    """The whole report in a dozen lines, beside what the older reports print."""
    which = which or profile("full")

    def found(name: str, **fields: object) -> str:
        return accuracy(load(name, which, **fields))

    def both(name: str, field: str, values: tuple[object, object], **fields: object) -> str:
        return " / ".join(found(name, **{field: value}, **fields) for value in values)

    def detected(shown: Condition) -> str:
        best = load("detector", which, head=BEST_HEAD)
        return percents([scores(run, shown)["ap_half"] for run in best])

    found_maps = [localised(run, WITH_RESIZED, IMAGES["full"]) for run in load("cam-shapes", which)]
    pointed = " / ".join(
        percents([rows[WITH_RESIZED.index(kind)]["pointing"] for rows in found_maps])
        for kind in (Kind("grad-cam"), Kind("centred Gaussian"))
    )
    [(_, probe)] = probed(load("strong", which), [SVM])
    svm = percent(probe["test_accuracy"])
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
        ("First depth of the grid from which no plain MLP learns (rate 0.001)", mnist,
         "26 (report-c)", stall_depth(load("mnist-depth", which))),
        ("Well-trained MLP / SmallCNN and CNN after eight epochs", cifar10,
         "43.02 % / 70.28 % (report-b) / 79.18 %, validation (report-d)",
         f"{found('best-mlp', data=cifar10)} / "
         + both("side-by-side-tuned", "model", ("small-cnn", "cnn"), optimizer="sgd")),
        (f"ConvNet of depth {convnet}, plain / residual", cifar10, "curves only (report-a)",
         both("convnet-depth", "residual", (False, True), depth=convnet)),
        (f"Network of depth {resnet} with batch norm, plain / residual", cifar10, "-",
         both("resnet-depth", "residual", (False, True), depth=resnet)),
        ("ConvNet-16 / ResNet-16", cifar10, "75.37 % / 82.21 % (report-b)",
         both("side-by-side-tuned", "residual", (False, True), model="resnet", optimizer="sgd")),
        ("ResNet-20, learning rate constant / with schedule", cifar10,
         "75.65 %, ResNet-18, validation (report-d)",
         f"{found('schedule')} / {found('resnet-depth', depth=20, residual=True)}"),
        ("Strong network of nine layers / its plain twin", cifar10, "-",
         f"{found('strong')} / {found('strong-plain')}"),
        ("From it to CIFAR-100: SVM on features / new head / everything", which.data("cifar100"),
         "19.0 % / 42.1 % / - (report-d), 34.5 % / - / 55 % (others)",
         f"{svm} / {both('transfer', 'trained', ('head', 'everything'))}"),
        ("Digit detector, average precision, one digit / four", mnist, "examples (report-b)",
         " / ".join(map(detected, map(condition, ("one digit", "four digits on 96 x 96"))))),
        ("Images in which CAM / a centred Gaussian points at the object", "shapes10",
         "pictures (report-b, report-c, report-d)", pointed),
    ]  # fmt: skip
    return markdown(
        pd.DataFrame(
            {"what": what, "data": DATA_SETS[data].title, "older reports": older, "here": here}
            for what, data, older, here in rows
        )
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
                "ratio": f"{ratio['median']:.2f}",
                "lowest and highest": f"{ratio['min']:.2f} to {ratio['max']:.2f}",
                "pairs": ratio["pairs"],
                "processor": f"{hardware['device']} ({hardware['processor']})",
                "threads": hardware["threads"],
            }
        )
    if not rows:
        raise FileNotFoundError(f"no result {names} in benchmarks/results: run `make bench`")
    return markdown(pd.DataFrame(rows))
