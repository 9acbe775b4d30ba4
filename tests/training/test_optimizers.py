"""Optimisers and schedules are PyTorch's, Muon too; what it leaves to SGD; fp32 without bf16."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, OneCycleLR

from labutils.config import FitConfig, RunConfig
from labutils.models.networks import build_model
from labutils.training import optimizers
from labutils.training.optimizers import (
    Muon,
    learning_rate_at,
    make_optimizer,
    orthogonalized,
    set_learning_rate,
)

MUON = RunConfig(
    model="strong", width=4, residual=True, optimizer="muon", learning_rate=0.2, momentum=0.6,
    bias_learning_rate=0.1, head_learning_rate=0.05,
)  # fmt: skip


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


# Muon


@pytest.fixture
def without_bf16(monkeypatch):
    """A processor that does not multiply bf16."""
    monkeypatch.setattr(optimizers, "multiplies_bf16", lambda device: False)


@pytest.fixture
def with_bf16(monkeypatch):
    """One that does, or is said to."""
    monkeypatch.setattr(optimizers, "multiplies_bf16", lambda device: True)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def matrices():
    return [torch.nn.Parameter(noise(*shape)) for shape in ((12, 5), (5, 12), (6, 6))]


def steps(optimizer, parameters, seeds):
    for seed in seeds:
        for parameter in parameters:
            parameter.grad = noise(*parameter.shape, seed=seed)
        optimizer.step()


def test_it_is_pytorchs_to_the_last_bit(with_bf16):
    settings = {"lr": 0.1, "momentum": 0.6, "weight_decay": 0.05}
    ours, theirs = matrices(), matrices()
    oracle = torch.optim.Muon(theirs, ns_steps=optimizers.NEWTON_SCHULZ_STEPS, **settings)
    steps(Muon(ours, **settings), ours, range(1, 5))
    steps(oracle, theirs, range(1, 5))
    for mine, other, before in zip(ours, theirs, matrices(), strict=True):
        assert torch.equal(mine, other) and not torch.equal(mine, before)


def test_a_matrix_without_gradient_stays():
    first, second = matrices()[:2]
    optimizer = Muon([first, second], 0.1, 0.6, 0.05)
    first.grad = noise(*first.shape)
    optimizer.step()
    assert torch.equal(second, matrices()[1]) and not torch.equal(first, matrices()[0])


@pytest.mark.parametrize("precision", ["with_bf16", "without_bf16"])
def test_its_state_goes_on_in_another(precision, request):
    request.getfixturevalue(precision)
    whole, stopped = matrices(), matrices()
    settings = {"lr": 0.1, "momentum": 0.6, "weight_decay": 0.05}
    steps(Muon(whole, **settings), whole, range(1, 5))
    first = Muon(stopped, **settings)
    steps(first, stopped, range(1, 3))
    second = Muon(stopped, **settings)
    second.load_state_dict(first.state_dict())
    steps(second, stopped, range(3, 5))
    assert all(torch.equal(*pair) for pair in zip(whole, stopped, strict=True))


@pytest.mark.parametrize("shape", [(12, 5), (5, 12), (6, 6)])
def test_singular_values_come_near_one_and_directions_stay(shape, monkeypatch):
    monkeypatch.setattr(optimizers, "NEWTON_SCHULZ_STEPS", 5)
    matrix = noise(*shape)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    kept = u.T @ orthogonalized(matrix, torch.float32) @ v.T
    values = torch.diag(kept)
    assert 0.6 < values.min() and values.max() < 1.3
    assert (kept - torch.diag(values)).abs().max() < 1e-4


def test_where_bf16_is_emulated_it_is_computed_in_fp32(without_bf16):
    (exact,), (rounded,) = matrices()[:1], matrices()[:1]
    steps(Muon([exact], 0.1, 0.6, 0.0), [exact], [1])
    update = orthogonalized(noise(*exact.shape, seed=1) * (0.4 + 0.6 * 0.4), torch.float32)
    expected = rounded.detach() - 0.1 * math.sqrt(12 / 5) * update
    torch.testing.assert_close(exact.detach(), expected)
    steps(torch.optim.Muon([rounded], 0.1, 0.0, 0.6, ns_steps=3), [rounded], [1])
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(exact, rounded, atol=0.01, rtol=0)


def muon_model(**changes):
    model = build_model(replace(MUON, **changes), (3, 12, 12), 3)
    return model, make_optimizer(model, replace(MUON, **changes))


def backward(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(8, 3, 12, 12, generator=generator)
    model(images).square().sum().backward()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_muon_moves_filters_by_an_orthogonal_step_from_norm_one(layout):
    model = build_model(MUON, (3, 12, 12), 3).to(memory_format=layout)
    optimizer = make_optimizer(model, MUON)
    weight = model.blocks[1][0].weight  # 16 filters of 4 x 3 x 3
    backward(model)
    before = weight.detach() * math.sqrt(16) / weight.detach().norm()
    gradient = weight.grad.flatten(1).double()
    set_learning_rate(optimizer, 0.1)
    optimizer.step()
    step = (before - weight.detach()).flatten(1).double() / 0.1
    u, _, v = torch.linalg.svd(gradient, full_matrices=False)
    # Newton-Schulz brings singular values near 1, not to it, and keeps their directions
    alignment = torch.diag(u.T @ step @ v.T)
    assert alignment.max() < 1.3 and alignment.median() > 0.5
    assert (step - u @ torch.diag(alignment) @ v).norm() < 0.1 * step.norm()


def test_muon_leaves_the_rest_to_sgd_with_rates_of_its_own():
    model, optimizer = muon_model()
    backward(model)
    head, norm = model.head[-1], model.blocks[0].norm1
    before = {p: (p.detach().clone(), p.grad.clone()) for p in (head.weight, head.bias, norm.bias)}
    scale = norm.weight.clone()
    set_learning_rate(optimizer, 0.5 * MUON.learning_rate)
    optimizer.step()
    for parameter, rate in ((head.weight, 0.05), (head.bias, 0.05), (norm.bias, 0.1)):
        value, gradient = before[parameter]
        first_step = 0.5 * rate * (1 + 0.85) * gradient  # Nesterov
        torch.testing.assert_close(parameter.detach(), value - first_step)
    assert torch.equal(norm.weight, scale)
    groups = [p for group in optimizer.param_groups for p in group["params"]]
    assert sum(p.numel() for p in groups) == sum(
        p.numel() for p in model.parameters() if p.requires_grad
    )
    optimizer.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_muon_needs_convolutions_before_its_head():
    for model in (RunConfig(width=4), RunConfig(model="cnn", width=4)):
        with pytest.raises(ValueError, match="linear layers before the head"):
            make_optimizer(build_model(model, (3, 12, 12), 3), MUON)
