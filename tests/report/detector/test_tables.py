from dataclasses import replace

import pytest
import torch
from labutils.tables import detection, readme

from labutils import tables
from labutils.config.fcn import FCNConfig
from labutils.fcn.clutter import KINDS
from labutils.fcn.conditions import CONDITIONS
from labutils.fcn.conversion import convolutionalize
from labutils.fcn.networks import classifier_config
from labutils.models.networks import build_model
from labutils.runs.store import Store
from labutils.training.classifiers import Outcome

SIZES = ((28, 28), (64, 52))
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
            found.append(store.save(config, Outcome(torch.nn.Linear(1, 1), {}, metrics)))
    return found


def test_a_row_a_size_of_image():
    config = classifier_config(FCNConfig(model="small-cnn", width=4))
    classifier = build_model(config, (1, 28, 28), 10).eval()
    network = convolutionalize(classifier, (1, 28, 28))
    batches = [torch.randint(0, 256, (2, 1, *size), dtype=torch.uint8) for size in SIZES]
    frame = tables.conversion_table(classifier, network, *batches)
    assert list(frame["image (width x height)"]) == ["28 x 28", "52 x 64"]
    assert list(frame["map"]) == ["1 x 1", "7 x 10"]
    assert set(frame["receptive field of a cell"]) == {"26 px"}
    assert all(float(value) < 1e-5 for value in frame["largest difference in probability"])


def test_a_row_a_head(detectors):
    frame = tables.detector_table(detectors)
    assert list(frame["head"]) == HEADS
    assert set(frame["pixels right"]) == {"95.50 ± 0.71 %"} and set(frame["canvases"]) == {"300"}
    assert set(frame["minutes"]) == {"3.0 ± 1.4"} and set(frame["mean IoU"]) == {"80.00 ± 0.00 %"}


def measured(run, condition, *, dilate=False):
    """Made-up scores that tell which run, condition and network they are of."""
    row = CONDITIONS.index(condition)
    share = 0.5 + 0.01 * row + 0.1 * dilate + 0.2 * HEADS.index(run.config.head)
    names = [name for name in detection.SCORES.values() if name != "pointing"]
    found = dict.fromkeys([*names, "pixel_accuracy"], share + 0.02 * run.config.seed)
    found["background_accuracy"] = 0.4
    return found | ({"pointing": 1.0} if condition.name.startswith("one digit") else {})


def test_a_row_a_condition_and_no_pointing_at_several_digits(detectors, monkeypatch):
    monkeypatch.setattr(detection, "scores", measured)
    frame = tables.condition_table(detectors[:2])
    assert list(frame["canvases"]) == [condition.name for condition in CONDITIONS]
    assert frame["AP at 0.5 (%)"][0] == "51.0 ± 1.4" and frame["AP at 0.5 (%)"][2] == "53.0 ± 1.4"
    assert frame["pointing (%)"][0] == "100.0 ± 0.0" and frame["pointing (%)"].iloc[-1] == "-"
    assert frame["pixels right, all background (%)"][0] == "51.00, 40.00"


def test_where_points_lie_has_a_row_a_kind_of_canvas(detectors, monkeypatch):
    right = {run.config.seed: 0.9 + 0.02 * run.config.seed for run in detectors[:2]}
    monkeypatch.setattr(detection, "in_box", lambda run, condition: 1.0)
    monkeypatch.setattr(
        detection, "scores", lambda run, condition: {"pointing": right[run.config.seed]}
    )
    frame = tables.pointing_table(detectors[:2])
    assert list(frame["canvases"]) == [condition.name for condition in CONDITIONS[:4]]
    assert set(frame["in the box"]) == {"100.00 ± 0.00 %"}
    assert set(frame["in the box, and names the digit"]) == {"91.00 ± 1.41 %"}


def test_four_ways_to_a_dense_map(detectors, monkeypatch):
    monkeypatch.setattr(detection, "scores", measured)
    frame = tables.dense_table(detectors)
    assert list(frame["dense map"]) == [
        "coarse map, upsampled", "dilated, same weights", "deconvolution",
        "scores of finer maps added",
    ]  # fmt: skip
    means = [value.split(" ±")[0] for value in frame["mean IoU (%)"]]
    assert means == ["51.0", "61.0", "71.0", "91.0"]


def test_a_row_a_kind_of_clutter(detectors, monkeypatch):
    def alarms(run):
        return {kind: 0.01 * (1 + run.config.seed) for kind in KINDS}

    monkeypatch.setattr(detection, "alarms", alarms)
    frame = tables.alarm_table(detectors[:2])
    assert list(frame["canvases"]) == list(KINDS)
    assert set(frame["with a detection"]) == {"1.50 ± 0.71 %"}


def test_a_row_a_class_of_what_is_answered_on_black(detectors, monkeypatch):
    shares = {"probability": [0.1] * 10, "labels": [0.2, *[0.8 / 9] * 9], "digits": [0.1] * 10}
    monkeypatch.setattr(detection, "answers_on_black", lambda run: shares | {"blind": 0.3})
    frame = tables.black_table(detectors[0])
    assert list(frame["class"]) == list(range(10))
    assert list(frame["labels of such pixels"][:2]) == ["20.0 %", "8.9 %"]


def test_tables_of_the_readme_take_the_detectors_that_they_speak_of(detectors, monkeypatch):
    """Conditions and false alarms are those of one head, four ways those of all."""
    asked = []
    monkeypatch.setattr(readme, "load", lambda name, which: asked.append(name) or detectors)
    monkeypatch.setattr(detection, "scores", measured)
    measured_runs = []

    def alarms(run):
        measured_runs.append(run)
        return dict.fromkeys(KINDS, 0.0)

    monkeypatch.setattr(detection, "alarms", alarms)
    ways = [row.split("|")[3] for row in tables.report("detector-dense").splitlines()[2:]]
    assert [way.split("\N{NO-BREAK SPACE}")[0].strip() for way in ways] == [
        "51.0",
        "61.0",
        "71.0",
        "91.0",
    ]
    first = tables.report("detector-conditions").splitlines()[2]
    assert first.startswith("| one digit | 91.00, 40.00 | 91.0")
    tables.report("detector-alarms")
    assert measured_runs == [run for run in detectors if run.config.head == "skip"]
    assert asked == ["detector"] * 3
