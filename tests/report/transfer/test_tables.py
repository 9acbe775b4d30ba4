from dataclasses import replace

from fakes import fake_runs

from labutils.config.classifier import RunConfig
from labutils.report.transfer import experiments, tables

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


def test_probes_say_where_their_features_come_from():
    given = [
        {"kind": "svm", "layers": experiments.LAST, "side": 2},
        {"kind": "ridge", "layers": experiments.LAYERS, "side": 2, "of": "untrained"},
        {"kind": "neighbours", "of": "pixels"},
    ]
    frame = tables.probes_table([(keywords, PROBE) for keywords in given])
    assert list(frame["features"]) == ["last layer, 2x2", "5 layers, 2x2, untrained", "pixels"]
    assert list(frame["classifier"]) == [
        "linear SVM", "ridge regression", "nearest neighbours",
    ]  # fmt: skip
    assert set(frame["test accuracy"]) == {"45.67 %"}
    assert set(frame["numbers an image"]) == {"3,584"}


def test_probes_are_onto_the_partner_of_the_networks_own_set(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "probe", lambda run, **given: given)
    for data, onto in (("cifar10", "cifar100"), ("shapes10", "shapes20")):
        run = fake_runs(tmp_path, [RunConfig(data=data)])[0]
        assert tables.probed(run, [{"kind": "svm"}]) == [
            ({"kind": "svm"}, {"kind": "svm", "onto": onto})
        ]


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


def test_calibration_is_a_mean_over_seeds():
    def found(error, temperature):
        after = {"expected_error": error / 2, "loss": 0.9}
        before = {"expected_error": error, "loss": 1.0}
        return {"temperature": temperature, "before": before, "after": after}

    groups = {"one": [found(0.02, 1.0), found(0.04, 2.0)], "other": [found(0.1, 0.5)]}
    frame = tables.calibration_table(groups)
    assert list(frame["calibration error"]) == ["3.00 %", "10.00 %"]
    assert list(frame["error when scaled"]) == ["1.50 %", "5.00 %"]
    assert list(frame["temperature"]) == ["1.50", "0.50"]
    assert list(frame["seeds"]) == [2, 1]


def test_superclasses_are_in_the_order_of_their_gain():
    def found(*accuracies):
        return {
            "superclass_names": ["plants", "animals"],
            "superclass_of": [0, 1, 1],
            "class_accuracy": accuracies,
        }

    scratch = [found(0.5, 0.6, 0.8), found(0.7, 0.6, 0.8)]
    tuned = [found(0.65, 0.8, 1.0)]
    frame = tables.superclass_table(tuned, scratch)
    assert list(frame["superclass"]) == ["animals", "plants"]
    assert list(frame["gain, points"]) == ["+20.0", "+5.0"]
    assert list(frame["from scratch"]) == ["70.00 %", "60.00 %"]


def test_every_row_of_the_report_has_a_name():
    for given in (*experiments.PROBES, *experiments.BY_LAYER, *experiments.FEW):
        assert tables.features_name(given) and tables.PROBE_NAMES[given["kind"]]
    names = [tables.row_name(config) for config in experiments.layers.grid()]
    assert len(set(names)) == 4
