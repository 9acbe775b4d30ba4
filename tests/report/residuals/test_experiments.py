from dataclasses import replace

import pytest
import torch
from fakes import fake_runs

from labutils.config.classifier import RunConfig
from labutils.models.networks import build_model
from labutils.report.experiments import EXPERIMENTS
from labutils.report.residuals import experiments
from labutils.report.residuals.experiments import (
    followed,
    keeps_both,
    predicted_quick,
    untrained_networks,
    untrained_statistics,
)
from labutils.report.untrained import Kept
from labutils.training import statistics

IMAGES = torch.arange(8 * 784, dtype=torch.int64).remainder(251).byte().view(8, 1, 28, 28)
LABELS = torch.arange(8)


def cells(configs):
    """Skip, normalisation and initialisation of each."""
    return {(config.residual, config.norm, config.init) for config in configs}


@pytest.mark.parametrize("grid", [experiments.ablation_mnist, experiments.ablation_cifar10])
def test_an_ablation_has_every_cell_that_a_network_can_have(grid):
    skips, norms, inits = (set(values) for values in zip(*cells(grid.grid()), strict=True))
    every = {(skip, norm, init) for skip in skips for norm in norms for init in inits}
    absent = {cell for cell in every if not cell[0] and cell[2] == "zero-residual"}
    assert cells(grid.grid()) == every - absent, "without a skip there is no branch to silence"


def test_untrained_networks_are_kinds_of_the_ablation():
    networks = untrained_networks((10, 40))
    kinds = [cells(configs) for configs in networks.values()]
    assert all(len(kind) == 1 for kind in kinds) and len(set.union(*kinds)) == len(kinds)
    assert set.union(*kinds) < cells(experiments.ablation_mnist.grid())
    assert all([c.depth for c in configs] == [10, 40] for configs in networks.values())


def test_gradients_are_followed_at_the_second_depth_and_where_filters_are_kept(tmp_path):
    grid = [RunConfig(model="convnet", depth=depth, seed=seed)
            for depth in (4, 10, 16) for seed in (0, 1)]  # fmt: skip
    kept = RunConfig(model="convnet", depth=20, gradient_epochs=(0,))
    runs = fake_runs(tmp_path, [*grid, kept])
    assert [(r.config.depth, r.config.seed) for r in followed(runs)] == [(10, 0), (10, 1), (20, 0)]


def test_what_untrained_networks_do_is_stored_by_network_and_images(private, monkeypatch):
    which = private("full")
    monkeypatch.setattr(experiments, "profile", lambda: which)
    config = RunConfig(depth=4, width=8)
    found = untrained_statistics(config, IMAGES, LABELS)
    assert found == statistics.untrained_statistics(config, IMAGES, LABELS)
    assert len(list((which.runs / "measures").iterdir())) == 1
    other = untrained_statistics(config, 255 - IMAGES, LABELS)
    assert other != found and len(list((which.runs / "measures").iterdir())) == 2
    monkeypatch.setattr(statistics, "untrained_statistics", None)
    assert untrained_statistics(config, IMAGES, LABELS) == found


def test_an_explanation_predicts_by_its_limits_alone():
    plain, residual = RunConfig(), RunConfig(residual=True)
    kept, faint, steep, large = (
        Kept(0.5, 2, 1), Kept(0.2, 2, 1), Kept(0.5, 200, 1), Kept(0.1, 200, 1000)
    )  # fmt: skip
    assert [predicted_quick(plain, found) for found in (kept, faint, steep)] == [
        (True, False), (False, False), (False, False)
    ]  # fmt: skip
    assert predicted_quick(residual, kept) == (True, True)
    assert predicted_quick(residual, faint) == (False, True)
    assert predicted_quick(residual, large) == (False, False)


@pytest.mark.parametrize("data", ["mnist", "cifar10"])
def test_the_limits_divide_the_twenty_kinds_as_both_explanations_do(data):
    """Read off these kinds; and among the new ones there are plain kinds that keep both."""
    seeds: dict[tuple, list[RunConfig]] = {}
    for config in EXPERIMENTS[f"ablation-{data}"].grid():
        seeds.setdefault((config.residual, config.norm, config.init), []).append(config)
    found = [predicted_quick(chosen[0], Kept.of(chosen)) for chosen in seeds.values()]
    assert [one for one, _ in found] == [other for _, other in found] and sum(map(all, found)) == 5
    base = experiments.MLP_40 if data == "mnist" else experiments.CONVNET_36
    plain = [kind for kind in experiments.deciding_kinds(base) if not kind.residual]
    both = [kind for kind in plain if keeps_both(Kept.of(replace(kind, seed=s) for s in range(3)))]
    assert {(kind.init, kind.activation) for kind in both} >= {
        ("looks-linear", "crelu"),
        ("orthogonal", "leaky"),
    }


def test_deciding_kinds_have_about_as_many_weights():
    for base, shape in ((experiments.MLP_40, (1, 28, 28)), (experiments.CONVNET_36, (3, 32, 32))):
        sizes = [
            sum(weight.numel() for weight in build_model(kind, shape, 10).parameters())
            for kind in experiments.deciding_kinds(base)
        ]
        assert max(sizes) < 1.1 * min(sizes)
