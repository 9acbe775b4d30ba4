"""Transfer to CIFAR-100 and distillation, in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from labutils.config import TransferConfig
from labutils.report.statistics import (
    accuracy,
    by_network,
    paired_difference,
    percent,
    percents,
    select,
    spread,
    train_loss,
)
from labutils.report.transfer.experiments import (
    BY_LAYER,
    FEW,
    OF_CNN,
    ON_FEW,
    PROBE_BUDGETS,
    PROBES,
)
from labutils.report.transfer.measured import (
    by_class,
    calibrated,
    class_gains,
    overconfidence,
    probed,
    student_name,
)
from labutils.runs.store import Run

TRAINED = {
    "head": "head",
    "last-block": "last block, head",
    "last-two": "last two blocks, head",
    "everything": "everything",
}
LAYER_NAMES = {
    "stem": "stem",
    **{f"blocks.{i}": f"block {i + 1} of 4" for i in range(3)},
    "blocks.3": "last layer",
    "blocks.17": "last layer of the CNN",
}
# kinds of superclasses of CIFAR-100: CIFAR-10 has four mammals and four vehicles
KIN = {
    **dict.fromkeys(
        ("aquatic mammals", "large carnivores", "large omnivores and herbivores",
         "medium-sized mammals", "small mammals"), "mammals"
    ),
    **dict.fromkeys(("vehicles 1", "vehicles 2"), "vehicles"),
    **dict.fromkeys(("fish", "insects", "non-insect invertebrates", "reptiles"), "other animals"),
}  # fmt: skip
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
            "train loss": train_loss(chosen),
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


def probes_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Transfer: a row a classical classifier on features of a frozen network, strong or CNN."""
    strong, cnn = ([run for run in runs if run.config.model == m] for m in ("strong", "cnn"))
    of_cnn = probed(cnn, OF_CNN) if cnn else []
    return pd.DataFrame(
        {
            "classifier": PROBE_NAMES[given["kind"]],
            "features": features_name(given),
            "numbers an image": f"{result['features']:,}",
            "val accuracy": percent(result["val_accuracy"]),
            "test accuracy": percent(result["test_accuracy"]),
        }
        for given, result in [*probed(strong, [*PROBES, *BY_LAYER[:-1]]), *of_cnn]
    )


def features_name(given: Mapping[str, Any]) -> str:
    """Where the features of a probe come from."""
    if given.get("of") == "pixels":
        return "pixels"
    side, layers = given.get("side", 1), given["layers"]
    where = LAYER_NAMES[layers[0]] if len(layers) == 1 else f"{len(layers)} layers"
    untrained = ", untrained" if given.get("of") == "untrained" else ""
    return f"{where}, {side}x{side}{untrained}"


def budget_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Transfer: a row a way to use the strong network, a column a number of labels a class.

    Means and deviations are over draws of the labels for what is fitted on frozen features, over
    seeds for what is trained.
    """
    trained = [run for run in runs if isinstance(run.config, TransferConfig)]
    rows: dict[str, dict[int | None, list[float]]] = {}
    for given, result in probed(runs, [*FEW, *ON_FEW]):
        name = f"{PROBE_NAMES[given['kind']]}, {result['features']:,} features"
        at = rows.setdefault(name, {})
        at.setdefault(given.get("per_class"), []).append(result["test_accuracy"])
    for run in trained:
        at = rows.setdefault(_budget_row(run.config, trained), {})
        at.setdefault(run.config.labels_per_class, []).append(run.metrics["test_accuracy"])
    columns = {f"{count} labels a class": count for count in PROBE_BUDGETS} | {"all labels": None}
    return pd.DataFrame(
        {"fitted or trained": name}
        | {title: percents(at.get(count, [])) for title, count in columns.items()}
        for name, at in rows.items()
    )


def _budget_row(config: TransferConfig, runs: Sequence[Run]) -> str:
    """What is trained, and for how long where that is longer than the shortest on all labels."""
    shortest = min(run.config.epochs for run in runs if run.config.labels_per_class is None)
    longer = config.labels_per_class is None and config.epochs > shortest
    return row_name(config) + (f", {config.epochs} epochs" if longer else "")


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


def calibration_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Calibration: a row a network, means over seeds, before and after temperature scaling."""

    def mean(found: Sequence[Mapping[str, Any]], when: str, what: str) -> float:
        return float(np.mean([one[when][what] for one in found]))

    return pd.DataFrame(
        {
            "network": name,
            "seeds": len(found),
            "confidence - accuracy": f"{100 * np.mean(list(map(overconfidence, found))):+.2f}",
            "calibration error": percent(mean(found, "before", "expected_error")),
            "temperature": f"{np.mean([one['temperature'] for one in found]):.2f}",
            "error when scaled": percent(mean(found, "after", "expected_error")),
            "test loss": f"{mean(found, 'before', 'loss'):.3f}",
            "loss when scaled": f"{mean(found, 'after', 'loss'):.3f}",
        }
        for name, found in calibrated(runs).items()
    )


def nearness_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Transfer: how near mistakes are: the class, its superclass, and one of five are right."""
    shown = {"class": "accuracy", "superclass": "superclass_accuracy", "top five": "top5_accuracy"}
    return pd.DataFrame(
        {"network": name, "seeds": len(found)}
        | {title: percents([one[key] for one in found]) for title, key in shown.items()}
        for name, found in by_class(runs).items()
    )


def superclass_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Transfer: a row a superclass, mean accuracy of its classes; what gains most comes first."""
    scratch, tuned, described = class_gains(runs)
    number, names = np.array(described["superclass_of"]), described["superclass_names"]
    return pd.DataFrame(
        _gain_row("superclass", n, scratch, tuned, number == i) for i, n in enumerate(names)
    ).sort_values("gain, points", key=lambda gains: -gains.str.split().str[0].astype(float))


def kin_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Transfer: do classes gain most that are like the ten? A row a kind of superclass."""
    scratch, tuned, described = class_gains(runs)
    names = described["superclass_names"]
    kinds = np.array([KIN.get(names[i], "all else") for i in described["superclass_of"]])
    return pd.DataFrame(
        {"superclasses": kind, "classes": (kinds == kind).sum()}
        | _gain_row("superclasses", kind, scratch, tuned, kinds == kind)
        for kind in dict.fromkeys([*KIN.values(), "all else"])
        if (kinds == kind).any()
    )


def _gain_row(
    title: str, name: str, scratch: np.ndarray, tuned: np.ndarray, chosen: np.ndarray
) -> dict[str, object]:
    """Mean accuracy of some classes, and what fine-tuning gains over scratch, by pairs of seeds."""
    before, after = (part[:, chosen].mean(1) for part in (scratch, tuned))
    return {
        title: name,
        "from scratch": percents(before),
        "fine-tuned": percents(after),
        "gain, points": spread(100 * (after - before)),
    }
