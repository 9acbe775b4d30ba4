from dataclasses import replace

import numpy as np
import pytest
from drawings import lines
from fakes import fake_runs

from labutils.config.classifier import RunConfig
from labutils.config.profiles import Profile
from labutils.report.mlps import experiments, figures
from labutils.report.style import PLAIN_AND_RESIDUAL


def test_depth_curves_draw_every_run_in_its_column(grid):
    (loss_plain, loss_residual), (accuracy_plain, accuracy_residual) = (
        figures.depth_curves(grid).axes[:2],
        figures.depth_curves(grid).axes[2:4],
    )
    assert len(lines(loss_plain)) == len(lines(accuracy_plain)) == 5
    # depth 2 has no block: the same network stands in both columns
    assert len(lines(loss_residual)) == len(lines(accuracy_residual)) == 5
    drawn = lines(loss_plain)[0]
    assert list(drawn.get_xdata()) == [1, 2, 3]
    assert list(drawn.get_ydata()) == pytest.approx([1, 0.1, 0.01])


def test_depth_curves_name_stalled_depths_and_the_depth_of_a_seed_that_learns(tmp_path):
    runs = [
        fake_runs(
            tmp_path, [RunConfig(depth=depth, seed=seed)], train_accuracy=0.1 if stalled else 0.9
        )[0]
        for depth, seed, stalled in [(4, 0, 0), (22, 0, 0), (22, 1, 1), (26, 0, 1), (34, 0, 1)]
    ]
    for run in runs:
        stalled = run.history["train_accuracy"][-1] < 0.2
        run.history["train_loss"][:] = [2.3] * 3 if stalled else [1, 0.1, run.config.depth / 100]
    loss = figures.depth_curves(runs).axes[0]
    assert [text.get_text() for text in loss.texts] == ["depth 4", "depth 22", "depths 22 to 34"]


def test_depth_accuracy_shows_every_point_of_each_kind(grid):
    ax = figures.depth_accuracy(grid).axes[0]
    points = [line for line in lines(ax) if line.get_marker() == "o"]
    assert sum(len(line.get_xdata()) for line in points) == len(grid)
    assert all(set(line.get_ydata()) == {0.9} for line in points)


def test_depth_accuracy_has_no_mean_where_only_some_learn(tmp_path):
    grid = [RunConfig(depth=depth, seed=seed) for seed in (0, 1) for depth in (4, 22)]
    runs = fake_runs(tmp_path, grid[:3])
    runs += fake_runs(tmp_path, grid[3:], test_accuracy=0.1, train_accuracy=0.1)
    ax = figures.depth_accuracy(runs).axes[0]
    points = sorted(y for line in lines(ax) if line.get_marker() == "o" for y in line.get_ydata())
    assert points == [0.1, 0.9, 0.9, 0.9], "every seed is drawn"
    means = [container.lines[0].get_ydata() for container in ax.containers]
    assert ax.containers[0].lines[0].get_linestyle() == ":", "nothing was trained in between"
    assert list(means[0]) == pytest.approx([0.9, np.nan], nan_ok=True)


def test_depth_accuracy_names_families_that_share_a_data_set(tmp_path, grid):
    configs = [
        RunConfig(model=model, depth=4, residual=residual, data="cifar10")
        for model in ("mlp", "convnet")
        for residual in (False, True)
    ]
    mlps = fake_runs(tmp_path, configs[:2], test_accuracy=0.5)
    convnets = fake_runs(tmp_path, configs[2:], test_accuracy=0.8)
    left, right = figures.depth_accuracy(mlps, convnets).axes
    assert left.get_ylim()[0] == 0 and left.get_ylim()[1] > 0.8, "all points are in sight"
    assert (left.get_title(), right.get_title()) == ("MLP, CIFAR-10", "ConvNet, CIFAR-10")
    assert left.get_shared_y_axes().joined(left, right)
    left, right = figures.depth_accuracy(grid, mlps).axes
    assert (left.get_title(), right.get_title()) == ("MNIST", "CIFAR-10")
    assert not left.get_shared_y_axes().joined(left, right)


def test_first_layer_gradient_shows_norm_and_ratio_of_the_first_layer(grid):
    norm, _, ratio, _ = figures.first_layer_gradient(grid, (4, 10)).axes
    assert len(lines(norm)) == 4
    assert list(lines(norm)[0].get_ydata()) == pytest.approx([1e-4] * 4)  # epoch 0 included
    assert list(lines(ratio)[0].get_ydata()) == pytest.approx([1.0] * 4)


def test_width_curves_draw_each_width_with_and_without_shifts(tmp_path):
    base = RunConfig(depth=2, patience=10)
    grid = [replace(base, width=w, crop_padding=s) for w in (3, 64) for s in (0, 1)]
    drawn = lines(figures.width_curves(fake_runs(tmp_path, grid)).axes[0])
    curves = [line for line in drawn if line.get_marker() != "."]
    assert [line.get_linestyle() for line in curves] == ["-", "--"] * 2
    assert len({line.get_color() for line in curves}) == 2
    (restored, *_) = [line for line in drawn if line.get_marker() == "."]
    assert list(restored.get_xdata()) == [3], "the best epoch"


def test_rescue_curves_have_a_colour_a_rate_in_the_panel_of_their_set(tmp_path):
    grid = [
        RunConfig(data=data, depth=4, learning_rate=rate)
        for data in ("mnist", "cifar10")
        for rate in (1e-4, 1e-3)
    ]
    axes = figures.rescue_curves(fake_runs(tmp_path, grid)).axes
    assert [ax.get_title() for ax in axes] == ["MNIST, plain, depth 4", "CIFAR-10, plain, depth 4"]
    assert all(len({line.get_color() for line in lines(ax)}) == 2 for ax in axes)
    names = [text.get_text() for text in axes[1].texts]
    assert names == ["rates 0.0001, 0.001"], "they end at the same loss"


def test_early_stopping_has_a_row_a_network_and_a_point_a_run(grid):
    epochs, accuracy = figures.early_stopping(grid).axes
    assert [text.get_text() for text in epochs.get_yticklabels()] == [
        "width 128, depth 2", "width 128, depth 4, plain", "width 128, depth 4, residual",
        "width 128, depth 10, plain", "width 128, depth 10, residual",
    ]  # fmt: skip
    for ax, value in ((epochs, 3), (accuracy, 0.9)):
        points = [line for line in lines(ax) if line.get_marker() == "o"]
        assert [set(line.get_xdata()) for line in points] == [{value}] * 5
        assert sum(len(line.get_xdata()) for line in points) == len(grid)


def test_signal_stands_beside_the_rounding_of_each_arithmetic(grid, tmp_path):
    left, right = figures.signal_by_layer(grid, (4, 10)).axes
    assert [ax.get_title() for ax in (left, right)] == ["MNIST, depth 4", "MNIST, depth 10"]
    signals = [line for line in lines(left) if line.get_linestyle() == "-"]
    assert len(signals) == 4
    assert list(signals[0].get_ydata()) == pytest.approx([1e-4, 1e-3, 1e-2]), "no logits"
    (rounding,) = [line for line in lines(left) if line.get_linestyle() == ":"]
    mean = np.array([1e-4, 1e-3, 1e-2])
    assert rounding.get_ydata() == pytest.approx(mean * 2**-24)
    assert len(lines(right)) == 5
    bf16 = fake_runs(tmp_path, [RunConfig(depth=4, precision="bf16")])
    dashed = [
        line
        for line in lines(figures.signal_by_layer(bf16, (4,)).axes[0])
        if line.get_linestyle() == "--"
    ]
    assert dashed[0].get_ydata() == pytest.approx(mean * 2**-8)


def test_the_data_fill_the_axes_of_losses(grid):
    """Limits that are set too early leave an empty panel, with its lines at the border."""
    rescue = [run for run in grid if run.config.depth == 4]
    for fig in (
        figures.width_curves(grid),
        figures.depth_curves(grid),
        figures.rescue_curves(rescue),
        figures.training_curves(grid, lambda run: str(run.config.depth)),
    ):
        fig.canvas.draw()
        low, high = fig.axes[0].get_ylim()
        assert 0.005 < low < 0.01 < 1 < high < 2  # the losses of the made-up runs


def test_a_diverged_run_can_be_drawn(tmp_path):
    """What was not finite is stored as null and read as nan."""
    config = RunConfig(depth=4)
    runs = fake_runs(tmp_path, [config], train_accuracy=float("nan"), status="diverged")
    accuracy = figures.depth_curves(runs).axes[2]
    assert len(lines(accuracy)) == 1


def test_training_curves_have_a_colour_a_label(grid):
    fig = figures.training_curves(
        grid, lambda run: str(run.config.depth), ("val_loss", "val_accuracy")
    )
    loss, accuracy = fig.axes
    assert [loss.get_ylabel(), accuracy.get_ylabel()] == ["validation loss", "validation accuracy"]
    assert len(lines(loss)) == len(lines(accuracy)) == len(grid)
    assert len({line.get_color() for line in lines(loss)}) == 3
    assert [text.get_text() for text in accuracy.texts] == ["2, 4, 10"], "all end alike"


def test_plain_and_residual_have_their_colours_in_training_curves_too(grid):
    fig = figures.training_curves(grid, lambda run: "residual" if run.config.residual else "plain")
    colors = {line.get_color() for line in lines(fig.axes[0])}
    assert colors == {color for _, _, color in PLAIN_AND_RESIDUAL}
    assert [t.get_text() for t in fig.axes[0].get_legend().get_texts()] == ["plain", "residual"]


def test_learning_by_depth_draws_shares_and_signals_of_both_precisions(tmp_path, monkeypatch):
    grid = [RunConfig(depth=d, data="digits", seed=s) for d in (4, 6) for s in (0, 1)]
    runs = fake_runs(tmp_path, grid) + fake_runs(tmp_path, [replace(grid[-1], precision="fp64")])
    which = Profile("full", tmp_path / "kept", tmp_path / "scratch", tmp_path / "images")
    monkeypatch.setattr(experiments, "profile", lambda: which)
    left, right = figures.learning_by_depth(runs).axes
    assert [list(box[0].get_ydata()) for box in left.containers] == [[1.0, 1.0], [1.0]]
    points = [line for line in lines(right) if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in points] == [2, 2, 2, 2]
