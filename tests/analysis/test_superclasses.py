from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import fake_outcome

from labutils import data
from labutils.analysis.superclasses import SUPERCLASSES, superclass_predictions, superclasses_of
from labutils.config.classifier import RunConfig
from labutils.models.networks import build_model
from labutils.runs.store import Store

CONFIG = RunConfig(data="digits", depth=2, width=4)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs", tmp_path / "scratch")


@pytest.fixture
def digits(monkeypatch):
    """Digits whose superclasses are two: below five or not, by coarse labels of CIFAR-100's."""
    whole = data.load("digits")
    test = replace(whole.test, coarse_labels=whole.test.labels // 5)
    monkeypatch.setattr(data, "load", lambda name: replace(whole, test=test))
    return test


def stored(store):
    outcome = fake_outcome(CONFIG)._replace(model=build_model(CONFIG, (1, 28, 28), 10))
    return store.save(CONFIG, outcome, keep="fp32")


def test_superclasses_are_counted_of_the_predicted_class(store, digits):
    run = stored(store)
    found = superclass_predictions(run)
    with torch.no_grad():
        logits = run.model()(digits.images)
    order = logits.argsort(1, descending=True)
    right = order == digits.labels[:, None]
    assert found["accuracy"] == pytest.approx(right[:, 0].float().mean().item())
    assert found["top5_accuracy"] == pytest.approx(right[:, :5].any(1).float().mean().item())
    assert found["superclass_of"] == [0] * 5 + [1] * 5
    confusion = np.zeros((2, 2), int)
    for label, predicted in zip(digits.labels, order[:, 0], strict=True):
        confusion[label // 5, predicted // 5] += 1
    assert np.array(found["confusion"])[:2, :2].tolist() == confusion.tolist()
    assert np.array(found["confusion"]).sum() == len(digits)
    assert found["superclass_accuracy"] == pytest.approx(confusion.trace() / len(digits))
    assert found["superclass_accuracy"] > found["accuracy"]
    by_class = [right[digits.labels == label, 0].float().mean().item() for label in range(10)]
    assert found["class_accuracy"] == pytest.approx(by_class)


def test_without_superclasses_each_class_is_its_own(store):
    found = superclass_predictions(stored(store))
    assert found["superclass_accuracy"] == found["accuracy"]
    assert found["superclass_names"] == found["class_names"]
    assert np.trace(found["confusion"]) == round(found["accuracy"] * np.sum(found["confusion"]))


@pytest.mark.real_data("cifar100")
def test_names_of_superclasses_stand_in_the_order_of_the_labels():
    cifar100 = data.load("cifar100")
    number = superclasses_of(cifar100.test, 100)
    of = {name: SUPERCLASSES[i] for name, i in zip(cifar100.class_names, number, strict=True)}
    assert of["beaver"] == "aquatic mammals" and of["shark"] == "fish"
    assert of["bus"] == "vehicles 1" and of["tank"] == "vehicles 2"
    assert of["woman"] == "people" and of["worm"] == "non-insect invertebrates"
    assert torch.equal(number, superclasses_of(cifar100.train, 100))
    assert number.bincount().tolist() == [5] * 20
