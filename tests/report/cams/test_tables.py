from dataclasses import replace

import numpy as np
import pytest
from fakes import fake_runs

from labutils.cam import evidence
from labutils.cam.kinds import GRADIENT, Kind
from labutils.config.classifier import RunConfig
from labutils.report.cams import tables
from labutils.report.cams.experiments import (
    FLATTENED,
    KINDS,
    MARKED,
    NETWORK,
    OF_NETWORK,
    WITH_RESIZED,
)

STRONG = RunConfig(data="cifar10", model="strong", width=4, residual=True)
LINE = [0.8, 0.4, 0.0]  # the area below it is 0.4


def of_seeds(folder, config, count=2):
    return fake_runs(folder, [replace(config, seed=seed) for seed in range(count)])


@pytest.fixture(autouse=True)
def measures(monkeypatch):
    """Made-up measures that tell kind, data set and seed; and how many images were asked for."""
    asked = []

    def shift(run):
        return 0.02 * run.config.seed + 0.1 * (run.config.data != "shapes10")

    def localised(run, kinds, count):
        asked.append(count)
        return [
            kind._asdict()
            | {
                "pointing": 0.5 + shift(run) + 0.05 * (kind.placement == "receptive-field"),
                "box_pointing": 0.9,
                "energy": 0.3 + 0.1 * (kind.layer == "finer"),
                "down": -0.5 if kind.placement == "receptive-field" else 0.25,
                "right": 0.1 * run.config.seed,
                "iou": 0.01 * list(kinds).index(kind),
                "threshold": 0.4,
            }
            for kind in kinds
        ]

    def faithful(run, kinds, count):
        asked.append(count)
        assert run.config.model == "strong"
        return [
            kind._asdict()
            | {"fill": fill, "deletion": LINE, "insertion": [0.1 * (fill == "blur")] * 3}
            for kind in kinds
            for fill in ("mean", "blur")
        ]

    def steady(run, kinds, count):
        asked.append(count)
        return [
            kind._asdict() | {"noise": 0.9 - 0.02 * run.config.seed, "shift": 0.5} for kind in kinds
        ]

    for function in (localised, faithful, steady):
        monkeypatch.setattr(evidence, function.__name__, function)
    return asked


def test_kinds_have_names_of_their_own():
    assert tables.kind_name(Kind("grad-cam"), same=" = CAM") == "Grad-CAM = CAM, last map"
    assert tables.kind_name(Kind("layercam", "finer"), same=" = CAM") == "LayerCAM, finer map"
    resized = Kind("grad-cam", "finer", "resize")
    assert tables.kind_name(resized) == "Grad-CAM, finer map, resized"
    assert tables.kind_name(Kind(GRADIENT)) == GRADIENT
    names = [tables.kind_name(kind) for kind in {*WITH_RESIZED, *FLATTENED}]
    assert len(names) == len(set(names))


def test_the_row_of_a_kind_is_found_by_all_its_fields():
    rows = [Kind("grad-cam")._asdict() | {"fill": fill} for fill in ("mean", "blur")]
    assert tables.of_kind(rows, Kind("grad-cam"), fill="blur") is rows[1]
    with pytest.raises(StopIteration):
        tables.of_kind(rows, Kind("grad-cam", "finer"))


def test_the_area_of_a_line_and_of_a_step():
    assert tables.area(LINE) == pytest.approx(0.4)
    assert tables.area([1.0] * 33) == pytest.approx(1)


def test_a_row_a_kind_of_map_with_scores_on_each_set_and_areas(tmp_path, measures):
    canvases = replace(NETWORK, data="mnist-canvases")
    runs = of_seeds(tmp_path, NETWORK) + of_seeds(tmp_path, canvases) + of_seeds(tmp_path, STRONG)
    frame = tables.believed_table(runs)
    assert list(frame["map"]) == [
        "Grad-CAM = CAM, last map",
        *(tables.kind_name(kind) for kind in KINDS[1:]),
    ]
    assert set(frame["shapes: pointing (%)"]) == {"56.0 ± 1.4"}
    assert set(frame["canvases: pointing (%)"]) == {"66.0 ± 1.4"}
    assert set(frame["canvases: pointing, box (%)"]) == {"90.0 ± 0.0"}
    finer = [kind.layer == "finer" for kind in KINDS]
    assert list(frame["shapes: energy inside (%)"] == "40.0 ± 0.0") == finer
    assert list(frame["canvases: IoU (%)"]) == [
        f"{WITH_RESIZED.index(kind)}.0 ± 0.0" for kind in KINDS
    ]
    for fill in ("mean", "blur"):
        assert set(frame[f"CIFAR-10: deletion, {fill}"]) == {"0.400 ± 0.000"}
    assert set(frame["CIFAR-10: insertion, mean"]) == {"0.000 ± 0.000"}
    assert set(frame["CIFAR-10: insertion, blur"]) == {"0.100 ± 0.000"}
    assert set(measures) == {1_000}


def test_the_short_table_has_columns_of_the_whole_one(tmp_path):
    canvases = replace(NETWORK, data="mnist-canvases")
    runs = of_seeds(tmp_path, NETWORK) + of_seeds(tmp_path, canvases) + of_seeds(tmp_path, STRONG)
    short, whole = tables.short_table(runs), tables.believed_table(runs)
    assert len(short.columns) == 7 and short.equals(whole[short.columns])


def test_strong_networks_on_stand_ins_are_not_taken_for_those_with_masks(
    tmp_path, measures, monkeypatch
):
    """In the quick profile both are trained on shapes."""
    monkeypatch.setenv("LAB_PROFILE", "quick")
    runs = of_seeds(tmp_path, NETWORK, 1) + of_seeds(tmp_path, replace(STRONG, data="shapes10"), 1)
    frame = tables.believed_table(runs)
    assert set(frame["shapes: pointing (%)"]) == {"55.0"}
    assert set(frame["CIFAR-10: deletion, mean"]) == {"0.400"} and set(measures) == {50}


def test_what_placement_is_worth_stands_in_neighbouring_rows(tmp_path):
    canvases = replace(NETWORK, data="digits-canvases")
    runs = of_seeds(tmp_path, NETWORK) + of_seeds(tmp_path, canvases)
    frame = tables.placement_table(runs)
    assert list(frame["images"]) == ["shapes"] * 4 + ["canvases"] * 4
    assert (
        list(frame["map"])
        == ["Grad-CAM, last map"] * 2
        + ["Grad-CAM, finer map"] * 2
        + ["Grad-CAM, last map"] * 2
        + ["Grad-CAM, finer map"] * 2
    )
    assert list(frame["drawn"]) == ["where cells look", "resized"] * 4
    assert list(frame["pixels too far down"]) == ["-0.5 ± 0.0", "0.2 ± 0.0"] * 4
    assert set(frame["pixels too far right"]) == {"0.1 ± 0.1"}
    assert (
        list(frame["pointing (%)"])
        == ["56.0 ± 1.4", "51.0 ± 1.4"] * 2 + ["66.0 ± 1.4", "61.0 ± 1.4"] * 2
    )
    places = [
        WITH_RESIZED.index(Kind("grad-cam", layer, placement))
        for layer in ("last", "finer")
        for placement in ("receptive-field", "resize")
    ]
    assert list(frame["IoU (%)"]) == 2 * [f"{place}.0 ± 0.0" for place in places]


def test_a_row_a_method_behind_a_flattening_head(tmp_path):
    frame = tables.flattened_table(of_seeds(tmp_path, NETWORK))
    assert list(frame["map"]) == [tables.kind_name(kind) for kind in FLATTENED]
    assert frame["map"][0] == "Grad-CAM, last map", "here it is not CAM"
    assert list(frame["IoU (%)"]) == [f"{place}.0 ± 0.0" for place in range(len(FLATTENED))]


def test_a_row_a_resolution_from_coarse_to_fine(tmp_path):
    runs = of_seeds(tmp_path, NETWORK)
    runs += fake_runs(tmp_path, [replace(NETWORK, stages=2)], test_accuracy=0.7)
    runs += fake_runs(tmp_path, [replace(NETWORK, stem_stride=2)], test_accuracy=0.6)
    frame = tables.resolution_table(runs)
    assert list(frame["cells of the last map"]) == ["4 x 4", "8 x 8", "16 x 16"]
    assert list(frame["seeds"]) == [1, 2, 1]
    assert list(frame["test accuracy"]) == ["60.00 %", "90.00 ± 0.00 %", "70.00 %"]
    assert list(frame["pointing (%)"]) == ["55.0", "56.0 ± 1.4", "55.0"]


def test_steadiness_has_a_row_for_each_kind_that_asks_the_network(tmp_path):
    frame = tables.steadiness_table(of_seeds(tmp_path, STRONG))
    assert list(frame["map"]) == [tables.kind_name(kind) for kind in OF_NETWORK]
    assert set(frame["noise of 1 %"]) == {"0.890 ± 0.014"}
    assert set(frame["shift by a pixel"]) == {"0.500 ± 0.000"}


def test_untrained_layers_from_the_head_to_all(tmp_path, monkeypatch):
    def randomised(run, kinds, count):
        correlation = [0.5 - 0.1 * run.config.seed, 0.3, 0.25]
        return [
            kind._asdict() | {"layers": list("abc"), "correlation": correlation} for kind in kinds
        ]

    monkeypatch.setattr(evidence, "randomised", randomised)
    frame = tables.randomised_table(of_seeds(tmp_path, STRONG))
    assert len(frame) == len(set(frame["map"])) == 5
    assert set(frame["head untrained"]) == {"0.45 ± 0.07"}
    assert set(frame["all untrained"]) == {"0.25 ± 0.00"}


def test_a_row_a_sign_of_a_wrong_prediction(tmp_path, monkeypatch):
    def warning(run):
        signs = ("log odds", "entropy", "energy at border")
        means = {sign: {"right": 0.5, "wrong": 0.7 + 0.1 * run.config.seed} for sign in signs}
        auc = dict(zip((*signs, "all"), np.array([0.9, 0.6, 0.5, 0.91]), strict=True))
        return {"wrong": 0.05, "means": means, "auc": auc}

    monkeypatch.setattr(evidence, "warning", warning)
    frame = tables.warning_table(of_seeds(tmp_path, STRONG))
    assert list(frame["sign"]) == [
        "probability (log odds)", "entropy of the map", "energy at the border", "all three",
    ]  # fmt: skip
    assert list(frame["mean of wrong ones"]) == ["0.75 ± 0.07"] * 3 + [""]
    assert list(frame["mean of right predictions"]) == ["0.50 ± 0.00"] * 3 + [""]
    assert list(frame["area under ROC curve"]) == [
        "0.900 ± 0.000", "0.600 ± 0.000", "0.500 ± 0.000", "0.910 ± 0.000",
    ]  # fmt: skip


def test_the_mark_has_a_row_a_training_set_and_a_test(tmp_path, monkeypatch):
    def mark_dependence(run):
        cheats = run.config.data == "shapes10-marked"
        one = {"accuracy": 0.9, "class_accuracy": 0.2, "answers": 0.01, "energy": 0.0}
        other = {"accuracy": 0.1, "class_accuracy": 1.0, "answers": 0.99, "energy": 0.8}
        return {"none": one, "all": other if cheats else one}

    monkeypatch.setattr(evidence, "mark_dependence", mark_dependence)
    evenly = replace(MARKED, data="shapes10-marked-evenly")
    frame = tables.mark_table(of_seeds(tmp_path, MARKED) + of_seeds(tmp_path, evenly))
    assert (
        list(frame["mark in training"])
        == ["on the marked class alone"] * 2 + ["on half of each class"] * 2
    )
    assert list(frame["mark in test"]) == ["no image", "every image"] * 2
    for column, values in {
        "accuracy": ("90", "10", "90", "90"),
        "accuracy on the marked class": ("20", "100", "20", "20"),
        "others named that class": ("1", "99", "1", "1"),
        "energy of its map near the mark": ("0", "80", "0", "0"),
    }.items():
        assert list(frame[column]) == [f"{value}.00 ± 0.00 %" for value in values], column


def test_as_many_images_as_the_profile_affords(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(evidence, "randomised", lambda run, kinds, count: asked.append(count))
    (run,) = of_seeds(tmp_path, NETWORK, 1)
    tables.randomised(run)
    monkeypatch.setenv("LAB_PROFILE", "quick")
    tables.randomised(run)
    assert asked == [1_000, 50]
