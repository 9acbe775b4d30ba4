"""`fit` trains networks as people write them, and says what of their layers it did not measure."""

import math
import warnings

import pytest
import torch
from ordinary_networks import CLASSES, NETWORKS, SHAPE
from torch import nn

from labutils.config.fit import FitConfig
from labutils.training import classifiers, evaluate, fit
from labutils.training.statistics import STATISTICS

CONFIG = FitConfig(epochs=1, batch_size=16)


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(40, *SHAPE, generator=generator), torch.arange(40) % CLASSES


def made(name):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torchvision and torch.jit, about their own future
        return NETWORKS[name]()


@pytest.mark.parametrize("name", NETWORKS)
def test_it_trains_and_is_measured_where_it_can_be(name, images, tmp_path):
    model, before = made(name), images[0].clone()
    weights = {n: p.detach().clone() for n, p in model.named_parameters()}
    checkpoint = tmp_path / "checkpoint.pt"
    history = fit(model, images, images, CONFIG, checkpoint=checkpoint, progress=False)
    assert history.status == "finished" and torch.equal(images[0], before)
    moved = [p for n, p in model.named_parameters() if not torch.equal(p.cpu(), weights[n])]
    assert moved and all(parameter.requires_grad for parameter in moved)
    assert evaluate(model, *images).loss == pytest.approx(history.val_loss[-1], rel=1e-4)
    for rows in history.layers.values():  # of before and after the epoch
        assert [len(row) for row in rows] == [len(history.layer_names)] * 2
    values = [row for rows in history.layers.values() for row in rows]
    unmeasured = not values or any(math.isnan(value) for row in values for value in row)
    assert bool(history.not_measured) >= unmeasured
    assert ("not_measured" in history.to_dict()) == bool(history.not_measured)
    if values:
        assert set(history.layers) == set(STATISTICS)
        assert all(math.isfinite(value) for value in history.layers["weight_norm"][-1])
    # and the checkpoint is this network's
    assert (
        fit(made(name), images, images, CONFIG, checkpoint=checkpoint, progress=False).epochs == 1
    )


def test_whatever_fails_while_layers_are_measured_is_a_line_in_the_history(images, monkeypatch):
    def failing(*arguments):
        raise ZeroDivisionError("of a network of its own kind")

    monkeypatch.setattr(classifiers, "layer_statistics", failing)
    history = fit(made("tanh"), images, images, CONFIG, progress=False)
    assert history.status == "finished" and not history.layers
    assert history.not_measured == ["ZeroDivisionError: of a network of its own kind"]


def test_an_epoch_that_cannot_be_measured_is_nan(images, monkeypatch):
    original, calls = classifiers.layer_statistics, []

    def failing_once(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise MemoryError("too much")
        return original(*arguments)

    monkeypatch.setattr(classifiers, "layer_statistics", failing_once)
    config = FitConfig(epochs=2, batch_size=16)
    history = fit(made("tanh"), images, images, config, progress=False)
    assert history.not_measured == ["MemoryError: too much"]
    for rows in history.layers.values():
        assert [[math.isnan(value) for value in row] for row in rows] == [
            [False, False], [True, True], [False, False],
        ]  # fmt: skip


def test_a_layer_that_runs_only_later_has_no_row_and_one_that_stops_is_nan(images):
    class Changing(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(3072, CLASSES), nn.Linear(3072, CLASSES)
            self.steps = 0

        def forward(self, x):
            self.steps += self.training
            return (self.second if self.steps else self.first)(x.flatten(1))

    history = fit(Changing(), images, images, CONFIG, progress=False)
    assert history.layer_names == ["first"]
    norms = history.layers["weight_norm"]
    assert math.isfinite(norms[0][0]) and math.isnan(norms[1][0])
    assert history.not_measured == ["never called: second", "never called: first"]
