from dataclasses import replace

import pytest
from fakes import fake_runs

from labutils.analysis.superclasses import SUPERCLASSES
from labutils.config.classifier import RunConfig
from labutils.report.transfer import experiments, measured, tables

PROBE = {"val_accuracy": 0.5, "test_accuracy": 0.4567, "features": 3_584}


def stored(tmp_path, *rows):
    """A made-up run for each pair of a configuration and a test accuracy."""
    return [fake_runs(tmp_path, [config], test_accuracy=accuracy)[0] for config, accuracy in rows]


def seed(config, number):
    source = f"0000000{number}" if config.source else ""
    return replace(config, seed=number, source=source)


def test_seeds_of_a_row_differ_in_source_too(tmp_path):
    runs = stored(
        tmp_path,
        (seed(experiments.EVERYTHING, 0), 0.7),
        (seed(experiments.HEAD, 0), 0.5),
        (seed(experiments.EVERYTHING, 1), 0.8),
        (seed(experiments.SCRATCH, 0), 0.6),
    )
    frame = tables.layers_table(runs)
    assert list(frame["trained"]) == ["everything", "head", "everything, from scratch"]
    assert list(frame["seeds"]) == [2, 1, 1]
    assert list(frame["test accuracy"]) == ["75.00 ± 7.07 %", "50.00 %", "60.00 %"]
    assert list(frame["optimiser"]) == ["muon", "sgd", "muon"]


def test_benefit_is_a_difference_by_pairs_at_one_budget(tmp_path):
    tuned, scratch = experiments.EVERYTHING, experiments.SCRATCH
    few = {"labels_per_class": 22}
    runs = stored(
        tmp_path,
        (seed(tuned, 0), 0.74),
        (seed(tuned, 1), 0.72),
        (seed(scratch, 1), 0.72),
        (seed(scratch, 0), 0.70),
        (replace(seed(scratch, 0), **few), 0.3),
        (replace(seed(tuned, 0), **few), 0.4),
        # without a partner, and the last no fine-tuning of everything
        (replace(seed(scratch, 0), epochs=20), 0.9),
        (seed(experiments.WITH_SGD, 0), 0.9),
        (replace(seed(tuned, 0), trained="last-two"), 0.9),
    )
    frame = tables.benefit_table(runs)
    assert list(frame["labels a class"]) == [22, "all"]
    assert list(frame["from scratch"]) == ["30.00 %", "71.00 ± 1.41 %"]
    assert list(frame["fine-tuned"]) == ["40.00 %", "73.00 ± 1.41 %"]
    assert list(frame.iloc[:, -1]) == ["10.00", "2.00 ± 2.83"]


@pytest.fixture
def probes(monkeypatch):
    """The probes that are asked for, with the run and the data set; no probe is fitted."""
    asked = []

    def note(run, *, onto, **given):
        asked.append((run, onto, given))
        return PROBE | {"test_accuracy": PROBE["test_accuracy"] + given.get("draw", 0) / 100}

    monkeypatch.setattr(measured, "probe", note)
    return asked


def test_probes_say_where_their_features_come_from(tmp_path, probes):
    grid = [RunConfig(data="cifar10", model=model) for model in ("cnn", "strong")]
    frame = tables.probes_table(fake_runs(tmp_path, grid))
    rows = list(zip(frame["classifier"], frame["features"], strict=True))
    assert ("linear SVM", "last layer, 1x1") in rows
    assert ("ridge regression", "5 layers, 2x2, untrained") in rows
    assert ("nearest neighbours", "pixels") in rows
    assert ("ridge regression", "convolution, pooling, 2x2") in rows
    assert ("linear SVM", "last layer of the CNN, 2x2") in rows
    assert [run.config.model for run, *_ in probes[:4]] == ["cnn"] * 4
    assert len(set(rows)) == len(rows) == len(probes)
    assert set(frame["test accuracy"]) == {"45.67 %"}
    assert set(frame["numbers an image"]) == {"3,584"}


@pytest.mark.parametrize(("data", "onto"), [("cifar10", "cifar100"), ("shapes10", "shapes20")])
def test_probes_are_of_the_first_strong_network_onto_its_sets_partner(data, onto, tmp_path, probes):
    grid = [
        replace(experiments.SCRATCH, data=onto),
        *(RunConfig(data=data, seed=s) for s in (0, 1)),
    ]
    runs = fake_runs(tmp_path, grid)
    assert measured.probed(runs, [{"kind": "svm"}]) == [({"kind": "svm"}, PROBE)]
    few = {} if onto == "cifar100" else {"per_class": 22}
    assert probes == [(runs[1], onto, {"kind": "svm"} | few)]


def test_budgets_have_draws_for_probes_and_seeds_for_networks(tmp_path, probes):
    few = {"labels_per_class": 22, "epochs": 50}
    runs = stored(
        tmp_path,
        (RunConfig(data="cifar10"), 0.9),
        (seed(experiments.HEAD, 0), 0.5),
        (seed(experiments.EVERYTHING, 0), 0.7),
        (seed(experiments.EVERYTHING, 1), 0.8),
        (replace(seed(experiments.EVERYTHING, 0), **few), 0.4),
        (seed(experiments.LONGER, 0), 0.75),
    )
    frame = tables.budget_table(runs).set_index("fitted or trained")
    assert list(frame.columns) == [
        "5 labels a class", "22 labels a class", "112 labels a class", "all labels"
    ]  # fmt: skip
    ridge = frame.loc["ridge regression, 3,584 features"]
    assert list(ridge) == ["47.67 ± 1.58 %"] * 3 + ["45.67 %"]
    assert list(frame.loc["head"]) == ["-", "-", "-", "50.00 %"]
    assert list(frame.loc["everything"]) == ["-", "40.00 %", "-", "75.00 ± 7.07 %"]
    assert list(frame.loc["everything, 32 epochs"]) == ["-", "-", "-", "75.00 %"]


def test_students_are_compared_with_hard_labels_seed_by_seed(tmp_path):
    rows = (experiments.STUDENT, experiments.SMOOTHED, experiments.SOFT)
    accuracies = ((0.80, 0.84), (0.81, 0.84), (0.85, 0.87))
    runs = stored(
        tmp_path,
        *(
            (replace(row, seed=number), values[number])
            for number in (1, 0)
            for row, values in zip(rows, accuracies, strict=True)
        ),
    )
    frame = tables.students_table(runs)
    assert list(frame["learns from"]) == [
        "hard labels", "smoothed labels", "hard and soft, T = 4, weight 0.9",
    ]  # fmt: skip
    assert list(frame["gain, by pairs"]) == ["", "0.50 ± 0.71", "4.00 ± 1.41"]


def compared_runs(tmp_path):
    """Two seeds of each network that is compared, and others that are not."""
    scratch, tuned = experiments.SCRATCH, experiments.EVERYTHING
    both = [seed(config, number) for config in (scratch, tuned) for number in (1, 0)]
    others = [seed(experiments.HEAD, 0), seed(experiments.LONGER, 0), replace(scratch, epochs=20)]
    grid = [RunConfig(data="cifar10"), *others, *both, experiments.STUDENT, experiments.SOFT]
    return fake_runs(tmp_path, grid)


def test_what_is_compared_was_trained_in_whole_for_the_shortest_time(tmp_path):
    groups = measured.compared(compared_runs(tmp_path))
    assert {name: [run.config.seed for run in runs] for name, runs in groups.items()} == {
        "strong network": [0],
        "from scratch": [1, 0],
        "fine-tuned": [1, 0],
        "student, hard labels": [0],
        "student, hard and soft, T = 4, weight 0.9": [0],
    }
    assert {run.config.epochs for run in groups["fine-tuned"]} == {10}


def test_calibration_is_a_mean_over_seeds(tmp_path, monkeypatch):
    def found(run):
        error, number = {"transfer": 0.02}.get(run.config.kind, 0.1), run.config.seed
        bins = {"counts": [6, 0, 4], "confidence": [0.4, None, 0.9], "accuracy": [0.5, None, 0.6]}
        before = {"expected_error": error * (1 + number), "loss": 1.0} | bins
        after = {"expected_error": error / 2, "loss": 0.9}
        return {"temperature": 1.0 + number, "before": before, "after": after}

    monkeypatch.setattr(measured, "calibration", found)
    frame = tables.calibration_table(compared_runs(tmp_path)).set_index("network")
    assert list(frame["seeds"]) == [1, 2, 2, 1, 1]
    row = frame.loc["fine-tuned"]
    assert row["calibration error"] == "3.00 %" and row["error when scaled"] == "1.00 %"
    assert row["temperature"] == "1.50" and row["loss when scaled"] == "0.900"
    assert row["confidence - accuracy"] == "+6.00"  # (6 x -0.1 + 4 x 0.3) / 10


@pytest.fixture
def by_class(tmp_path, monkeypatch):
    """Runs of three classes in two superclasses, whose accuracy differs by seed and start."""

    def found(run):
        accuracies = {0: (0.5, 0.6, 0.8), 1: (0.7, 0.6, 0.8)}[run.config.seed]
        gains = (0.05, 0.2, 0.2) if run.config.source else (0, 0, 0)
        shares = [a + g for a, g in zip(accuracies, gains, strict=True)]
        return {
            "superclass_names": ["trees", "small mammals"],
            "superclass_of": [0, 1, 1],
            "class_accuracy": shares,
            "accuracy": sum(shares) / 3,
            "superclass_accuracy": 0.9,
            "top5_accuracy": 0.95,
        }

    monkeypatch.setattr(measured, "superclass_predictions", found)
    return compared_runs(tmp_path)


def test_superclasses_are_in_the_order_of_their_gain_by_pairs(by_class):
    frame = tables.superclass_table(by_class)
    assert list(frame["superclass"]) == ["small mammals", "trees"]
    assert list(frame["gain, points"]) == ["20.00 ± 0.00", "5.00 ± 0.00"]
    assert list(frame["from scratch"]) == ["70.00 ± 0.00 %", "60.00 ± 14.14 %"]


def test_kin_of_the_ten_classes_are_counted_in_classes(by_class):
    frame = tables.kin_table(by_class)
    assert list(frame["superclasses"]) == ["mammals", "all else"]
    assert list(frame["classes"]) == [2, 1]
    assert list(frame["gain, points"]) == ["20.00 ± 0.00", "5.00 ± 0.00"]


def test_nearness_has_a_row_a_start(by_class):
    frame = tables.nearness_table(by_class).set_index("network")
    assert list(frame.index) == ["from scratch", "fine-tuned"]
    assert frame.loc["fine-tuned", "class"] == "81.67 ± 4.71 %"
    assert set(frame["superclass"]) == {"90.00 ± 0.00 %"}


def test_every_kin_is_a_superclass_of_cifar100():
    assert set(tables.KIN) <= set(SUPERCLASSES)


def test_every_row_of_the_report_has_a_name():
    for given in (
        *experiments.PROBES,
        *experiments.OF_CNN,
        *experiments.BY_LAYER,
        *experiments.FEW,
    ):
        assert tables.features_name(given) and tables.PROBE_NAMES[given["kind"]]
    names = [tables.row_name(config) for config in experiments.layers.grid()]
    assert len(set(names)) == 4
