"""What tests of the report share: made-up runs of a depth grid, and that no figure stays open."""

import matplotlib.pyplot as plt
import pytest
from fakes import fake_runs

from labutils.config.classifier import RunConfig
from labutils.config.profiles import Profile
from labutils.report.images import SMALLEST, smallest_text


@pytest.fixture(autouse=True)
def close_figures():
    """Every figure that a test of the report draws can be read on a page."""
    yield
    sizes = [smallest_text(plt.figure(number)) for number in plt.get_fignums()]
    plt.close("all")
    assert all(size >= SMALLEST for size in sizes), sizes


@pytest.fixture
def private(tmp_path):
    """A function from `full` or `quick` to such a profile with folders of the test's own."""

    def named(name: str) -> Profile:
        return Profile(name, tmp_path / "runs", tmp_path / "scratch", tmp_path / "images")

    return named


@pytest.fixture
def grid(tmp_path):
    """MLPs of depth 2, 4 and 10 with two seeds, plain and residual."""
    configs = [
        RunConfig(depth=depth, residual=residual, seed=seed)
        for depth in (4, 10)
        for residual in (False, True)
        for seed in (0, 1)
    ]
    return fake_runs(tmp_path, [RunConfig(depth=2), *configs])
