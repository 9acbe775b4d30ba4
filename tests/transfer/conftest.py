"""A stored narrow network, and small sets of noise that it can be trained on."""

import pytest
import torch
from fakes import fake_outcome

from labutils import data
from labutils.config import RunConfig
from labutils.data.sets import pixel_statistics
from labutils.models.networks import build_model
from labutils.runs.store import Store

SOURCE = RunConfig(
    data="shapes10", model="strong", width=4, residual=True, init="partial-identity", seed=5
)


def noise(count, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return data.Split(images, torch.arange(count) % classes)


def small_set(name, classes):
    parts = [noise(count, classes, seed) for seed, count in enumerate((3 * classes, 20, 20))]
    names = tuple(f"class {number}" for number in range(classes))
    return data.DataSet(name, names, *parts, *pixel_statistics(parts[0].images))


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
