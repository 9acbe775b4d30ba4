from dataclasses import replace

import pandas as pd
import pytest
from fakes import fake_runs

from labutils import tables
from labutils.config import RunConfig


def test_spread_is_mean_and_sample_deviation():
    assert tables.spread([1.0, 2.0, 3.0]) == "2.00 ± 1.00"
    assert tables.spread([0.12345], 3) == "0.123"
    assert tables.spread([]) == "-"


def test_accuracy_is_in_percent_of_the_test_set(tmp_path):
    runs = fake_runs(tmp_path, [RunConfig(seed=0)], test_accuracy=0.97)
    runs += fake_runs(tmp_path, [RunConfig(seed=1)], test_accuracy=0.99)
    assert tables.accuracy(runs) == "98.00 ± 1.41 %"
    assert tables.accuracy([]) == "-"


def test_paired_difference_pairs_equal_seeds(tmp_path):
    plain, residual = [], []
    for seed, (low, high) in enumerate([(0.5, 0.6), (0.1, 0.3)]):
        config = RunConfig(seed=seed)
        plain += fake_runs(tmp_path, [config], test_accuracy=low)
        residual += fake_runs(tmp_path, [replace(config, residual=True)], test_accuracy=high)
    expected = "15.00 ± 7.07"
    assert tables.paired_difference(plain, residual) == expected
    assert tables.paired_difference(plain, residual[::-1]) == expected
    assert tables.paired_difference(plain, []) == "-"


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


def test_markdown_has_as_many_cells_in_each_line():
    text = tables.markdown(pd.DataFrame({"a": [1, 2], "b": ["x ± y", "z"]}))
    assert text == "| a | b |\n|---:|---:|\n| 1 | x ± y |\n| 2 | z |"


@pytest.mark.parametrize("name", tables.REPORT)
def test_every_table_of_the_readme_can_be_made_from_stored_runs(name):
    lines = tables.report(name).splitlines()
    assert len(lines) > 2
    assert len({line.count("|") for line in lines}) == 1
