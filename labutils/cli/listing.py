"""What the command line prints: runs, plans, aligned tables, times."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from labutils.config import Config

if TYPE_CHECKING:
    from labutils.report.records import Experiment
    from labutils.runs.store import Run, Store

PARTS = {"val": "validation", "test": "test"}


def print_plan(configs: Iterable[Config], missing: Mapping[str, Config], store: Store) -> None:
    """Every run, stored or missing, with the time that it will take."""
    from labutils.report.training import estimate_seconds

    rows = []
    for config in configs:
        state, time = "stored", "-"
        if config.id in missing:
            begun = (store.scratch / config.id / "checkpoint.pt").exists()
            state, time = "begun" if begun else "missing", _duration(estimate_seconds([config]))
        rows.append((config.name, state, time))
    print(table(("run", "state", "estimated time"), rows, left=2))


def print_estimate(
    total: int, missing: Sequence[Config], jobs: int | None, cluster: str | None
) -> None:
    """How many runs are stored, how many are missing, and how long these will take."""
    line = f"{total - len(missing)} of {total} runs stored, {len(missing)} missing"
    if missing:
        from joblib import cpu_count

        from labutils.report.training import estimate_seconds

        times = [estimate_seconds([config]) for config in missing]
        if cluster is not None:
            line += f": about {_duration(sum(times))} of one core, shared by the cluster"
        else:
            side = jobs or cpu_count()
            longest = max(sum(times) / side, *times)
            line += f": about {_duration(longest)} with {side} side by side"
    print(f"{line}.", flush=True)


def print_experiments(records: Iterable[Experiment]) -> None:
    """A line an experiment: its name, how many runs it has in full, what it asks."""
    rows = [(record.name, record.question, str(len(record.grid()))) for record in records]
    print(table(("experiment", "what it is", "runs"), rows, left=2))


def print_runs(found: Iterable[Run]) -> None:
    """A line a run: how it ended, accuracies, time and size of the weights."""
    head = ("run", "status", "epochs", "val %", "test %", "time", "weights")
    rows = []
    for run in found:
        metrics, weights = run.metrics, run.folder / "weights.safetensors"
        accuracies = (_percent(metrics[f"{part}_accuracy"]).removesuffix(" %") for part in PARTS)
        epochs, time = str(metrics["epochs"]), _duration(metrics["seconds"])
        size = f"{weights.stat().st_size / 1e6:.1f} MB" if weights.exists() else "-"
        rows.append((run.folder.name, metrics["status"], epochs, *accuracies, time, size))
    print(table(head, rows, left=2))


def result(run: Run) -> str:
    """Status, epochs, losses and accuracies of a run in one line."""
    metrics = run.metrics
    epochs = f"{metrics['epochs']} epoch{'s' if metrics['epochs'] > 1 else ''}"
    best = metrics["best_epoch"]
    status = {
        "finished": f"finished after {epochs}",
        "stopped_early": f"stopped early after {epochs}, the best is {best}",
        "diverged": f"diverged in epoch {metrics['epochs']}, weights of epoch {best}",
    }[metrics["status"]]
    parts = [
        f"{name} loss {metrics[f'{key}_loss']:.4f}, accuracy {_percent(metrics[f'{key}_accuracy'])}"
        for key, name in PARTS.items()
    ]
    return "; ".join((status, *parts))


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.2f} %"


def _duration(seconds: float) -> str:
    """For example `8 s`, `12 min` or `1 h 05 min`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


def shortened(names: Sequence[str]) -> str:
    """The first ten names, and dots where there are more."""
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """Aligned columns, the first `left` of them to the left."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    sides, lines = "<" * left + ">" * (len(head) - left), []
    for row in (head, *rows):
        cells = zip(row, sides, widths, strict=True)
        lines.append("  ".join(f"{cell:{side}{width}}" for cell, side, width in cells).rstrip())
    return "\n".join(lines)
