"""Transfer to CIFAR-100 and distillation, in numbers."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from labutils.config import TransferConfig
from labutils.report import statistics
from labutils.report.statistics import accuracy, columns, paired_difference, percent, percents
from labutils.report.transfer import experiments, measured
from labutils.runs.store import Run

TRAINED = {"last-block": "last block, head", "last-two": "last two blocks, head"}
LAYER_NAMES = {
    "stem": "stem",
    "blocks.0": "first residual block",
    "blocks.1": "convolution, pooling",
    "blocks.2": "second residual block",
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


def row_name(config: TransferConfig) -> str:
    """What of the network is trained, from which start."""
    trained = TRAINED.get(config.trained, config.trained)
    return trained if config.source else "everything, from scratch"


def layers_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Transfer: a row a part of the network that is trained, and the network from scratch."""

    def network(run: Run) -> TransferConfig:
        """What is one for all seeds, each of which has its own source and labels."""
        source = "of its seed" if run.config.source else ""
        return replace(run.config, seed=0, draw=0, source=source)

    shown = ("epochs", "seeds", "train loss", "val accuracy", "test accuracy")
    return pd.DataFrame(
        {"trained": row_name(config), "optimiser": config.optimizer} | columns(chosen, *shown)
        for config, chosen in statistics.grouped(runs, network).items()
    )


def benefit_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Does transfer help? A row a budget: from scratch, fine-tuned, and the difference by pairs.

    Each is trained with its own best rate, and for 32 epochs with its own best augmentation.
    Runs of which a part is trained, or without a partner of the same optimiser, are left out.
    """

    def budget(run: Run) -> tuple[float, int, str]:
        """All labels are infinitely many: they come last."""
        return run.config.labels_per_class or np.inf, run.config.epochs, run.config.optimizer

    rows = []
    groups = statistics.grouped(statistics.select(runs, trained="everything"), budget)
    for (labels, epochs, _), chosen in sorted(groups.items()):
        scratch = [run for run in chosen if not run.config.source]
        tuned = [run for run in chosen if run.config.source]
        row = {"labels a class": "all" if labels == np.inf else labels, "epochs": epochs}
        row |= {"from scratch": accuracy(scratch), "fine-tuned": accuracy(tuned)}
        row["fine-tuned - scratch, by pairs"] = paired_difference(scratch, tuned)
        if scratch and tuned:
            rows.append(row)
    return pd.DataFrame(rows)


def probes_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Transfer: a row a classical classifier on features of a frozen network, strong or CNN."""
    strong, cnn = (statistics.select(runs, model=model) for model in ("strong", "cnn"))
    of_cnn = measured.probed(cnn, experiments.OF_CNN) if cnn else []
    of_strong = measured.probed(strong, [*experiments.PROBES, *experiments.BY_LAYER[:-1]])
    return pd.DataFrame(
        {
            "classifier": PROBE_NAMES[given["kind"]],
            "features": features_name(given),
            "numbers an image": f"{result['features']:,}",
            "val accuracy": percent(result["val_accuracy"]),
            "test accuracy": percent(result["test_accuracy"]),
        }
        for given, result in [*of_strong, *of_cnn]
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
    found: dict[str, dict[int | None, list[float]]] = defaultdict(lambda: defaultdict(list))
    for given, result in measured.probed(runs, [*experiments.FEW, *experiments.ON_FEW]):
        name = f"{PROBE_NAMES[given['kind']]}, {result['features']:,} features"
        found[name][given.get("per_class")].append(result["test_accuracy"])
    for run in trained:
        at = found[_budget_row(run.config, trained)]
        at[run.config.labels_per_class].append(run.metrics["test_accuracy"])
    titles = {f"{count} labels a class": count for count in experiments.PROBE_BUDGETS}
    titles["all labels"] = None
    return pd.DataFrame(
        {"fitted or trained": name}
        | {title: percents(at[count]) for title, count in titles.items()}
        for name, at in found.items()
    )


def _budget_row(config: TransferConfig, runs: Sequence[Run]) -> str:
    """What is trained, and for how long where that is longer than the shortest on all labels."""
    shortest = min(run.config.epochs for run in runs if run.config.labels_per_class is None)
    longer = config.labels_per_class is None and config.epochs > shortest
    return row_name(config) + (f", {config.epochs} epochs" if longer else "")


def students_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Distillation: a row a kind of labels, and the gain over hard labels by pairs."""
    groups = statistics.grouped(runs, lambda run: measured.student_name(run.config))
    plain = groups["hard labels"]
    return pd.DataFrame(
        {"learns from": name}
        | columns(chosen, "seeds", "val accuracy", "test accuracy")
        | {"gain, by pairs": "" if chosen is plain else paired_difference(plain, chosen)}
        for name, chosen in groups.items()
    )


def calibration_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Calibration: a row a network, means over seeds, before and after temperature scaling."""
    rows = []
    for name, found in measured.calibrated(runs).items():
        mean = pd.json_normalize(found).mean(numeric_only=True)
        too_sure = np.mean([measured.overconfidence(one) for one in found])
        row = {"network": name, "seeds": len(found)}
        row["confidence - accuracy"] = f"{100 * too_sure:+.2f}"
        row["calibration error"] = percent(mean["before.expected_error"])
        row["temperature"] = f"{mean['temperature']:.2f}"
        row["error when scaled"] = percent(mean["after.expected_error"])
        row["test loss"] = f"{mean['before.loss']:.3f}"
        row["loss when scaled"] = f"{mean['after.loss']:.3f}"
        rows.append(row)
    return pd.DataFrame(rows)


def nearness_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Transfer: how near mistakes are: the class, its superclass, and one of five are right."""
    shown = {"class": "accuracy", "superclass": "superclass_accuracy", "top five": "top5_accuracy"}
    return pd.DataFrame(
        {"network": name, "seeds": len(found)}
        | {title: percents([one[key] for one in found]) for title, key in shown.items()}
        for name, found in measured.by_class(runs).items()
    )


def superclass_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Transfer: a row a superclass, mean accuracy of its classes; what gains most comes first."""
    scratch, tuned, described = measured.class_gains(runs)
    number, names = np.array(described["superclass_of"]), described["superclass_names"]
    return pd.DataFrame(
        {"superclass": name} | _gains(scratch, tuned, number == i) for i, name in enumerate(names)
    ).sort_values("gain, points", key=lambda gains: -gains.str.split().str[0].astype(float))


def kin_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Transfer: do classes gain most that are like the ten? A row a kind of superclass."""
    scratch, tuned, described = measured.class_gains(runs)
    names = described["superclass_names"]
    kinds = np.array([KIN.get(names[i], "all else") for i in described["superclass_of"]])
    return pd.DataFrame(
        {"superclasses": kind, "classes": (kinds == kind).sum()}
        | _gains(scratch, tuned, kinds == kind)
        for kind in dict.fromkeys([*KIN.values(), "all else"])
        if (kinds == kind).any()
    )


def _gains(scratch: np.ndarray, tuned: np.ndarray, chosen: np.ndarray) -> dict[str, str]:
    """Mean accuracy of some classes, and what fine-tuning gains over scratch, by pairs of seeds."""
    before, after = (part[:, chosen].mean(1) for part in (scratch, tuned))
    return {
        "from scratch": percents(before),
        "fine-tuned": percents(after),
        "gain, points": statistics.spread(100 * (after - before)),
    }
