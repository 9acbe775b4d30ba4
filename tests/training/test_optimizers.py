"""Optimisers and schedules are PyTorch's."""

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, OneCycleLR

from labutils.config.fit import FitConfig
from labutils.training.optimizers import learning_rate_at, make_optimizer, set_learning_rate


@pytest.mark.parametrize("total", [2, 3, 4, 5, 10, 33, 100, 937])
@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "one-cycle"])
def test_schedules_are_pytorchs(schedule, total):
    config = FitConfig(schedule=schedule, learning_rate=0.3)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    if schedule == "one-cycle":
        scheduler = OneCycleLR(optimizer, 0.3, total, cycle_momentum=False)
    elif schedule == "cosine":
        scheduler = CosineAnnealingLR(optimizer, total)
    elif schedule == "linear":
        scheduler = LinearLR(optimizer, 1, 0, total)
    rates = []
    for step in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if schedule != "constant" and step < total - 1:
            scheduler.step()
    found = [learning_rate_at(config, step, total) for step in range(total)]
    assert found == pytest.approx(rates, rel=1e-6, abs=1e-9)
    assert max(found) <= 0.3 and min(found) > 0


def test_a_single_step_has_a_learning_rate():
    for schedule in ("constant", "linear", "cosine", "one-cycle"):
        assert 0 < learning_rate_at(FitConfig(schedule=schedule), 0, 1) <= 1e-3


def test_one_rate_for_all_where_none_is_given():
    optimizer = make_optimizer(nn.Linear(2, 2), FitConfig())
    set_learning_rate(optimizer, 0.7)
    assert [group["lr"] for group in optimizer.param_groups] == [0.7]


def test_optimizers_are_those_of_the_configuration():
    model = nn.Linear(2, 2)
    sgd = make_optimizer(model, FitConfig(optimizer="sgd", momentum=0.8, weight_decay=0.1))
    assert isinstance(sgd, torch.optim.SGD)
    assert (sgd.defaults["momentum"], sgd.defaults["nesterov"]) == (0.8, True)
    assert sgd.defaults["weight_decay"] == 0.1
    adamw = make_optimizer(model, FitConfig(optimizer="adamw", weight_decay=0.2))
    assert type(adamw) is torch.optim.AdamW and adamw.defaults["weight_decay"] == 0.2
    assert type(make_optimizer(model, FitConfig())) is torch.optim.Adam
