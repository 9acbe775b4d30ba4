"""One configuration: the same numbers alone and in sweeps, and with other threads about so."""

import contextlib

import pytest
import torch

from labutils import data
from labutils.config.classifier import RunConfig
from labutils.runs.load import load_or_train
from labutils.runs.store import Store
from labutils.runs.sweep import run_sweep
from labutils.training.classifiers import train, untrained
from labutils.training.evaluation import evaluate

HOW = {"data": "digits", "epochs": 3, "batch_size": 32, "residual": True}
MLP = RunConfig(depth=10, **HOW)
CONVNET = RunConfig(model="convnet", depth=8, width=8, stem_stride=2, **HOW)
RESNET = RunConfig(model="resnet", depth=8, width=4, norm="batch", **HOW)
CONFIGS = [MLP, CONVNET, RESNET]
FAMILIES = pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model)


@contextlib.contextmanager
def threads(count):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def test_bit_equal_alone_and_in_sweeps_of_any_number_of_workers(tmp_path):
    def store(name: str) -> Store:
        return Store(tmp_path / name, tmp_path / f"unfinished-{name}")

    with threads(1):
        alone = [load_or_train(config, store=store("alone"), progress=False) for config in CONFIGS]
    for workers in (1, 2):
        swept = run_sweep(CONFIGS, train, store=store(str(workers)), n_jobs=workers, progress=False)
        for one, other in zip(alone, swept, strict=True):
            histories = [{**run.history, "seconds": None} for run in (one, other)]
            assert histories[0] == histories[1]
            assert one.metrics["weights_sha256"] == other.metrics["weights_sha256"]


@FAMILIES
def test_another_number_of_threads_leaves_the_numbers_of_given_weights_in_fp32(config):
    """Sums are taken in another order: a difference of the last digits."""
    digits = data.load("digits")
    model = untrained(config, digits).eval()
    losses = []
    for count in (1, 2):
        with threads(count):
            losses.append(evaluate(model, digits.val.images, digits.val.labels).loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@FAMILIES
def test_another_number_of_threads_changes_a_short_training_little(config):
    """What docs/safety.md says: training makes differences of the last digits grow."""
    outcomes = []
    for count in (1, 2):
        with threads(count):
            outcomes.append(train(config, progress=False).history)
    one, two = outcomes
    assert one["val_loss"] == pytest.approx(two["val_loss"], rel=0.1)
    assert one["val_accuracy"] == pytest.approx(two["val_accuracy"], abs=0.05)
    assert one["val_loss"] != [one["val_loss"][0]] * 3  # it did train
