"""Every table of the report, from stored runs, as pandas frames and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pandas as pd

from labutils.experiments import BASELINES, baselines, load, select, stall_depth
from labutils.profiles import ROOT, Profile, profile
from labutils.runs import Run, inference_cost, training_cost
from labutils.summaries import (
    TITLES,
    accuracy,
    by_network,
    cell,
    millions,
    network_name,
    paired,
    paired_difference,
    percent,
    scale,
    spread,
)

NO_BREAK = "\N{NO-BREAK SPACE}"
CHANCE = 0.1  # every set of the ablation has ten classes


def width_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.1: a row a width, without and with shifts: test loss, accuracy, epochs."""
    rows = []
    for width in sorted({run.config.width for run in runs}):
        for shift in sorted({run.config.crop_padding for run in runs}):
            chosen = select(runs, width=width, crop_padding=shift)
            rows.append(
                {
                    "width": width,
                    "shifts": f"{shift} px" if shift else "none",
                    **_early_stopped(chosen),
                }
            )
    return pd.DataFrame(rows)


def depth_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.2: a row a depth: test accuracy plain and residual, and their paired difference."""
    rows = []
    for depth in sorted({run.config.depth for run in runs}):
        plain, residual = (select(runs, depth=depth, residual=r) for r in (False, True))
        row = {"depth": depth, "plain": accuracy(plain), "residual": accuracy(residual)}
        row["residual - plain"] = paired_difference(plain, residual)
        for kind, chosen in (("plain", plain), ("residual", residual)):
            row[f"train loss, {kind}"] = spread([r.history["train_loss"][-1] for r in chosen], 3)
        row["test loss, residual"] = spread([r.metrics["test_loss"] for r in residual], 2)
        rows.append(row)
    return pd.DataFrame(rows)


def rescue_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.2: plain networks at the stalling depth under several learning rates."""
    order = list(dict.fromkeys(run.config.data for run in runs))
    ordered = sorted(runs, key=lambda r: (order.index(r.config.data), r.config.learning_rate))
    return pd.DataFrame(
        {
            "data": TITLES[run.config.data],
            "depth": run.config.depth,
            "learning rate": f"{run.config.learning_rate:g}",
            "train loss": f"{run.history['train_loss'][-1]:.3f}",
            "test accuracy": percent(run.metrics["test_accuracy"]),
        }
        for run in ordered
    )


def block_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.2: report-d's table with the plain network of equal depth beside it.

    The last column pairs each network's epochs with those of the same seed without blocks.
    """
    rows = []
    names = {(2, False): "no block", (8, False): "3 plain blocks", (8, True): "3 residual blocks"}
    for width in sorted({run.config.width for run in runs}):
        shallow = select(runs, width=width, depth=2)
        for (depth, residual), network in names.items():
            chosen = select(runs, width=width, depth=depth, residual=residual)
            rows.append(
                {
                    "width": width,
                    "network": network,
                    **_early_stopped(chosen),
                    "epochs - no block": "-"
                    if depth == 2
                    else paired(shallow, chosen, lambda run: run.metrics["epochs"], 1),
                }
            )
    return pd.DataFrame(rows)


def model_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a network and data set: parameters, test loss and accuracy over the seeds."""
    return pd.DataFrame(
        {
            "network": f"{network_name(chosen[0].config)}, width {chosen[0].config.width}",
            "data": TITLES[chosen[0].config.data],
            "parameters": f"{chosen[0].metrics['parameters']:,}",
            "epochs": chosen[0].config.epochs,
            "seeds": len(chosen),
            "test loss": spread([r.metrics["test_loss"] for r in chosen], 3),
            "test accuracy": accuracy(chosen),
        }
        for chosen in by_network(runs)
    )


def head_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.3: a ConvNet's test accuracy with either head, a row a depth and kind."""
    rows = []
    for depth in sorted({run.config.depth for run in runs}):
        for residual, kind in ((False, "plain"), (True, "residual")):
            heads = [
                select(runs, depth=depth, residual=residual, head=head)
                for head in ("flatten", "fully-convolutional")
            ]
            row: dict[str, object] = {"depth": depth, "network": kind}
            for name, chosen in zip(("flatten", "average"), heads, strict=True):
                row[f"parameters, {name}"] = f"{chosen[0].metrics['parameters']:,}"
                row[f"test accuracy, {name}"] = accuracy(chosen)
            rows.append(row)
    return pd.DataFrame(rows)


def side_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.4: networks trained under one protocol: size, cost, validation and test."""
    rows = []
    for chosen in by_network(runs):
        config, metrics = chosen[0].config, [run.metrics for run in chosen]
        rows.append(
            {
                "network": network_name(config),
                "layers": config.depth,
                "parameters": f"{metrics[0]['parameters']:,}",
                "multiply-adds": millions(inference_cost(config)),
                "minutes": spread([m["seconds"] / 60 for m in metrics], 1),
                "val loss": spread([m["val_loss"] for m in metrics], 3),
                "val accuracy": accuracy(chosen, "val_accuracy"),
                "test loss": spread([m["test_loss"] for m in metrics], 3),
                "test accuracy": accuracy(chosen),
            }
        )
    return pd.DataFrame(rows)


def augmentation_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.4: one network on images as they are, and mirrored and shifted."""
    return _factor_table(
        runs, "images", {"as they are": {"flip": False}, "mirrored and shifted": {"flip": True}}
    )


def schedule_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.4: one network without and with a schedule of the learning rate."""
    names = ("constant", "one-cycle")
    return _factor_table(runs, "learning rate", {name: {"schedule": name} for name in names})


def strong_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.5: every run of the strong network and of its plain twin, and what it cost."""
    rows = []
    for run in sorted(runs, key=lambda run: (not run.config.residual, run.config.seed)):
        config, metrics = run.config, run.metrics
        rows.append(
            {
                "network": "residual" if config.residual else "plain twin",
                "seed": config.seed,
                "epochs": config.epochs,
                "parameters": f"{metrics['parameters']:,}",
                "multiply-adds": millions(inference_cost(config)),
                "of the training": f"{training_cost(config) / 1e15:.2f}e15",
                "core-hours": f"{metrics['seconds'] * metrics['hardware']['threads'] / 3600:.2f}",
                "train loss": f"{run.history['train_loss'][-1]:.3f}",
                "val accuracy": percent(metrics["val_accuracy"]),
                "test accuracy": percent(metrics["test_accuracy"]),
            }
        )
    residual = select(runs, residual=True)
    mean = dict.fromkeys(rows[0], "") | {"network": "residual, mean", "seed": "all"}
    mean["val accuracy"], mean["test accuracy"] = (
        accuracy(residual, "val_accuracy"),
        accuracy(residual),
    )
    return pd.DataFrame([*rows, mean])


def ablation_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Why residuals work: a row a cell of skip x norm x initialisation.

    A run trains if in the end it gets more than twice as many training images right as chance.
    At initialisation, geometric means over seeds: the gradient at the first layer's output
    relative to that at the logits, the deviation of the last hidden layer's activations, and the
    deviation of its units across images.
    """
    rows = []
    for names in dict.fromkeys(cell(run) for run in runs):
        chosen = [run for run in runs if cell(run) == names]
        learned = [run for run in chosen if run.history["train_accuracy"][-1] > 2 * CHANCE]
        first = [run.history["layers"] for run in chosen]
        gradients = [layers["activation_gradient_norm"][0] for layers in first]
        rows.append(
            {
                "skip, norm, initialisation": ", ".join(names),
                "trains": f"{len(learned)} of {len(chosen)}",
                "train loss": spread([run.history["train_loss"][-1] for run in chosen], 3),
                "test accuracy": accuracy(chosen),
                "gradient, first / logits": scale([g[0] / g[-1] for g in gradients]),
                "activations": scale([layers["activation_std"][0][-2] for layers in first]),
                "across images": scale([layers["activation_image_std"][0][-2] for layers in first]),
            }
        )
    return pd.DataFrame(rows)


def rate_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Why residuals work: a row a kind of network and learning rate, the highest rate first."""
    rates = sorted({run.config.learning_rate for run in runs}, reverse=True)
    rows = []
    for names in sorted({cell(run) for run in runs}):
        for rate in rates:
            chosen = [run for run in select(runs, learning_rate=rate) if cell(run) == names]
            rows.append(
                {
                    "skip, norm, initialisation": ", ".join(names),
                    "learning rate": f"{rate:g}",
                    "train loss": spread([run.history["train_loss"][-1] for run in chosen], 3),
                    "test accuracy": accuracy(chosen),
                }
            )
    return pd.DataFrame(rows)


def report(name: str) -> str:
    """The Markdown table of a stored experiment, as README.md shows it."""
    which = profile("full")
    runs = baselines(name, which) if name in BASELINES else []
    return markdown(REPORT[name](runs + load(name, which)))


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


def benchmarks() -> str:
    """The Markdown table of what `make bench` measured last."""
    rows = []
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.json")):
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
    return markdown(pd.DataFrame(rows))


def markdown(frame: pd.DataFrame) -> str:
    """The frame as a Markdown table, numbers to the right."""
    head = "| " + " | ".join(frame.columns) + " |"
    rule = "|" + "---:|" * len(frame.columns)
    rows = ("| " + " | ".join(map(_unbroken, row)) + " |" for row in frame.itertuples(index=False))
    return "\n".join((head, rule, *rows))


def _unbroken(cell: object) -> str:
    """A number, its deviation and its unit, which no line break parts."""
    return str(cell).replace(" ± ", f"{NO_BREAK}±{NO_BREAK}").replace(" %", f"{NO_BREAK}%")


def show(frame: pd.DataFrame) -> None:
    """Display the table in a notebook, in the quick profile with its notice."""
    from IPython.display import Markdown, display

    display(Markdown(markdown(frame)))
    if notice := profile().notice:
        display(Markdown(notice))


def _factor_table(
    runs: Sequence[Run], name: str, values: dict[str, dict[str, object]]
) -> pd.DataFrame:
    """A row for each value of one factor; the last column pairs each with the first by seed."""
    rows = []
    first = select(runs, **next(iter(values.values())))
    for value, fields in values.items():
        chosen = select(runs, **fields)
        rows.append(
            {
                "network": network_name(chosen[0].config),
                name: value,
                "train loss": spread([run.history["train_loss"][-1] for run in chosen], 3),
                "val loss": spread([run.metrics["val_loss"] for run in chosen], 3),
                "val accuracy": accuracy(chosen, "val_accuracy"),
                "test accuracy": accuracy(chosen),
                "points gained": "-" if chosen == first else paired_difference(first, chosen),
            }
        )
    return pd.DataFrame(rows)


REPORT: dict[str, Callable[[Sequence[Run]], pd.DataFrame]] = {
    "mnist-width": width_table,
    "mnist-depth": depth_table,
    "cifar10-depth": depth_table,
    "rescue": rescue_table,
    "mnist-blocks": block_table,
    "best-mlp": model_table,
    "convnet-depth": depth_table,
    "convnet-head": head_table,
    "resnet-depth": depth_table,
    "side-by-side": side_table,
    "augmentation": augmentation_table,
    "schedule": schedule_table,
    "mnist-cnn": side_table,
    "strong-plain": strong_table,
    "ablation-mnist": ablation_table,
    "ablation-cifar10": ablation_table,
    "ablation-rates": rate_table,
}


def _early_stopped(runs: Sequence[Run]) -> dict[str, str]:
    return {
        "epochs to stop": spread([run.metrics["epochs"] for run in runs], 1),
        "test loss": spread([run.metrics["test_loss"] for run in runs], 4),
        "test accuracy": accuracy(runs),
    }
