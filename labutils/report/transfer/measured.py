"""What was measured of this chapter's networks: probes, probabilities, accuracy by class."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from labutils.analysis.calibration import calibration
from labutils.analysis.superclasses import superclass_predictions
from labutils.config import DistillConfig, RunConfig, TransferConfig
from labutils.config.data_sets import DATA_SETS, DataName
from labutils.report.quick import quick_probe
from labutils.report.statistics import grouped
from labutils.runs.store import Run
from labutils.transfer.probes import probe

ONTO: dict[DataName, DataName] = {"cifar10": "cifar100", "shapes10": "shapes20"}


def probed(
    runs: Sequence[Run], wanted: Sequence[Mapping[str, Any]]
) -> list[tuple[Mapping[str, Any], dict[str, Any]]]:
    """Probes on the first classifier of CIFAR-10 among `runs`, each after its keywords.

    Those of a network of the quick profile are small ones.
    """
    run = next(run for run in runs if type(run.config) is RunConfig)
    small = quick_probe if DATA_SETS[run.config.data].built_in else dict
    onto = ONTO[run.config.data]
    return [(given, probe(run, onto=onto, **small(given))) for given in wanted]


def compared(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Networks whose probabilities and mistakes are compared, by name.

    On CIFAR-100 those of which everything is trained, for the shortest time.
    """
    tuned = [run.config for run in runs if isinstance(run.config, TransferConfig)]
    shortest = min((config.epochs for config in tuned), default=0)

    def name(run: Run) -> str | None:
        config = run.config
        if isinstance(config, DistillConfig):
            return f"student, {student_name(config)}"
        if not isinstance(config, TransferConfig):
            return "strong network"
        if config.trained != "everything" or config.epochs != shortest:
            return None
        return "fine-tuned" if config.source else "from scratch"

    return {title: some for title, some in grouped(runs, name).items() if title}


def calibrated(runs: Sequence[Run]) -> dict[str, list[dict[str, Any]]]:
    """What `calibration` says of the networks that are compared, seed by seed."""
    return {name: [calibration(run) for run in some] for name, some in compared(runs).items()}


def student_name(config: DistillConfig) -> str:
    """What a student learns from."""
    if config.teacher:
        return f"hard and soft, T = {config.temperature:g}, weight {config.soft_weight:g}"
    return "smoothed labels" if config.label_smoothing else "hard labels"


def overconfidence(found: Mapping[str, Any]) -> float:
    """Mean confidence minus accuracy, as trained, from what `calibration` returned."""
    bins = found["before"]
    counts = np.array(bins["counts"])
    confidence, accuracy = (  # nan where a bin is empty
        np.array(bins[name], dtype=float) for name in ("confidence", "accuracy")
    )
    return float(np.nansum(counts * (confidence - accuracy)) / counts.sum())


def by_class(runs: Sequence[Run]) -> dict[str, list[dict[str, Any]]]:
    """What `superclass_predictions` says of both networks on CIFAR-100, in the order of seeds."""
    groups = compared(runs)
    return {
        name: list(map(superclass_predictions, sorted(groups[name], key=lambda r: r.config.seed)))
        for name in ("from scratch", "fine-tuned")
    }


def class_gains(runs: Sequence[Run]) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Accuracy by seed and class, from scratch and fine-tuned, and what tells the classes."""
    found = by_class(runs)
    scratch, tuned = (np.array([one["class_accuracy"] for one in some]) for some in found.values())
    return scratch, tuned, found["fine-tuned"][0]
