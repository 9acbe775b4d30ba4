import io
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
import pytest
from fakes import fake_runs

from labutils import figures, summaries
from labutils.config.classifier import RunConfig
from labutils.config.profiles import Profile
from labutils.report.style import KINDS
from labutils.training.statistics import STATISTICS

DEPTHS = (4, 10)
ALT = "Residual networks learn at every depth"


@pytest.fixture
def grid(tmp_path):
    configs = [
        RunConfig(depth=depth, residual=residual, seed=seed)
        for depth in DEPTHS
        for residual in (False, True)
        for seed in (0, 1)
    ]
    return fake_runs(tmp_path, [RunConfig(depth=2), *configs])


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def which(tmp_path):
    return Profile("quick", tmp_path / "runs", tmp_path / "scratch", tmp_path / "images")


def test_save_figure_writes_the_picture_with_its_alternative_text(which):
    fig, _ = plt.subplots()
    path = figures.save_figure(fig, "some-figure", alt=ALT, which=which)
    assert path == which.images / "some-figure.png"
    with PIL.Image.open(path) as image:
        assert image.info["Description"] == ALT
        assert "Software" not in image.info
    assert not plt.get_fignums()


def test_the_same_figure_is_the_same_file(which, grid):
    first = figures.save_figure(figures.depth_curves(grid), "a", alt=ALT, which=which)
    second = figures.save_figure(figures.depth_curves(grid), "b", alt=ALT, which=which)
    assert first.read_bytes() == second.read_bytes()


def test_lines_are_saved_with_a_palette_that_nobody_sees(which, grid):
    fig = figures.depth_curves(grid)
    drawn = io.BytesIO()
    fig.savefig(drawn, format="png", dpi=110)
    path = figures.save_figure(fig, "lines", alt=ALT, which=which)
    with PIL.Image.open(path) as image, PIL.Image.open(drawn) as original:
        assert image.mode == "P" and round(image.info["dpi"][0]) == 110
        first, second = (np.asarray(one.convert("RGB"), dtype=int) for one in (image, original))
    assert np.abs(first - second).max() <= 16
    assert (first[0, 0] == 255).all(), "white stays white"
    assert path.stat().st_size < 0.6 * len(drawn.getvalue())


def test_a_figure_with_many_colours_keeps_them(which):
    fig, ax = plt.subplots()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    ax.imshow(pixels, interpolation="nearest")
    with PIL.Image.open(figures.save_figure(fig, "many", alt=ALT, which=which)) as image:
        assert image.mode == "RGB" and len(image.getcolors(1 << 20)) > 1_600


@pytest.mark.parametrize("alt", ["", "plot", "plot of accuracy"])
def test_an_alternative_text_that_says_nothing_is_refused(which, alt):
    with pytest.raises(ValueError, match="what the figure shows"):
        figures.save_figure(plt.figure(), "some-figure", alt=alt, which=which)
    assert not which.images.exists()


def lines(ax):
    return [line for line in ax.get_lines() if len(line.get_xdata())]


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


def test_depth_accuracy_shows_every_point_of_each_kind(grid):
    ax = figures.depth_accuracy(grid).axes[0]
    points = [line for line in lines(ax) if line.get_marker() == "o"]
    assert sum(len(line.get_xdata()) for line in points) == len(grid)
    assert all(set(line.get_ydata()) == {0.9} for line in points)


def test_first_layer_gradient_shows_norm_and_ratio_of_the_first_layer(grid):
    norm, _, ratio, _ = figures.first_layer_gradient(grid, DEPTHS).axes
    assert len(lines(norm)) == 4
    assert list(lines(norm)[0].get_ydata()) == pytest.approx([1e-4] * 4)  # epoch 0 included
    assert list(lines(ratio)[0].get_ydata()) == pytest.approx([1.0] * 4)


def test_other_figures_show_all_their_runs(tmp_path, grid):
    base = RunConfig(depth=2, patience=10)
    widths = fake_runs(
        tmp_path, [replace(base, width=w, crop_padding=s) for w in (3, 64) for s in (0, 1)]
    )
    curves = [
        line for line in lines(figures.width_curves(widths).axes[0]) if line.get_marker() != "."
    ]
    assert len(curves) == 4
    rescue = fake_runs(tmp_path, [RunConfig(depth=4, learning_rate=r) for r in (1e-4, 1e-3)])
    assert len(lines(figures.rescue_curves(rescue).axes[0])) == 2
    stopped = figures.early_stopping(grid)
    assert [t.get_text() for t in stopped.axes[0].get_yticklabels()][:2] == [
        "width 128, depth 2",
        "width 128, depth 4, plain",
    ]
    two = figures.training_curves(grid, lambda run: str(run.config.residual))
    assert [t.get_text() for t in two.axes[0].get_legend().get_texts()] == ["False", "True"]
    overview = figures.depth_overview(grid)
    assert [ax.get_title() for ax in overview.axes[:3]] == ["depth 2", "depth 4", "depth 10"]
    assert len(lines(overview.axes[1])) == 4


def test_the_data_fill_the_axes_of_losses(grid):
    """Limits that are set too early leave an empty panel, with its lines at the border."""
    rescue = [run for run in grid if run.config.depth == 4]
    for fig in (
        figures.width_curves(grid),
        figures.depth_curves(grid),
        figures.rescue_curves(rescue),
        figures.training_curves(grid, lambda run: str(run.config.depth)),
        figures.explorer_view(rescue),
    ):
        fig.canvas.draw()
        low, high = fig.axes[0].get_ylim()
        assert low < 0.01 < 1 < high  # the losses of the made-up runs
        if len(fig.axes) != 3:  # the explorer's axes are the same at every position
            assert low > 0.005 and high < 2


def test_a_diverged_run_can_be_drawn(tmp_path):
    """What was not finite is stored as null and read as nan."""
    config = RunConfig(depth=4)
    runs = fake_runs(tmp_path, [config], train_accuracy=float("nan"), status="diverged")
    figures.depth_curves(runs)
    figures.explorer_view(runs)


def test_readme_takes_the_alternative_text_from_the_file(which, monkeypatch):
    monkeypatch.setattr(figures.saving, "profile", lambda name=None: which)
    figures.save_figure(plt.figure(), "some-figure", alt=ALT)
    assert figures.report("some-figure") == f"![{ALT}](images/some-figure.png)"


def convolutional(tmp_path, **outcome):
    configs = [
        RunConfig(data="cifar10", model="convnet", depth=d, width=4, residual=r, seed=s)
        for d in (4, 10)
        for r in (False, True)
        for s in (0, 1)
    ]
    return fake_runs(tmp_path, configs, **outcome)


def test_depth_differences_pair_equal_seeds(tmp_path):
    base = RunConfig(data="cifar10", model="convnet", depth=4, width=4)
    runs = []
    for seed, (plain, residual) in enumerate([(0.5, 0.6), (0.1, 0.3)]):
        config = replace(base, seed=seed)
        runs += fake_runs(tmp_path, [config], test_accuracy=plain)
        runs += fake_runs(tmp_path, [replace(config, residual=True)], test_accuracy=residual)
    runs += fake_runs(tmp_path, [replace(base, depth=10)])  # it has no partner
    loss, points = figures.depth_differences(runs).axes
    assert loss.get_title() == "ConvNet, CIFAR-10"
    drawn = [line for line in lines(points) if line.get_marker() == "o"]
    assert [list(line.get_xdata()) for line in drawn] == [[4, 4]]
    assert list(drawn[0].get_ydata()) == pytest.approx([10, 20])
    assert list(lines(loss)[0].get_ydata()) == [0, 0]


def test_training_curves_of_other_quantities(tmp_path):
    fig = figures.training_curves(
        convolutional(tmp_path), lambda run: str(run.config.depth), ("val_loss", "val_accuracy")
    )
    assert [ax.get_ylabel() for ax in fig.axes] == ["validation loss", "validation accuracy"]
    assert len(lines(fig.axes[0])) == 8


def test_schedule_curves_show_both_measures(tmp_path):
    grid = [RunConfig(schedule=name, seed=s) for name in ("constant", "one-cycle") for s in (0, 1)]
    runs = fake_runs(tmp_path, grid)
    running, own = figures.schedule_curves(runs).axes
    assert len(lines(running)) == len(lines(own)) == 4
    assert list(lines(running)[0].get_ydata()) == runs[0].history["val_accuracy"]
    assert list(lines(own)[0].get_ydata()) == summaries.squared_errors(runs[0])[1:]
    assert len({line.get_color() for line in lines(own)}) == 2


def test_protocol_curves_have_a_panel_each_and_a_colour_a_network(tmp_path):
    grid = [RunConfig(depth=depth, seed=seed) for depth in (4, 6) for seed in (0, 1)]
    adam, sgd = fake_runs(tmp_path, grid), fake_runs(tmp_path, [grid[0]])
    left, right = figures.protocol_curves({"Adam": adam, "SGD": sgd}).axes
    assert [left.get_title(), right.get_title()] == ["Adam", "SGD"]
    assert list(lines(left)[2].get_ydata()) == adam[2].history["val_accuracy"]
    colors = [line.get_color() for line in lines(left)]
    assert colors[0] == colors[1] != colors[2] == colors[3]
    assert [line.get_color() for line in lines(right)] == colors[:1]


def test_cost_has_a_point_a_network_at_its_cost(tmp_path):
    runs = convolutional(tmp_path, test_accuracy=0.7)
    runs += fake_runs(tmp_path, [RunConfig(data="cifar10", width=8)], test_accuracy=0.4)
    at_chance = RunConfig(data="cifar10", width=9)
    runs += fake_runs(tmp_path, [at_chance], test_accuracy=0.1, train_accuracy=0.1)
    inference, training = figures.cost(runs).axes
    drawn = lines(inference)
    assert len(drawn) == len(lines(training)) == 5  # seeds share a point
    assert sorted(float(line.get_ydata()[0]) for line in drawn) == pytest.approx([0.4] + [0.7] * 4)
    mlp = drawn[-1]
    weights = 3 * 32 * 32 * 8 + 2 * 8 * 8 + 8 * 10
    assert list(mlp.get_xdata()) == [weights]
    assert list(lines(training)[-1].get_xdata()) == [3 * 45_000 * 20 * weights]
    assert mlp.get_markerfacecolor() == "none"  # it has no skip
    names = [text.get_text() for text in training.get_legend().get_texts()]
    assert names == ["ConvNet", "MLP", "residual", "no skip"]


def test_confusion_shows_each_count(tmp_path):
    ax = figures.confusion([[5, 1], [2, 4]], ["cat", "dog"]).axes[0]
    assert [text.get_text() for text in ax.texts] == ["5", "1", "2", "4"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cat", "dog"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("answer", "true class")


def test_mistakes_show_each_picture_under_its_title():
    images = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)
    axes = figures.mistakes(images, [f"picture {n}" for n in range(7)], columns=4).axes
    assert len(axes) == 8
    assert [ax.get_title() for ax in axes] == [*(f"picture {n}" for n in range(7)), ""]
    for ax, image in zip(axes, images, strict=False):
        assert (ax.get_images()[0].get_array() == image).all()


def test_gradient_by_layer_shows_norm_and_ratio_before_and_after(grid):
    runs = [run for run in grid if run.config.depth > 2 and run.config.seed == 0]
    axes = figures.gradient_by_layer(runs).axes
    assert [ax.get_title() for ax in axes[:2]] == ["MNIST, depth 4", "MNIST, depth 10"]
    norm, ratio = axes[0], axes[2]
    assert len(lines(norm)) == len(lines(ratio)) == 4
    assert list(lines(norm)[0].get_ydata()) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    assert list(lines(ratio)[0].get_ydata()) == pytest.approx([1] * 4)
    assert {line.get_linestyle() for line in lines(norm)} == {":", "-"}


def test_gradient_maps_share_one_scale(tmp_path):
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
    # the first filter's three channels side by side, absolute values
    assert shown.get_array().shape == (3, 9)
    assert shown.get_array()[0, 0] == pytest.approx(27e-8)
    assert shown.get_array()[2, 8] == pytest.approx(1e-8)
    scales = {(p.get_images()[0].norm.vmin, p.get_images()[0].norm.vmax) for p in panels}
    assert len(scales) == 1
    assert next(iter(scales)) == pytest.approx((1e-8, 27e-2))
    assert bar.get_ylabel() == "|gradient|"


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


def test_lesions_show_each_block_order_and_stage():
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
    pair = {True: kept | {"own_statistics": own}, False: plain | {"own_statistics": other}}
    fig = figures.lesions({"ResNet 44": pair, "strong": pair})
    single, deletions, swaps = fig.axes[:3]
    assert len(fig.axes) == 6 and single.get_ylabel() == "ResNet 44\naccuracy"

    def shown(ax):
        return {
            (line.get_color(), line.get_linestyle(), *np.round(line.get_ydata(), 6))
            for line in lines(ax)
        }

    colors = {residual: color for residual, _, color in KINDS}
    for residual in (True, False):
        for style, cut in (("-", pair[residual]), ("--", pair[residual]["own_statistics"])):
            key = (colors[residual], style)
            assert (*key, *cut["single"].values()) in shown(single)
            assert (*key, *np.round(np.mean(cut["deletions"], 0), 6)) in shown(deletions)
            near, far, near_too, stage = (swap["accuracy"] for swap in cut["swaps"])
            assert (*key, round((near + near_too) / 2, 6), far) in shown(swaps)
            assert (*key, stage) in shown(swaps)
    assert [text.get_text() for text in swaps.texts] == ["blocks 1 to 3", "blocks 4 to 5"]
    alone = {line.get_marker() for line in lines(swaps) if len(line.get_ydata()) == 1}
    assert alone == {"o", "_"}, "a line of one point is seen by its marker alone"


def test_views_of_explorers(grid):
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
