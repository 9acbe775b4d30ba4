"""Transfer to CIFAR-100 and distillation, drawn."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from labutils.report import style
from labutils.report.panels import draw_confusion
from labutils.report.transfer.tables import PROBE_NAMES
from labutils.runs.store import Run

TUNED, SCRATCH = style.OTHERS[:2]
FEWEST = 30  # images, of which a share says little


@plt.rc_context(style.STYLE)
def benefit(
    runs: Sequence[Run],
    probes: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    all_labels: int,
) -> Figure:
    """Test accuracy against labels a class: fine-tuned, from scratch, and on frozen features.

    Every seed and every draw is a point.

    Args:
        runs: one of each budget, seed and start, none of them trained longer than the others.
        probes: the keywords of each `probe`, and what it returned.
        all_labels: how many labels a class has where a budget is not said.
    """
    fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    lines: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        name = "fine-tuned" if run.config.source else "from scratch"
        count = run.config.labels_per_class or all_labels
        lines[name][count].append(run.metrics["test_accuracy"])
    for given, result in probes:
        name, count = f"frozen, {PROBE_NAMES[given['kind']]}", given.get("per_class") or all_labels
        lines[name][count].append(result["test_accuracy"])
    for (name, at), color in zip(lines.items(), style.OTHERS, strict=False):
        style.draw_points(ax, dict(sorted(at.items())), color, name)
    ticks = sorted({count for at in lines.values() for count in at})
    ax.set(xscale="log", xlabel="labels a class")
    ax.set_xticks(ticks, [str(count) for count in ticks])
    ax.minorticks_off()
    style.percent_axis(ax, "test accuracy")
    ax.legend()
    return fig


@plt.rc_context(style.STYLE)
def reliability(groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Accuracy against confidence in bins, a panel a network: before and after scaling.

    Bins of all seeds are counted together; those of fewer than `FEWEST` images are not drawn.

    Args:
        groups: by the name of a network, what `calibration` returned for each of its seeds.
    """
    columns = -(-len(groups) // 2)
    fig, axes = style.make_axes(2, columns, (2.6 * columns, 5.4), sharey=True, sharex=True)
    for ax in axes.flat[len(groups) :]:
        ax.axis("off")
    for ax, (name, found) in zip(axes.flat, groups.items(), strict=False):
        ax.plot([0, 1], [0, 1], ":", color="gray", lw=1)
        for when, label, color in (("before", "as trained", SCRATCH), ("after", "scaled", TUNED)):
            _draw_bins(ax, [one[when] for one in found], color, label)
        ax.set(title=textwrap.fill(name, 24), xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1))
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    for ax in axes[-1]:
        ax.set_xlabel("confidence")
    for row in axes:
        style.percent_axis(row[0], "test accuracy")
    axes[0, 0].legend()
    return fig


def _draw_bins(ax: Axes, found: Sequence[Mapping[str, Any]], color: object, label: str) -> None:
    counts = np.array([one["counts"] for one in found], dtype=float)
    points = []
    for quantity in ("confidence", "accuracy"):
        values = np.array([one[quantity] for one in found], dtype=float)
        points.append((np.nan_to_num(values) * counts).sum(0) / np.maximum(counts.sum(0), 1))
    filled = counts.sum(0) >= FEWEST
    ax.plot(points[0][filled], points[1][filled], "o-", ms=3, lw=1, color=color, label=label)


@plt.rc_context(style.IMAGES)
def superclass_confusion(found: Sequence[Mapping[str, Any]]) -> Figure:
    """Mistakes between superclasses, as shares of the images of the true one, mean over seeds.

    Args:
        found: what `superclass_predictions` returned for each seed.
    """
    counts = np.mean([one["confusion"] for one in found], axis=0)
    shares = counts / counts.sum(1, keepdims=True)
    wrong = np.where(np.eye(len(shares), dtype=bool), 0, 100 * shares)
    shown = np.where(np.round(wrong) > 0, np.char.mod("%.0f", wrong), "")  # zeros hide the others
    fig, ax = plt.subplots(figsize=(8.5, 7.5), layout="constrained")
    draw_confusion(ax, wrong, shown, found[0]["superclass_names"])
    ax.set(xlabel="predicted superclass, % of the images of the true one", ylabel="true superclass")
    return fig
