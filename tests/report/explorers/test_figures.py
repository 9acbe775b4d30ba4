import numpy as np
from drawings import lines
from fakes import fake_runs

from labutils.config.classifier import RunConfig
from labutils.report.explorers import figures
from labutils.training.statistics import STATISTICS


def test_views_of_explorers():
    statistics = {name: [1e-3, 0.0, 1.0] for name in STATISTICS}
    relative, ratio, activations = figures.gradient_view(statistics, True).axes
    drawn = list(lines(relative)[0].get_ydata())
    assert drawn[0] == 1e-3 and np.isnan(drawn[1]) and drawn[2] == 1  # zero is not drawn
    assert len(lines(ratio)) == 1 and len(lines(activations)) == 2
    histories = {"plain": {"train_loss": [2.0, 1.0], "val_accuracy": [0.2, 0.6]}, "residual": {}}
    loss, accuracy = figures.live_curves(histories, epochs=5).axes
    assert list(lines(loss)[0].get_ydata()) == [2.0, 1.0]
    assert list(lines(accuracy)[0].get_xdata()) == [1, 2]
    assert accuracy.get_xlim() == (0.5, 5.5)


def test_the_overview_has_a_column_a_depth(grid):
    axes = figures.depth_overview(grid).axes
    assert [ax.get_title() for ax in axes[:3]] == ["depth 2", "depth 4", "depth 10"]
    assert len(lines(axes[1])) == 4 and len(lines(axes[4])) == 8, "gradients before and after"
    assert list(lines(axes[1])[0].get_ydata()) == grid[1].history["val_accuracy"]


def test_the_axes_of_the_depth_explorer_are_the_same_at_every_position(grid):
    limits = set()
    for run in grid:
        fig = figures.explorer_view([run])
        fig.canvas.draw()
        limits.add(tuple(ax.get_ylim() for ax in fig.axes))
        low, high = fig.axes[0].get_ylim()
        assert low < 0.01 < 1 < high  # the losses of the made-up runs
    assert len(limits) == 1


def test_the_twins_are_drawn_faintly_behind(grid):
    loss = figures.explorer_view(grid[1:2], grid[2:3]).axes[0]
    twin, chosen = lines(loss)
    assert twin.get_alpha() < chosen.get_alpha()
    assert list(chosen.get_ydata()) == grid[1].history["train_loss"]
    assert list(twin.get_ydata()) == grid[2].history["train_loss"]


def test_a_diverged_run_can_be_shown(tmp_path):
    """What was not finite is stored as null and read as nan."""
    runs = fake_runs(tmp_path, [RunConfig(depth=4)], train_accuracy=float("nan"), status="diverged")
    loss, accuracy, _ = figures.explorer_view(runs).axes
    assert list(lines(loss)[0].get_ydata()) == runs[0].history["train_loss"]
    assert np.isnan(lines(accuracy)[0].get_ydata()).all()
