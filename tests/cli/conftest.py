"""What tests of the command line share: a repository of their own, and a small experiment."""

from dataclasses import replace
from pathlib import Path

import pytest
from command_line import SHORT

from labutils.config import profiles
from labutils.config.classifier import RunConfig
from labutils.config.fcn import FCNConfig
from labutils.fcn.networks import classifier_config
from labutils.report.detector.experiments import BEST_HEAD
from labutils.report.experiments import EXPERIMENTS
from labutils.report.records import Experiment
from labutils.runs.load import default_store
from labutils.runs.store import Store


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch) -> Path:
    """A repository of the test's own: nothing is stored in it, on a page of 80 columns."""
    monkeypatch.setattr(profiles, "ROOT", tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture
def store(root) -> Store:
    return default_store()


@pytest.fixture
def add_experiment(monkeypatch):
    """A function that adds an experiment to those of the report."""

    def add(name, configs, **fields):
        record = Experiment(name, lambda: configs, varies=(), **fields)
        monkeypatch.setitem(EXPERIMENTS, name, record)

    return add


@pytest.fixture
def tiny(add_experiment) -> list[RunConfig]:
    """An experiment of two runs."""
    configs = [SHORT, RunConfig(data="digits", depth=2, width=16, epochs=2)]
    add_experiment("tiny", configs)
    return configs


@pytest.fixture
def no_training(monkeypatch):
    """A function after whose call no classifier is trained."""

    def refuse(*_, **__):
        raise AssertionError("trained")

    return lambda: monkeypatch.setattr("labutils.training.classifiers.train", refuse)


@pytest.fixture
def small_detector(add_experiment) -> FCNConfig:
    """The report's detector, a small one; it starts from a classifier of another experiment."""
    config = FCNConfig(head=BEST_HEAD, data="digits", width=4, canvases=20, size=40, epochs=1)
    config = replace(config, batch_size=10)
    source = replace(classifier_config(config), epochs=1)
    config = replace(config, classifier=source.id)
    add_experiment("detector-classifier", [source], keep="fp16")
    add_experiment("detector", [config], keep="fp16")
    return config
