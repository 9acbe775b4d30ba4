import pytest
import torch
from fakes import fake_runs

from labutils.config.classifier import RunConfig
from labutils.report.residuals import experiments
from labutils.report.residuals.experiments import followed, untrained_networks, untrained_statistics
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
