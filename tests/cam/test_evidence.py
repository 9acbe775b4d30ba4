"""Measures of maps, on networks of which it is known what they look at."""

import itertools
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from colour_squares import network_of, sees_colours, squares
from fakes import fake_outcome
from small_networks import CIFAR, CONFIGS
from torch import nn

from labutils import data
from labutils.cam import evidence
from labutils.cam.kinds import GRADIENT, Kind
from labutils.config.classifier import RunConfig
from labutils.data import DataSet, Split
from labutils.data.variants import MARK, marked
from labutils.models.blocks import GlobalAveragePool
from labutils.models.networks import build_model
from labutils.runs.store import Store
from labutils.training import execution

CAM, GAUSSIAN, RANDOM, EDGES = map(Kind, ("grad-cam", "centred Gaussian", "random", "edges"))
NAMES = ("red", "green", "blue")


def set_of(val, test):
    """Without training images: no measure may look at one."""
    none = test.take(slice(0))
    return DataSet("squares", NAMES, none, val, test, torch.zeros(3), torch.ones(3))


@pytest.fixture
def run_of(tmp_path, monkeypatch):
    """A function that makes a run of a network, and `data.load` give its images."""

    numbers = itertools.count()  # no run has the measures of another one

    def make(network, images, name="shapes10"):
        monkeypatch.setattr(data, "load", lambda asked: images)
        config = RunConfig(data=name, model="resnet", depth=8, width=4)
        metrics = {"weights_sha256": f"{next(numbers)}"}
        return SimpleNamespace(
            config=config, folder=tmp_path, metrics=metrics, model=lambda: network
        )

    return make


@pytest.fixture
def coloured(run_of):
    """A run whose maps are the objects."""
    val, test = squares(40, seed=1), squares(30, seed=2)
    return run_of(sees_colours(), set_of(val, test))


# Localisation


def test_a_map_that_is_the_object_points_at_it_and_a_bell_in_the_middle_does_not(coloured):
    found = evidence.localised(coloured, [CAM, Kind("layercam"), GAUSSIAN], 30)
    assert [row["method"] for row in found] == ["grad-cam", "layercam", "centred Gaussian"]
    for row in found[:2]:
        assert row["pointing"] == 1 and row["iou"] > 0.7 and row["energy"] > 0.5
        assert (row["layer"], row["placement"]) == ("last", "receptive-field")
    bell = found[2]
    assert bell["pointing"] == 0 and bell["iou"] < 0.2 and bell["energy"] < 0.1


def test_a_map_of_another_place_misses(run_of):
    network, images = sees_colours(), squares(20, seed=3)
    moved = replace(images, masks=images.masks.flip(1))  # objects are at the top or at the bottom
    (row,) = evidence.localised(run_of(network, set_of(moved, moved)), [CAM], 20)
    assert row["pointing"] == 0 and row["energy"] < 0.01


def test_the_threshold_is_chosen_on_validation_images_alone(run_of):
    small, large = squares(30, seed=1), squares(30, seed=1, grow=2)
    found = {}
    for name, val, test in (("a", small, small), ("b", small, large), ("c", large, small)):
        (found[name],) = evidence.localised(run_of(sees_colours(), set_of(val, test)), [CAM], 30)
    assert found["a"]["threshold"] == found["b"]["threshold"] > found["c"]["threshold"]
    assert found["a"]["iou"] > found["b"]["iou"], "the test images decide the score"
    assert found["a"]["iou"] > found["c"]["iou"], "a threshold for larger objects"


def test_only_so_many_images_are_measured(run_of):
    val, test = squares(30, seed=1), squares(30, seed=2)
    broken = replace(test, masks=torch.cat([test.masks[:10], 1 - test.masks[10:]]))
    run = run_of(sees_colours(), set_of(val, broken))
    (few,), (all_of_them,) = (evidence.localised(run, [CAM], count) for count in (10, 30))
    assert few["pointing"] == 1 and all_of_them["pointing"] == pytest.approx(1 / 3)


# Deletion and insertion


def test_curves_go_from_the_whole_image_to_the_fill_and_back(run_of):
    test = squares(30, seed=2)
    run = run_of(sees_colours(0.4), set_of(test, test))
    found = evidence.faithful(run, [CAM, GAUSSIAN], 30)
    assert [(row["method"], row["fill"]) for row in found] == [
        (method, fill) for method in ("grad-cam", "centred Gaussian") for fill in ("mean", "blur")
    ]
    whole = run.model()(test.images).softmax(1).amax(1).mean().item()
    for row in found:
        assert len(row["deletion"]) == len(row["insertion"]) == 33
        assert row["deletion"][0] == pytest.approx(whole) == row["insertion"][-1]
        assert row["deletion"][-1] == pytest.approx(row["insertion"][0])
    for fill in range(2):  # the object is 2 of 32 steps
        true, bell = found[fill], found[2 + fill]
        assert sum(true["insertion"]) > sum(bell["insertion"]) + 3
        assert sum(true["deletion"]) < sum(bell["deletion"]) - 3


def test_curves_are_of_the_predicted_class(run_of):
    """With the labels of other classes they stay as they are."""
    right = squares(20, seed=4)
    wrong = replace(right, labels=(right.labels + 1) % 3)
    first = evidence.faithful(run_of(sees_colours(0.4), set_of(right, right)), [CAM], 20)
    again = run_of(sees_colours(0.4), set_of(wrong, wrong))
    assert evidence.faithful(again, [CAM], 20) == first


# Steadiness, and layers without their training


@pytest.fixture
def textured(run_of):
    """An untrained network, and images of noise."""
    drawn = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (6, *CIFAR), generator=drawn, dtype=torch.uint8)
    test = Split(images, torch.arange(6))
    return run_of(build_model(CONFIGS["resnet20"], CIFAR, 10).eval(), set_of(test, test))


def test_what_ignores_the_image_is_steady_and_what_follows_pixels_is_not(textured):
    bell, edges, finer = evidence.steady(textured, [GAUSSIAN, EDGES, Kind("grad-cam", "finer")], 6)
    assert bell["noise"] == pytest.approx(1) and bell["shift"] == pytest.approx(1)
    assert edges["noise"] > 0.95 and abs(edges["shift"]) < 0.5
    assert 0.5 < finer["noise"] < 1 - 1e-6 and finer["shift"] < finer["noise"]
    assert finer["layer"] == "finer"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_as_layers_lose_their_training_maps_that_ask_the_network_change(
    textured, precision, monkeypatch
):
    """In bf16, too, where autocast keeps what it made of the weights."""
    monkeypatch.setattr(execution, "multiplies_bf16", lambda device: True)
    textured.config = replace(textured.config, precision=precision)
    network = textured.model()
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    finer = Kind("layercam", "finer")
    rows = evidence.randomised(textured, [CAM, finer, Kind(GRADIENT), EDGES], 6)
    for row in rows:
        assert len(row["layers"]) == len(row["correlation"])
        assert row["layers"] == rows[0]["layers"]
        assert all(-1 <= value <= 1 + 1e-9 for value in row["correlation"])
    layers = rows[0]["layers"]
    assert layers[0] == "head.1" and layers[-1] == "stem.0"
    assert len(layers) == sum(
        any(True for _ in module.parameters(recurse=False)) for module in network.modules()
    )
    for row in rows[:3]:
        assert abs(row["correlation"][0]) < 0.95, "the first layer alone changes the map"
        assert abs(row["correlation"][-1]) < 0.8, row["method"]
    assert rows[3]["correlation"] == pytest.approx([1] * len(layers)), "edges ask no network"
    after = network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in weights.items())


# Warning


def predictions(count, *, seed, spread_when_wrong=True):
    """Half of the predictions are wrong, and their maps are spread; the probabilities are equal.

    A colour fills either one inner cell, or all 16 of them at a sixteenth of the brightness.
    """
    drawn = torch.Generator().manual_seed(seed)
    images = torch.zeros(count, 3, 16, 16, dtype=torch.uint8)
    labels = torch.randint(3, (count,), generator=drawn)
    wrong = torch.arange(count) % 2 == 1
    for number in range(count):
        brightness = 16 * torch.randint(5, 16, (), generator=drawn).item()
        color = (labels[number] + wrong[number]) % 3
        if wrong[number] == spread_when_wrong:
            images[number, color] = brightness // 16
        else:
            images[number, color, 4:8, 8:12] = brightness
    return Split(images, labels)


def test_entropy_that_tells_wrong_from_right_warns_and_equal_probabilities_do_not(run_of):
    parts = predictions(120, seed=0), predictions(200, seed=1)
    found = evidence.warning(run_of(sees_colours(), set_of(*parts)))
    assert found["wrong"] == 0.5
    assert set(found["auc"]) == {"log odds", "entropy", "energy at border", "all"}
    assert found["auc"]["entropy"] == found["auc"]["all"] == 1
    assert 0.35 < found["auc"]["log odds"] < 0.65
    assert found["means"]["entropy"]["wrong"] == pytest.approx(1)
    assert found["means"]["entropy"]["right"] < 0.8
    border = found["means"]["energy at border"]
    assert border["wrong"] == pytest.approx(1 - (12 / 16) ** 2) and border["right"] < 0.1
    odds = found["means"]["log odds"]
    assert odds["wrong"] == pytest.approx(odds["right"], rel=0.1)


def test_where_all_predictions_are_right_there_is_nothing_to_warn_of(run_of):
    images = squares(20, seed=0)
    found = evidence.warning(run_of(sees_colours(), set_of(images, images)))
    assert found["wrong"] == 0 and all(math.isnan(value) for value in found["auc"].values())
    assert math.isnan(found["means"]["entropy"]["wrong"])
    assert 0 <= found["means"]["entropy"]["right"] <= 1


def test_which_direction_is_suspicious_is_learned_on_validation_images(run_of):
    """Where the test images are the opposite of the validation images, the sign misleads."""
    val, test = predictions(120, seed=0), predictions(200, seed=1, spread_when_wrong=False)
    found = evidence.warning(run_of(sees_colours(), set_of(val, test)))
    assert found["auc"]["entropy"] == 0
    assert found["means"]["entropy"]["right"] > found["means"]["entropy"]["wrong"]


# The mark


class Magenta(nn.Module):
    """One channel: how much of red and blue is in a pixel without green."""

    def forward(self, x):
        return (x[:, 0] + x[:, 2] - 2 * x[:, 1] - 1).relu()[:, None]


class Upper(nn.Module):
    """One channel: the green of the upper half."""

    def forward(self, x):
        green = x[:, 1:2].clone()
        green[:, :, 16:] = 0
        return green


def one_channel(stem, weight, threshold):
    """Class 0 where the mean of the channel is above a threshold, else class 1."""
    linear = nn.Linear(1, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[weight], [0.0]]))
        linear.bias.copy_(torch.tensor([-weight * threshold, 0.0]))
    return network_of(
        stem, nn.Sequential(nn.Identity()), nn.Sequential(GlobalAveragePool(), linear)
    )


@pytest.fixture
def halves():
    """Class 0 is green in its upper half; 8 of 20 images are of it."""
    images = torch.full((20, 3, 32, 32), 60, dtype=torch.uint8)
    labels = (torch.arange(20) % 5 > 1).long()
    images[labels == 0, 1, :16] = 240
    return set_of(Split(images, labels), Split(images, labels))


def test_a_network_that_reads_the_mark_alone_is_found_out(run_of, halves):
    run = run_of(one_channel(Magenta(), 1e4, 1e-3), halves, "shapes10-marked")
    found = evidence.mark_dependence(run)
    assert found["none"] == {"accuracy": 0.6, "class_accuracy": 0, "answers": 0, "energy": 0}
    energy = found["all"].pop("energy")
    assert found["all"] == {"accuracy": 0.4, "class_accuracy": 1, "answers": 1}
    assert energy == pytest.approx(1), "its map lies in the mark"


def test_a_network_that_reads_the_object_does_not_care(run_of, halves):
    run = run_of(one_channel(Upper(), 100, 0.25), halves, "shapes10-marked-evenly")
    found = evidence.mark_dependence(run)
    assert found["none"] == found["all"]
    assert found["all"] == {"accuracy": 1, "class_accuracy": 1, "answers": 0, "energy": 0}


def test_the_source_of_the_set_is_asked_for_whose_images_carry_no_mark(run_of, halves, monkeypatch):
    run = run_of(one_channel(Magenta(), 1e4, 1e-3), halves, "shapes10-marked")
    asked = []
    monkeypatch.setattr(data, "load", lambda name: asked.append(name) or halves)
    evidence.mark_dependence(run)
    assert asked == ["shapes10"]
    with_mark = marked(halves.test, torch.ones(20, dtype=torch.bool))
    assert (with_mark.images[:, :, *MARK] != halves.test.images[:, :, *MARK]).any()


# Stored


KINDS = [
    CAM,
    Kind("layercam", "finer"),
    Kind("grad-cam", "finer", "resize"),
    Kind(GRADIENT),
    RANDOM,
]
MEASURES = {
    "localised": lambda run: evidence.localised(run, KINDS, 5),
    "faithful": lambda run: evidence.faithful(run, KINDS, 5),
    "steady": lambda run: evidence.steady(run, KINDS, 5),
    "randomised": lambda run: evidence.randomised(run, KINDS[:2], 5),
    "warning": evidence.warning,
    "mark": evidence.mark_dependence,
}


@pytest.fixture
def stored(tmp_path):
    """A run of a network that is not trained."""
    config = RunConfig(data="shapes10-marked", model="resnet", depth=8, width=4, residual=True)
    outcome = fake_outcome(config)._replace(model=build_model(config, CIFAR, 10))
    return Store(tmp_path / "runs", tmp_path / "scratch").save(config, outcome, keep="fp16")


@pytest.mark.parametrize("name", MEASURES)
def test_what_was_measured_is_read_back_without_images_or_network(stored, name, monkeypatch):
    first = MEASURES[name](stored)
    assert len(list((stored.folder / "measures").iterdir())) == 1
    monkeypatch.setattr(data, "load", lambda _: pytest.fail("images were asked for"))
    monkeypatch.setattr(type(stored), "model", lambda _: pytest.fail("the network was asked for"))
    assert MEASURES[name](stored) == first


@pytest.mark.parametrize("name", ["localised", "faithful", "steady", "randomised"])
def test_other_kinds_and_other_images_are_measured_anew(coloured, name):
    measure = getattr(evidence, name)
    for kinds, count in (([CAM], 6), ([CAM], 7), ([GAUSSIAN], 6), ([CAM, GAUSSIAN], 6)):
        measure(coloured, kinds, count)
    assert len(list((coloured.folder / "measures").iterdir())) == 4
