import json

import numpy as np
import pytest
import torch

from labutils import data
from labutils.config.fcn import FCNConfig
from labutils.fcn import conditions, networks
from labutils.fcn import scores as module
from labutils.fcn.boxes import all_right
from labutils.fcn.conditions import CONDITIONS
from labutils.fcn.detection import Detections, detect, pixel_probabilities
from labutils.fcn.networks import dilated, load_detector
from labutils.fcn.pixels import pointing
from labutils.fcn.scores import (
    alarms,
    failures,
    in_box,
    named_by_distance,
    pyramid_scores,
    resampled,
    scores,
    validation_threshold,
)
from labutils.fcn.training import train_detector
from labutils.runs.load import load_or_train
from labutils.runs.store import Store

SHARES = (
    "pixel_accuracy", "background_accuracy", "mean_iou", "ap_half", "ap_mean", "recall", "precision"
)  # fmt: skip


@pytest.fixture
def run(detector):
    return detector


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(conditions, "COUNT", 12)


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


def test_average_precision_is_drawn_again_around_what_it_is(run, monkeypatch):
    monkeypatch.setattr(conditions, "COUNT", 40)
    monkeypatch.setattr(module, "PART", 7)
    found, drawn = scores(run, CONDITIONS[0])["ap_half"], resampled(run, CONDITIONS[0])
    assert len(drawn) == module.DRAWS and min(drawn) < found < max(drawn)
    assert np.mean(drawn) == pytest.approx(found, abs=0.1)
    monkeypatch.setattr(module, "ready", None)
    assert resampled(run, CONDITIONS[0]) == drawn, "stored"


def test_points_lie_in_boxes_as_often_in_parts_as_at_once(run, monkeypatch):
    monkeypatch.setattr(module, "PART", 5)
    canvases = conditions.canvases_of(CONDITIONS[0], data.load(run.config.data).test, 12)
    at_once = pointing(pixel_probabilities(load_detector(run), canvases.images), canvases)
    assert in_box(run, CONDITIONS[0])["share"] == pytest.approx(at_once.in_box)
    assert scores(run, CONDITIONS[0])["pointing"] == pytest.approx(at_once.right)
    with pytest.raises(ValueError, match="may have several digits"):
        in_box(run, CONDITIONS[7])


def test_what_is_stored_is_not_measured_again(run, monkeypatch):
    before = scores(run, CONDITIONS[0])
    monkeypatch.setattr(module, "ready", None)
    assert scores(run, CONDITIONS[0]) == before
    monkeypatch.setattr(conditions, "COUNT", 13)  # another measure
    with pytest.raises(TypeError):
        scores(run, CONDITIONS[0])


@pytest.fixture
def sliding(tmp_path):
    config = FCNConfig(data="digits", width=4, canvases=20, epochs=1, batch_size=10, size=40)
    store = Store(tmp_path / "runs", tmp_path / "scratch")
    return load_or_train(config, train_detector, store=store, keep="fp32", progress=False)


def test_the_dilated_network_is_measured_apart(sliding, monkeypatch):
    used = []

    def spy(network):
        used.append(network)
        return dilated(network)

    monkeypatch.setattr(networks, "dilated", spy)
    scores(sliding, CONDITIONS[1])
    assert not used
    scores(sliding, CONDITIONS[1], dilate=True)
    assert len(used) == 2, "for its own threshold, and for the scores"


def test_false_alarms_are_told_by_kind_of_clutter(run):
    found = alarms(run)
    assert set(found) == {"blank", "noise", "strokes", "letters"}
    assert all(0 <= share <= 1 for share in found.values())


def test_the_threshold_sees_validation_digits_alone_and_scores_test_digits(run, monkeypatch):
    digits = data.load("digits")
    seen = []
    for name in ("draw_for", "canvases_of"):
        original = getattr(module, name)

        def spy(*args, original=original, **options):
            seen.extend(one for one in args if isinstance(one, data.Split))
            return original(*args, **options)

        monkeypatch.setattr(module, name, spy)
    assert 0 < validation_threshold.__wrapped__(run) < 1
    assert [split is digits.val for split in seen] == [True]
    seen.clear()
    module._test_canvases(run, CONDITIONS[3])
    assert [split is digits.test for split in seen] == [True]


def test_failures_are_the_canvases_that_are_not_read_right(run, monkeypatch):
    monkeypatch.setattr(module, "FAILURES", 3)
    condition = CONDITIONS[-1]  # touching digits: the hardest
    found = failures(run, condition)
    canvases = conditions.canvases_of(condition, data.load("digits").test)
    threshold = validation_threshold(run)
    read = [one.above(threshold) for one in detect(load_detector(run), canvases.images)]
    wrong = [i for i, one in enumerate(read) if not all_right(one, canvases, i)]
    assert found["share"] == pytest.approx(len(wrong) / len(canvases)) and len(wrong) > 3
    assert [example["index"] for example in found["examples"]] == wrong[:3]
    for example in found["examples"]:
        one = Detections.of(example["boxes"], example["labels"], example["scores"])
        assert torch.equal(one.boxes, read[example["index"]].boxes)
        assert one.text == read[example["index"]].text


def test_all_right_means_each_digit_and_nothing_else():
    canvases = conditions.canvases_of(CONDITIONS[7], data.load("digits").test, 1)
    there = canvases.labels[0] >= 0
    boxes, labels = canvases.boxes[0][there].tolist(), canvases.labels[0][there].tolist()
    scores = [0.9] * len(labels)
    assert all_right(Detections.of(boxes, labels, scores), canvases, 0)
    assert not all_right(Detections.of(boxes[1:], labels[1:], scores[1:]), canvases, 0)
    more = Detections.of([*boxes, [0, 0, 4, 4]], [*labels, 1], [*scores, 0.9])
    assert not all_right(more, canvases, 0)


def test_the_pixels_of_a_digit_are_named_by_their_distance_from_its_middle(run, monkeypatch):
    monkeypatch.setattr(module, "FEWEST", 1)
    distances, shares = named_by_distance(run, CONDITIONS[4]).values()
    assert distances == sorted(distances) and distances[0] == 1.0
    assert distances[-1] <= 20, "a digit of 28 pixels reaches no farther"
    assert max(shares) > 0.5 and all(0 <= share <= 1 for share in shares)
    with pytest.raises(ValueError, match="several digits"):
        named_by_distance(run, CONDITIONS[7])


def test_the_pyramid_finds_sizes_that_the_network_was_not_trained_on(run, monkeypatch):
    monkeypatch.setattr(conditions, "COUNT", 60)  # a third of it are looked at
    for condition in conditions.SIZES:
        found = pyramid_scores(run, condition)
        assert found["pyramid"]["recall"] > found["once"]["recall"], condition.name
        assert found["pyramid"]["recall"] > 0.1
