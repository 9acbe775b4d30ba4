"""Muon: torch.optim.Muon is the oracle; what it leaves to SGD; fp32 where bf16 is emulated."""

import math
from dataclasses import replace

import pytest
import torch

from labutils.config.classifier import RunConfig
from labutils.models.networks import build_model
from labutils.training import muon as module
from labutils.training.muon import Muon, orthogonalized
from labutils.training.optimizers import make_optimizer, set_learning_rate

MUON = RunConfig(
    model="strong", width=4, residual=True, optimizer="muon", learning_rate=0.2, momentum=0.6,
    bias_learning_rate=0.1, head_learning_rate=0.05,
)  # fmt: skip


@pytest.fixture
def without_bf16(monkeypatch):
    """A processor that does not multiply bf16."""
    monkeypatch.setattr(module, "multiplies_bf16", lambda device: False)


@pytest.fixture
def with_bf16(monkeypatch):
    """One that does, or is said to."""
    monkeypatch.setattr(module, "multiplies_bf16", lambda device: True)


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
    oracle = torch.optim.Muon(theirs, ns_steps=module.NEWTON_SCHULZ_STEPS, **settings)
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
    monkeypatch.setattr(module, "NEWTON_SCHULZ_STEPS", 5)
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
