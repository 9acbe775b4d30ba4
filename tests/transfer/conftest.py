"""A stored narrow network, and small sets of noise that it can be trained on."""

import pytest
import torch
from fakes import fake_outcome
from small_sets import noise, small_set

from labutils import data
from labutils.config import RunConfig
from labutils.models.networks import build_model
from labutils.runs.store import Store

SOURCE = RunConfig(
    data="shapes10", model="strong", width=4, residual=True, init="partial-identity", seed=5
)


@pytest.fixture
def sets(monkeypatch):
    """Sets of noise, of as many classes as those whose names they have."""
    small = {name: small_set(name, int(name[-2:])) for name in ("shapes10", "shapes20")}
    monkeypatch.setattr(data, "load", small.__getitem__)
    return small


@pytest.fixture
def store(tmp_path):
    """A store that holds a network with statistics of its own, `SOURCE`."""
    store = Store(tmp_path / "runs", tmp_path / "scratch")
    statistics = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.4, 0.5, 0.6])
    model = build_model(SOURCE, (3, 32, 32), 10, statistics)
    model(noise(32, 10, 9).images)  # batch norm follows these
    store.save(SOURCE, fake_outcome(SOURCE)._replace(model=model), "fp32")
    return store


@pytest.fixture
def source():
    """The configuration of the stored network."""
    return SOURCE
