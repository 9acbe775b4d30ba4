from dataclasses import replace

import pytest
from fakes import fake_runs

from labutils.config.classifier import RunConfig
from labutils.config.profiles import profile
from labutils.report.experiments import load
from labutils.report.mlps import experiments
from labutils.report.mlps.experiments import STALL_DEPTH, stall_depth


@pytest.mark.parametrize("grid", [experiments.mnist_depth, experiments.cifar10_depth])
def test_the_depth_grids_run_all_their_epochs(grid):
    """Early stopping would compare networks at other epochs: depth grids test the last weights."""
    assert {config.patience for config in grid.grid()} == {None}


def test_stall_depth_needs_every_plain_seed_at_chance(tmp_path):
    base = RunConfig(depth=4)
    learned = fake_runs(tmp_path, [base, replace(base, depth=10)], train_accuracy=0.9)
    stalled = fake_runs(
        tmp_path, [replace(base, depth=d, seed=1) for d in (10, 16)], train_accuracy=0.11
    )
    residual = fake_runs(tmp_path, [replace(base, depth=22, residual=True)], train_accuracy=0.11)
    assert stall_depth(learned + stalled + residual) == 16  # at 10 one of two seeds learned
    assert stall_depth(learned) is None


@pytest.mark.parametrize("data", STALL_DEPTH)
def test_stored_grids_stall_where_the_rescue_looks(data):
    assert stall_depth(load(f"{data}-depth", profile("full"))) == STALL_DEPTH[data]
