from dataclasses import replace

import numpy as np
import pytest
import torch

from labutils.config.fcn import FCNConfig
from labutils.data.clutter import CLUTTER
from labutils.fcn.conditions import CONDITIONS, SIZES
from labutils.report.detector import tables
from labutils.report.detector.experiments import BEST_HEAD
from labutils.runs.store import Store
from labutils.training.classifiers import Outcome

HEADS = ["sliding", "deconvolution", "skip"]


@pytest.fixture
def detectors(tmp_path):
    """Stored detectors of three heads and two seeds; the second seed is a point better."""
    store = Store(tmp_path / "runs", tmp_path / "scratch")
    found = []
    for head in HEADS:
        for seed in range(2):
            metrics = {
                "parameters": 1234,
                "seconds": 120.0 * (1 + seed),
                "test_loss": 0.1,
                "test_accuracy": 0.95 + 0.01 * seed,
                "test_mean_iou": 0.8,
            }
            config = replace(FCNConfig(epochs=3, canvases=100), head=head, seed=seed)
            history = {"train_accuracy": [0.9]}
            found.append(store.save(config, Outcome(torch.nn.Linear(1, 1), history, metrics)))
    return found


def test_a_row_a_size_of_image(detectors, monkeypatch):
    cell = {"receptive_field": 26, "stride": 4, "difference": 2.4e-7}
    found = [
        {"image": [28, 28], "map": [1, 1], **cell},
        {"image": [64, 52], "map": [10, 7], **cell},
    ]
    monkeypatch.setattr(tables, "window_agreement", lambda run: found)
    frame = tables.conversion_table(detectors[0])
    assert list(frame["image (width x height)"]) == ["28 x 28", "52 x 64"]
    assert list(frame["map"]) == ["1 x 1", "7 x 10"]
    assert set(frame["receptive field of a cell"]) == {"26 px"}
    assert set(frame["between cells"]) == {"4 px"}
    assert set(frame["largest difference in probability"]) == {"2e-07"}


def test_a_row_a_head(detectors):
    frame = tables.detector_table(detectors)
    assert list(frame["head"]) == ["sliding", "deconvolution", "finer maps"]
    assert set(frame["pixels right"]) == {"95.50 ± 0.71 %"} and set(frame["canvases"]) == {"300"}
    assert set(frame["minutes"]) == {"3.0 ± 1.4"} and set(frame["mean IoU"]) == {"80.00 ± 0.00 %"}


def measured(run, condition, *, dilate=False):
    """Made-up scores that tell which run, condition and network they are of."""
    row = CONDITIONS.index(condition)
    share = 0.5 + 0.01 * row + 0.1 * dilate + 0.2 * HEADS.index(run.config.head)
    names = [name for name in tables.SCORES.values() if name != "pointing"]
    found = dict.fromkeys([*names, "pixel_accuracy"], share + 0.02 * run.config.seed)
    found["background_accuracy"] = 0.4
    return found | ({"pointing": 1.0} if condition.name.startswith("one digit") else {})


def test_a_row_a_condition_and_no_pointing_at_several_digits(detectors, monkeypatch):
    monkeypatch.setattr(tables, "scores", measured)
    draws = np.linspace(0.8, 0.9, 1001)  # of the mean 0.85 to 0.95, an even spread
    monkeypatch.setattr(tables, "resampled", lambda run, kind: draws + 0.1 * run.config.seed)
    frame = tables.condition_table(detectors)
    assert list(frame["canvases"]) == [condition.name for condition in CONDITIONS]
    precision = list(frame["AP at 0.5 (%), 95 % interval"])
    assert precision[0] == "91.0 ± 1.4 (85.2 to 94.8)" and precision[2].startswith("93.0 ± 1.4 (")
    assert frame["pointing (%)"][0] == "100.0 ± 0.0" and frame["pointing (%)"].iloc[-1] == "-"
    assert frame["pixels right, all background (%)"][0] == "91.00, 40.00"


def test_where_points_lie_has_a_row_a_kind_of_canvas(detectors, monkeypatch):
    monkeypatch.setattr(
        tables, "in_box", lambda run, condition: {"share": 1 - 0.1 * run.config.seed}
    )
    monkeypatch.setattr(tables, "scores", measured)
    frame = tables.pointing_table(detectors)
    assert list(frame["canvases"]) == [condition.name for condition in CONDITIONS[:4]]
    assert set(frame["in the box"]) == {"95.00 ± 7.07 %"}
    assert set(frame["in the box, and names the digit"]) == {"100.00 ± 0.00 %"}


def test_once_and_through_the_pyramid_stand_side_by_side(detectors, monkeypatch):
    def pyramid_scores(run, condition):
        once = {"precision": 0.5, "recall": 0.2 + 0.02 * run.config.seed}
        return {"once": once, "pyramid": {"precision": 0.9, "recall": 0.8}}

    monkeypatch.setattr(tables, "pyramid_scores", pyramid_scores)
    frame = tables.pyramid_table(detectors)
    assert list(frame["canvases"]) == [condition.name for condition in SIZES]
    assert set(frame["recall, once"]) == {"21.00 ± 1.41 %"}
    assert set(frame["precision, pyramid"]) == {"90.00 ± 0.00 %"}


def test_four_ways_to_a_dense_map(detectors, monkeypatch):
    monkeypatch.setattr(tables, "scores", measured)
    frame = tables.dense_table(detectors)
    assert list(frame["head"]) == [
        "sliding: coarse map, upsampled", "sliding, dilated: same weights", "deconvolution",
        "finer maps: their scores added",
    ]  # fmt: skip
    means = [value.split(" ±")[0] for value in frame["mean IoU (%)"]]
    assert means == ["51.0", "61.0", "71.0", "91.0"]


def test_a_row_a_kind_of_clutter(detectors, monkeypatch):
    """Of the detectors with the best head alone."""

    def alarms(run):
        return dict.fromkeys(CLUTTER, 0.01 * (1 + run.config.seed) + (run.config.head != BEST_HEAD))

    monkeypatch.setattr(tables, "alarms", alarms)
    frame = tables.alarm_table(detectors)
    assert list(frame["canvases"]) == list(CLUTTER)
    assert set(frame["with a detection"]) == {"1.50 ± 0.71 %"}


def test_a_row_a_class_of_what_is_answered_on_black(detectors, monkeypatch):
    shares = {"probability": [0.1] * 10, "labels": [0.2, *[0.8 / 9] * 9], "digits": [0.1] * 10}
    monkeypatch.setattr(tables, "answers_on_black", lambda run: shares | {"blind": 0.3})
    frame = tables.black_table(detectors)
    assert list(frame["class"]) == list(range(10))
    assert list(frame["labels of such pixels"][:2]) == ["20.0 %", "8.9 %"]
