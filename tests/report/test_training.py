from dataclasses import replace

import pytest
import torch

from labutils import data
from labutils.config.classifier import RunConfig
from labutils.config.fcn import FCNConfig
from labutils.fcn.networks import DenseNetwork, classifier_config
from labutils.models.networks import Classifier
from labutils.report import training
from labutils.report.training import estimate_seconds, train_run
from labutils.runs.store import MissingRuns, Store


def test_estimates_grow_with_the_work(monkeypatch):
    base = RunConfig(data="cifar10", model="convnet", depth=10, width=16, epochs=5)
    seconds = estimate_seconds([base])
    assert seconds > 0
    for larger in ({"depth": 20}, {"width": 64}, {"epochs": 6}, {"batch_size": 32}):
        assert estimate_seconds([replace(base, **larger)]) > seconds, larger
    for bf16 in (True, False):
        monkeypatch.setattr(training, "multiplies_bf16", lambda device, bf16=bf16: bf16)
        assert (estimate_seconds([replace(base, precision="bf16")]) < seconds) == bf16
    assert estimate_seconds([base, base]) == pytest.approx(2 * seconds)
    assert estimate_seconds([]) == 0


def test_estimating_touches_neither_data_nor_random_numbers(monkeypatch):
    monkeypatch.setattr(data, "load", None)
    before = torch.get_rng_state()
    estimate_seconds([RunConfig(data="cifar100", model="resnet", depth=20)])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_detector_is_estimated_too():
    base = FCNConfig(width=4, canvases=100, epochs=2)
    seconds = estimate_seconds([base])
    assert seconds > 0
    for larger in ({"width": 8}, {"canvases": 200}, {"epochs": 3}, {"size": 96}):
        assert estimate_seconds([replace(base, **larger)]) > seconds, larger
    assert estimate_seconds([base, RunConfig()]) > estimate_seconds([RunConfig()]) > 0


def test_each_kind_is_trained_by_its_own_recipe(tmp_path):
    """A detector finds the classifier that it starts from in the store that is given."""
    store = Store(tmp_path / "runs", tmp_path / "scratch")
    detector = FCNConfig(data="digits", width=4, canvases=20, size=40, epochs=1, batch_size=10)
    classifier = replace(classifier_config(detector), epochs=1)
    detector = replace(detector, classifier=classifier.id)
    with pytest.raises(MissingRuns, match=f"run {classifier.id} is not stored"):
        train_run(detector, store=store, progress=False)
    outcome = train_run(classifier, store=store, progress=False)
    assert isinstance(outcome.model, Classifier)
    store.save(classifier, outcome, keep="fp32")
    outcome = train_run(detector, store=store, progress=False)
    assert isinstance(outcome.model, DenseNetwork) and "test_mean_iou" in outcome.metrics
