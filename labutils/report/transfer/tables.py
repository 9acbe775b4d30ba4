"""Transfer to CIFAR-100 and distillation, in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from labutils.config import DistillConfig, TransferConfig
from labutils.config.data_sets import DataName
from labutils.report.statistics import accuracy, by_network, paired_difference, percent, select
from labutils.runs.store import Run
from labutils.transfer.probes import probe

TRAINED = {
    "head": "head",
    "last-block": "last block, head",
    "last-two": "last two blocks, head",
    "everything": "everything",
}
ONTO: dict[DataName, DataName] = {"cifar10": "cifar100", "shapes10": "shapes20"}
PROBE_NAMES = {
    "svm": "linear SVM",
    "logistic": "logistic regression",
    "ridge": "ridge regression",
    "neighbours": "nearest neighbours",
    "nearest-mean": "nearest class mean",
}


def by_row(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs in groups that differ in the seed, and in source and labels that go with it."""
    groups: dict[TransferConfig, list[Run]] = {}
    for run in runs:
        config = run.config
        source = "of its seed" if config.source else ""
        groups.setdefault(replace(config, seed=0, draw=0, source=source), []).append(run)
    return list(groups.values())


def row_name(config: TransferConfig) -> str:
    """What of the network is trained, from which start."""
    return TRAINED[config.trained] if config.source else "everything, from scratch"


def layers_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Transfer: a row a part of the network that is trained, and the network from scratch."""
    return pd.DataFrame(
        {
            "trained": row_name(chosen[0].config),
            "optimiser": chosen[0].config.optimizer,
            "epochs": chosen[0].config.epochs,
            "seeds": len(chosen),
            "val accuracy": accuracy(chosen, "val_accuracy"),
            "test accuracy": accuracy(chosen),
        }
        for chosen in by_row(runs)
    )


def benefit_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Does transfer help? A row a budget: from scratch, fine-tuned, and the difference by pairs.

    Each is trained with its own best rate, and for 32 epochs with its own best augmentation.
    Runs of which a part is trained, or without a partner of the same optimiser, are left out.
    """
    budgets: dict[tuple[int, int, str], dict[bool, list[Run]]] = {}
    for run in select(runs, trained="everything"):
        config = run.config
        key = config.labels_per_class or 0, config.epochs, config.optimizer
        budgets.setdefault(key, {False: [], True: []})[bool(config.source)].append(run)
    # all labels come last
    ordered = sorted(budgets.items(), key=lambda item: (item[0][0] or np.inf, item[0][1]))
    return pd.DataFrame(
        {
            "labels a class": labels or "all",
            "epochs": epochs,
            "from scratch": accuracy(both[False]),
            "fine-tuned": accuracy(both[True]),
            "fine-tuned - scratch, by pairs": paired_difference(both[False], both[True]),
        }
        for (labels, epochs, _), both in ordered
        if both[False] and both[True]
    )


def probed(
    run: Run, wanted: Sequence[Mapping[str, Any]]
) -> list[tuple[Mapping[str, Any], dict[str, Any]]]:
    """Probes on a stored strong network, each after its keywords, which the grids' file lists."""
    return [(given, probe(run, onto=ONTO[run.config.data], **given)) for given in wanted]


def probes_table(found: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> pd.DataFrame:
    """Transfer: a row a classical classifier on frozen features.

    Args:
        found: the keywords of each `probe`, and what it returned.
    """
    return pd.DataFrame(
        {
            "classifier": PROBE_NAMES[given["kind"]],
            "features": features_name(given),
            "numbers an image": f"{result['features']:,}",
            "val accuracy": percent(result["val_accuracy"]),
            "test accuracy": percent(result["test_accuracy"]),
        }
        for given, result in found
    )


def features_name(given: Mapping[str, Any]) -> str:
    """Where the features of a probe come from."""
    if given.get("of") == "pixels":
        return "pixels"
    side, layers = given.get("side", 1), given["layers"]
    where = "last layer" if len(layers) == 1 else f"{len(layers)} layers"
    untrained = ", untrained" if given.get("of") == "untrained" else ""
    return f"{where}, {side}x{side}{untrained}"


def student_name(config: DistillConfig) -> str:
    """What a student learns from."""
    if config.teacher:
        return f"hard and soft, T = {config.temperature:g}, weight {config.soft_weight:g}"
    return "smoothed labels" if config.label_smoothing else "hard labels"


def students_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Distillation: a row a kind of labels, and the gain over hard labels by pairs."""
    groups = by_network(runs)
    plain = next(group for group in groups if student_name(group[0].config) == "hard labels")
    return pd.DataFrame(
        {
            "learns from": student_name(chosen[0].config),
            "seeds": len(chosen),
            "val accuracy": accuracy(chosen, "val_accuracy"),
            "test accuracy": accuracy(chosen),
            "gain, by pairs": "" if chosen is plain else paired_difference(plain, chosen),
        }
        for chosen in groups
    )


def calibration_table(groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> pd.DataFrame:
    """Calibration: a row a network, means over seeds, before and after temperature scaling.

    Args:
        groups: by the name of a network, what `calibration` returned for each of its seeds.
    """

    def mean(found: Sequence[Mapping[str, Any]], when: str, what: str) -> float:
        return float(np.mean([one[when][what] for one in found]))

    return pd.DataFrame(
        {
            "network": name,
            "seeds": len(found),
            "calibration error": percent(mean(found, "before", "expected_error")),
            "temperature": f"{np.mean([one['temperature'] for one in found]):.2f}",
            "error when scaled": percent(mean(found, "after", "expected_error")),
            "test loss": f"{mean(found, 'before', 'loss'):.3f}",
            "loss when scaled": f"{mean(found, 'after', 'loss'):.3f}",
        }
        for name, found in groups.items()
    )


def superclass_table(
    tuned: Sequence[Mapping[str, Any]], scratch: Sequence[Mapping[str, Any]]
) -> pd.DataFrame:
    """Transfer: a row a superclass, mean accuracy of its classes; what gains most comes first.

    Args:
        tuned, scratch: what `superclass_predictions` returned for each seed.
    """
    names, number = tuned[0]["superclass_names"], np.array(tuned[0]["superclass_of"])
    both = [np.mean([one["class_accuracy"] for one in found], axis=0) for found in (scratch, tuned)]
    rows = [[values[number == i].mean() for values in both] for i in range(len(names))]
    order = sorted(range(len(names)), key=lambda i: rows[i][0] - rows[i][1])
    return pd.DataFrame(
        {
            "superclass": names[i],
            "from scratch": percent(rows[i][0]),
            "fine-tuned": percent(rows[i][1]),
            "gain, points": f"{100 * (rows[i][1] - rows[i][0]):+.1f}",
        }
        for i in order
    )
