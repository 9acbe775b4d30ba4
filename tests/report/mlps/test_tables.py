from dataclasses import replace

from fakes import fake_runs

from labutils.config.classifier import RunConfig
from labutils.config.profiles import Profile
from labutils.report.mlps import experiments, tables


def test_depth_table_has_a_row_a_depth_and_no_residual_at_two(tmp_path):
    grid = [RunConfig(depth=d, residual=r) for d in (2, 4) for r in (False, True) if d > 2 or not r]
    frame = tables.depth_table(fake_runs(tmp_path, grid))
    assert list(frame["depth"]) == [2, 4]
    assert list(frame["residual"]) == ["-", "90.00 %"]
    assert list(frame["residual - plain"]) == ["-", "0.00"]


def test_width_and_block_tables_group_all_seeds(tmp_path):
    base = RunConfig(depth=2, patience=10)
    widths = [
        replace(base, width=w, crop_padding=s, seed=n)
        for w in (3, 64)
        for s in (0, 1)
        for n in (0, 1)
    ]
    frame = tables.width_table(fake_runs(tmp_path, widths))
    assert list(zip(frame["width"], frame["shifts"], strict=True)) == [
        (3, "none"),
        (3, "1 px"),
        (64, "none"),
        (64, "1 px"),
    ]
    assert set(frame["epochs to stop"]) == {"3.0 ± 0.0"}
    blocks = [
        replace(base, depth=d, residual=r, seed=n)
        for d, r in ((2, False), (8, False), (8, True))
        for n in (0, 1)
    ]
    frame = tables.block_table(fake_runs(tmp_path, blocks))
    assert list(frame["network"]) == ["no block", "3 plain blocks", "3 residual blocks"]
    assert list(frame["epochs - no block"]) == ["-", "0.0 ± 0.0", "0.0 ± 0.0"]
    assert list(frame["epochs - plain"]) == ["-", "-", "0.0 ± 0.0"]
    runs = fake_runs(tmp_path, blocks)
    for run in runs:
        run.metrics["epochs"] = 10 + run.config.depth + (2 + run.config.seed) * run.config.residual
    frame = tables.block_table(runs)
    assert list(frame["epochs - no block"]) == ["-", "6.0 ± 0.0", "8.5 ± 0.7"]
    assert list(frame["epochs - plain"]) == ["-", "-", "2.5 ± 0.7"]


def test_dead_table_tells_where_and_since_when_a_layer_is_dead(tmp_path):
    base = RunConfig(depth=6)
    grid = [replace(base, residual=r, seed=s) for r in (False, True) for s in (0, 1, 2)]
    runs = fake_runs(tmp_path, grid, train_accuracy=0.1)
    runs += fake_runs(tmp_path, [replace(base, depth=4)])  # it learns
    alive, dead = [0.2] * 6, [0.2, 0.2, 0.2, 1.0, 0.5, 0.0]
    for run in runs:
        run.history["layers"]["dead_units"] = [alive] * 4
    runs[0].history["layers"]["dead_units"] = [alive, dead, alive, dead]  # for good since the last
    runs[2].history["layers"]["dead_units"] = [dead, dead, dead, dead]
    frame = tables.dead_table(runs)
    assert frame.to_dict("records") == [
        {
            "plain networks": "MLP, MNIST",
            "depth": 6,
            "at chance": "3 of 3",
            "with a dead layer": 2,
            "which layer": "4, 4",
            "since epoch": "3, 0",
        }
    ]


def test_model_table_has_a_row_for_all_seeds_of_a_network(tmp_path):
    base = RunConfig(model="convnet", data="cifar10", depth=10)
    grid = [replace(base, residual=r, seed=n) for r in (False, True) for n in (0, 1, 2)]
    frame = tables.model_table(fake_runs(tmp_path, grid))
    assert list(frame["seeds"]) == [3, 3]
    assert list(frame["network"]) == [
        "ConvNet 10, plain, width 32",
        "ConvNet 10, residual, width 32",
    ]


def test_rescue_table_is_ordered_by_set_and_rate(tmp_path):
    grid = [
        RunConfig(data=data, depth=16, learning_rate=rate)
        for rate in (3e-3, 1e-4)
        for data in ("mnist", "cifar10")
    ]
    frame = tables.rescue_table(fake_runs(tmp_path, grid))
    assert list(zip(frame["data"], frame["learning rate"], strict=True)) == [
        ("MNIST", "0.0001"),
        ("MNIST", "0.003"),
        ("CIFAR-10", "0.0001"),
        ("CIFAR-10", "0.003"),
    ]


def test_learning_table_counts_who_learns_and_says_what_reaches_the_last_layer(
    tmp_path, monkeypatch
):
    grid = [RunConfig(depth=d, data="digits", seed=s) for d in (10, 26) for s in range(4)]
    runs = fake_runs(tmp_path, grid[:5], train_accuracy=0.9)
    runs += fake_runs(tmp_path, grid[5:], train_accuracy=0.1)
    exact = replace(grid[4], precision="fp64")
    runs += fake_runs(tmp_path, [exact], train_accuracy=0.9)
    which = Profile("full", tmp_path / "kept", tmp_path / "scratch", tmp_path / "images")
    monkeypatch.setattr(experiments, "profile", lambda: which)
    frame = tables.learning_table(runs)
    assert list(zip(frame["precision"], frame["depth"], frame["learn"], strict=True)) == [
        ("fp32", 10, "4 of 4"),
        ("fp32", 26, "1 of 4"),
        ("fp64", 26, "1 of 1"),
    ]
    assert frame["share (95 % interval)"][1] == "25% (1% to 81%)"
    shallow, deep, finer = frame["deviation across images"].astype(float)
    assert shallow > 1e3 * deep > 1e3 * finer, "in fp32 rounding hides how little is left"
    rounding = frame["rounding"].astype(float)
    assert shallow > rounding[0] and deep < 10 * rounding[1] and finer > 1e3 * rounding[2]


def test_depth_table_counts_where_some_learn_and_some_do_not(tmp_path):
    base = RunConfig(depth=22)
    runs = fake_runs(tmp_path, [base, replace(base, residual=True)])
    runs += fake_runs(tmp_path, [replace(base, seed=1), replace(base, seed=2)], train_accuracy=0.1)
    (row,) = tables.depth_table(runs).to_dict("records")
    assert row["plain"] == "1 of 3 learns"
    assert row["residual - plain"] == row["train loss, plain"] == "-"
