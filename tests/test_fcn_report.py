import json

import pytest
import torch

from labutils import data
from labutils.config import FCNConfig
from labutils.fcn import report
from labutils.fcn.detector import Detections, detect, pixel_probabilities
from labutils.fcn.measures import all_right
from labutils.fcn.networks import load_detector
from labutils.fcn.report import CONDITIONS, alarms, scores
from labutils.fcn.training import train_detector
from labutils.runs import Store, load_or_train

SHARES = (
    "pixel_accuracy", "background_accuracy", "mean_iou", "ap_half", "ap_mean", "recall", "precision"
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detector")
    config = FCNConfig(
        data="digits", width=8, canvases=300, epochs=6, learning_rate=5e-3, batch_size=20, size=40,
        background_weight=0.2,
    )  # fmt: skip
    store = Store(folder / "runs", folder / "scratch")
    return load_or_train(config, train_detector, store=store, keep="fp32", progress=False)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(report, "COUNT", 12)


@pytest.mark.parametrize("condition", CONDITIONS, ids=[one.name for one in CONDITIONS])
def test_every_condition_is_measured_and_stored(condition, run):
    found = scores(run, condition)
    for name in SHARES:
        assert 0 <= found[name] <= 1, name
    assert ("pointing" in found) == condition.name.startswith("one digit")
    assert found["ap_mean"] <= found["ap_half"]
    stored = [
        json.loads(path.read_text()) for path in (run.folder / "measures").glob("detection-*.json")
    ]
    assert found in [one["result"] for one in stored]
    assert condition.options in [one["arguments"]["options"] for one in stored] or (
        json.loads(json.dumps(condition.options)) in [one["arguments"]["options"] for one in stored]
    )


def test_what_is_stored_is_not_measured_again(run, monkeypatch):
    before = scores(run, CONDITIONS[0])
    monkeypatch.setattr(report, "_scores", None)
    assert scores(run, CONDITIONS[0]) == before
    monkeypatch.setattr(report, "COUNT", 13)  # another measure
    with pytest.raises(TypeError):
        scores(run, CONDITIONS[0])


def test_the_dilated_network_is_measured_apart(run, monkeypatch):
    used = []

    def spy(network):
        used.append(network)
        return report_dilated(network)

    report_dilated = report.dilated
    monkeypatch.setattr(report, "dilated", spy)
    scores(run, CONDITIONS[1])
    assert not used
    scores(run, CONDITIONS[1], dilate=True)
    assert len(used) == 2, "for its own threshold, and for the scores"


def test_false_alarms_are_told_by_kind_of_clutter(run):
    found = alarms(run)
    assert set(found) == {"blank", "noise", "strokes", "letters"}
    assert all(0 <= share <= 1 for share in found.values())


def test_the_threshold_sees_validation_digits_alone_and_scores_test_digits(run, monkeypatch):
    digits = data.load("digits")
    seen = []
    for name in ("draw_for", "draw_canvases"):
        original = getattr(report, name)

        def spy(*args, original=original, **options):
            seen.extend(one for one in args if isinstance(one, data.Split))
            return original(*args, **options)

        monkeypatch.setattr(report, name, spy)
    assert 0 < report._threshold(run, dilate=False) < 1
    assert [split is digits.val for split in seen] == [True]
    seen.clear()
    report._test_canvases(run, CONDITIONS[3])
    assert [split is digits.test for split in seen] == [True]


def test_conditions_have_names_of_their_own():
    assert len({condition.name for condition in CONDITIONS}) == len(CONDITIONS)


def test_failures_are_the_canvases_that_are_not_read_right(run):
    condition = CONDITIONS[0]
    found, canvases = (
        report.failures(run, condition),
        report.canvases_of(condition, data.load("digits").test),
    )
    right = 1 - found["share"]
    assert len(found["examples"]) == round(found["share"] * len(canvases))
    strict = report.box_scores(
        detect(load_detector(run), canvases.images), canvases, report.validation_threshold(run)
    )
    assert right <= strict.recall + 1e-6  # a canvas with its digit found may have more on it
    for example in found["examples"]:
        one = Detections.of(example["boxes"], example["labels"], example["scores"])
        assert not all_right(one, canvases, example["index"])


def test_pixels_near_a_digit_name_it_more_often(run):
    distances, shares = report.named_by_distance(run, CONDITIONS[4])
    assert distances == sorted(distances) and distances[0] == 1.0
    assert max(shares[:5]) > 0.03 and max(shares[10:]) == 0  # background, further away


@pytest.fixture(scope="module")
def without_background(tmp_path_factory):
    folder = tmp_path_factory.mktemp("no-background")
    config = FCNConfig(
        data="digits", width=4, canvases=200, epochs=2, learning_rate=5e-3, batch_size=20, size=80,
        background=False,
    )  # fmt: skip
    store = Store(folder / "runs", folder / "scratch")
    return load_or_train(config, train_detector, store=store, keep="fp32", progress=False)


def test_blind_pixels_answer_as_an_empty_canvas_does(without_background):
    found = report.answers_on_black(without_background)
    assert 0 < found["blind"] < 1
    for name in ("probability", "digits", "labels"):
        assert len(found[name]) == 10 and sum(found[name]) == pytest.approx(1, abs=1e-3)
    counts = torch.bincount(data.load("digits").train.labels)
    assert found["digits"] == pytest.approx((counts / counts.sum()).tolist(), abs=1e-6)
    # an empty canvas has no digit anywhere: blind pixels answer what it is answered with
    network = load_detector(without_background)
    empty = pixel_probabilities(network, torch.zeros(1, 1, 80, 80, dtype=torch.uint8))[0]
    low, high = empty.flatten(1).min(1).values, empty.flatten(1).max(1).values
    answers = torch.tensor(found["probability"])
    assert ((answers >= low - 1e-4) & (answers <= high + 1e-4)).all()
