import numpy as np
import pytest
from drawings import lines
from fakes import fake_runs

from labutils.config.classifier import RunConfig
from labutils.report.residuals import figures
from labutils.report.style import PLAIN_AND_RESIDUAL
from labutils.report.untrained import Kept


def test_gradient_by_layer_shows_norm_and_ratio_before_and_after(tmp_path):
    grid = [
        RunConfig(model="convnet", depth=depth, residual=skip, gradient_epochs=(0,))
        for depth in (4, 10)
        for skip in (False, True)
    ]
    axes = figures.gradient_by_layer(fake_runs(tmp_path, grid)).axes
    titles = ["ConvNet, MNIST, depth 4", "ConvNet, MNIST, depth 10"]
    assert [ax.get_title() for ax in axes[:2]] == titles
    norm, ratio = axes[0], axes[2]
    assert len(lines(norm)) == len(lines(ratio)) == 4
    assert list(lines(norm)[0].get_ydata()) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    assert list(lines(ratio)[0].get_ydata()) == pytest.approx([1] * 4)
    assert {line.get_linestyle() for line in lines(norm)} == {":", "-"}


def test_gradient_maps_show_the_pattern_of_each_and_its_largest_value(tmp_path):
    runs = fake_runs(
        tmp_path,
        [
            RunConfig(model="convnet", depth=d, residual=r, gradient_epochs=(2, 8))
            for d in (4, 10)
            for r in (False, True)
        ],
    )
    *panels, bar = figures.gradient_maps(runs, (2, 8)).axes
    assert [ax.get_title() for ax in panels[:4]] == [
        "depth 4, epoch 2", "depth 4, epoch 8", "depth 10, epoch 2", "depth 10, epoch 8",
    ]  # fmt: skip
    assert [panels[0].get_ylabel(), panels[4].get_ylabel()] == ["plain", "residual"]
    shown = panels[1].get_images()[0]
    # the first filter's three channels side by side, absolute values as shares of the largest
    assert shown.get_array().shape == (3, 9)
    assert shown.get_array()[0, 0] == pytest.approx(1)
    assert shown.get_array()[2, 8] == pytest.approx(1 / 27)
    largest = [ax.get_xlabel() for ax in panels[:4]]
    assert largest == ["largest: 0.3", "largest: 3e-07"] * 2
    assert all(ax.get_images()[0].get_array().max() == 1 for ax in panels), "each map in full"
    assert bar.get_ylabel() == "|gradient| / largest"


def test_ablation_has_a_point_a_run_in_the_row_of_its_cell(tmp_path):
    runs = fake_runs(
        tmp_path,
        [
            RunConfig(depth=4, residual=r, norm=n, seed=s)
            for r in (False, True)
            for n in ("none", "batch")
            for s in (0, 1)
        ],
    )
    first, second = figures.ablation(runs, runs[:2]).axes
    points = [line for line in lines(first) if line.get_marker() == "o"]
    assert sorted(int(line.get_ydata()[0]) for line in points) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len([line for line in lines(second) if line.get_marker() == "o"]) == 2
    assert [t.get_text() for t in first.get_yticklabels()][1] == "plain, batch norm, default"


def test_lesions_show_each_block_order_stage_and_seed(tmp_path, monkeypatch):
    def found(curves, single, swaps):
        pairs = [
            {"first": first, "second": second, "distance": distance, "accuracy": accuracy}
            for (first, second, distance), accuracy in zip(
                (("a", "b", 1), ("a", "c", 2), ("b", "c", 1), ("d", "e", 1)), swaps, strict=True
            )
        ]
        single = dict(zip("abcde", single, strict=True))
        return {"deletions": curves, "single": single, "swaps": pairs}

    kept = found(
        [[0.9, 0.8, 0.6], [0.9, 0.7, 0.6]], [0.8, 0.7, 0.6, 0.8, 0.8], [0.5, 0.1, 0.7, 0.8]
    )
    own = found([[0.8, 0.7, 0.5], [0.8, 0.6, 0.5]], [0.5, 0.4, 0.3, 0.5, 0.5], [0.6, 0.2, 0.8, 0.9])
    plain = found([[0.9, 0.2, 0.1], [0.9, 0.3, 0.1]], [0.2, 0.3, 0.2, 0.2, 0.2], [0.1] * 4)
    other = found([[0.9, 0.3, 0.2], [0.9, 0.4, 0.2]], [0.1, 0.2, 0.1, 0.1, 0.1], [0.15] * 4)
    again = found([[0.7, 0.6, 0.2]], [0.6, 0.5, 0.2, 0.6, 0.6], [0.3, 0.1, 0.3, 0.6])
    cut = {
        (True, 0): kept | {"own_statistics": own},
        (True, 1): again | {"own_statistics": again},
        (False, 0): plain | {"own_statistics": other},
    }
    monkeypatch.setattr(
        figures, "lesions_of", lambda run: cut[run.config.residual, run.config.seed]
    )
    runs = fake_runs(tmp_path, [RunConfig(residual=skip, seed=seed) for skip, seed in cut])
    fig = figures.lesions({"one seed": [runs[0], runs[2]], "strong": runs})
    single, deletions, swaps, of_seeds = fig.axes[:4]
    assert len(fig.axes) == 6 and single.get_ylabel() == "one seed\naccuracy"

    def shown(ax):
        return {
            (line.get_color(), line.get_linestyle(), *np.round(line.get_ydata(), 6))
            for line in lines(ax)
        }

    colors = {residual: color for residual, _, color in PLAIN_AND_RESIDUAL}
    for residual in (True, False):
        one = cut[residual, 0]
        for style, way in (("-", one), ("--", one["own_statistics"])):
            key = (colors[residual], style)
            assert (*key, *way["single"].values()) in shown(single)
            assert (*key, *np.round(np.mean(way["deletions"], 0), 6)) in shown(deletions)
            near, far, near_too, stage = (swap["accuracy"] for swap in way["swaps"])
            assert (*key, round((near + near_too) / 2, 6), far) in shown(swaps)
            assert (*key, stage) in shown(swaps)
    assert [text.get_text() for text in swaps.texts] == ["blocks 1 to 3", "blocks 4 to 5"]
    alone = {line.get_marker() for line in lines(swaps) if len(line.get_ydata()) == 1}
    assert {"o", "x"} <= alone, "a line of one point is seen by its marker alone"
    assert (colors[True], "-", 0.7, 0.6, 0.4, 0.7, 0.7) in shown(of_seeds), "the mean of two"
    points = {tuple(line.get_ydata()) for line in lines(of_seeds) if line.get_marker() == "o"}
    assert points == {tuple(one["single"].values()) for one in cut.values()}
    bars = [bar for container in of_seeds.containers for bar in container.lines[2]]
    assert len(bars) == 2, "deviations of the network with two seeds, for either batch norm"
    (low, high), *_ = (bar[:, 1] for bar in bars[1].get_segments())
    assert (high - low) / 2 == pytest.approx(np.std([0.8, 0.6], ddof=1))


def test_untrained_overview_has_a_column_a_kind_and_a_line_a_depth():
    def statistics(depth):
        return {
            "activation_gradient_norm": [0.0, *[2.0] * (depth - 2), 4.0],
            "activation_image_std": [0.1] * depth,
        }

    panels = {kind: {depth: statistics(depth) for depth in (4, 8)} for kind in ("a", "b", "c")}
    fig = figures.untrained_overview(panels)
    upper, lower = fig.axes[:3], fig.axes[3:]
    assert [ax.get_title() for ax in upper] == ["a", "b", "c"]
    for ax in upper:
        short, long = lines(ax)
        assert len(short.get_xdata()) == 4 and len(long.get_xdata()) == 8
        assert np.isnan(short.get_ydata()[0]) and list(short.get_ydata()[1:]) == [0.5, 0.5, 1]
    assert all(list(lines(ax)[1].get_ydata()) == [0.1] * 8 for ax in lower)


def test_deciding_draws_every_seed_and_fills_what_keeps_both(tmp_path, monkeypatch):
    monkeypatch.setattr(Kept, "of", lambda configs: Kept(0.5 if configs[0].residual else 0.1, 1, 1))
    grid = [RunConfig(depth=6, residual=r, seed=s) for r in (False, True) for s in (0, 1)]
    (ax,) = figures.deciding(fake_runs(tmp_path, grid)).axes
    points = [line for line in lines(ax) if line.get_marker() == "o"]
    assert [line.get_markerfacecolor() == "none" for line in points] == [True, False]
    assert [len(line.get_xdata()) for line in points] == [2, 2]
    assert [text.get_text() for text in ax.texts] == ["default", "default"]


def test_shattered_draws_a_line_a_kind_and_a_point_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "shattering", lambda config: [0.9, 0.5, 0.1])
    grid = [RunConfig(depth=6, residual=r, seed=s) for r in (False, True) for s in (0, 1)]
    left, right = figures.shattered(fake_runs(tmp_path, grid)).axes
    assert [list(line.get_ydata()) for line in lines(left)] == [[0.9, 0.5, 0.1]] * 2
    assert [line.get_xdata()[0] for line in lines(right)] == [0.9] * 4


def test_labels_that_would_hide_one_another_are_joined():
    labels = [("He", 0.12, 0.14), ("orthogonal", 0.1, 0.12), ("far", 0.6, 0.13), ("low", 0.1, 0.02)]
    found = figures._joined(labels)
    assert [text for text, *_ in found] == ["low", "orthogonal", "far", "He"]
    assert figures._joined(labels[:2]) == [("orthogonal; He", 0.12, 0.14)]
