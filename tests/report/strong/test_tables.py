from dataclasses import replace

import pytest
from fakes import fake_runs

from labutils.config.classifier import RunConfig
from labutils.report.strong import tables
from labutils.runs.load import load_or_train
from labutils.runs.store import Store
from labutils.training.classifiers import train


def test_strong_table_has_every_run_both_means_and_the_difference_by_pairs(tmp_path):
    base = RunConfig(data="cifar10", model="strong", width=4, residual=True, epochs=10)
    runs = []
    for seed, plain, residual in ((1, 0.5, 0.9), (0, 0.6, 0.8)):
        for skip, accuracy in ((False, plain), (True, residual)):
            config = replace(base, residual=skip, seed=seed)
            runs += fake_runs(tmp_path, [config], test_accuracy=accuracy)
    frame = tables.strong_table(runs)
    assert list(frame["network"]) == ["residual"] * 2 + ["plain twin"] * 2 + [
        "residual, mean", "plain twin, mean", "residual - plain", "sampling error of the images",
    ]  # fmt: skip
    assert list(frame["seed"]) == [0, 1, 0, 1, "all", "all", "by pairs", "one"]
    assert list(frame["test accuracy"]) == [
        "80.00 %", "90.00 %", "60.00 %", "50.00 %",
        "85.00 ± 7.07 %", "55.00 ± 7.07 %", "30.00 ± 14.14",
        "± 0.46 %",  # 0.7 of 10,000
    ]  # fmt: skip
    assert frame["val accuracy"].iloc[-1] == "± 0.42 %", "0.9 of 5,000"
    assert list(frame["as stored"]) == ["-"] * 4 + [""] * 4, "none of these keeps its weights"


def test_recipe_table_has_a_row_a_recipe_and_kind_in_the_order_of_the_runs(tmp_path):
    gentle = RunConfig(data="cifar10", model="strong", width=4, cutout=12, learning_rate=0.1)
    grid = [replace(gentle, residual=skip, seed=s) for skip in (True, False) for s in (0, 1)]
    grid += [replace(config, cutout=0, epochs=30) for config in grid[:2]]
    runs = fake_runs(tmp_path, grid)
    for run in runs[:2]:
        run.metrics["hardware"] |= {"device": "cuda", "processor": "a GPU"}
    for run in runs[-2:]:
        run.metrics["hardware"]["threads"] = 2
    frame = tables.recipe_table(runs)
    columns = ["rate", "hole, px", "epochs", "network"]
    assert frame[columns].to_numpy().tolist() == [
        ["0.1", 12, 20, "residual"],
        ["0.1", 12, 20, "plain"],
        ["0.1", "none", 30, "residual"],
    ]
    assert list(frame["computed on"]) == ["a GPU", "1 CPU core, AVX512", "2 CPU cores, AVX512"]
    assert set(frame["test accuracy"]) == {"90.00 ± 0.00 %"}


def test_what_is_stored_of_a_strong_network_is_tested_too(tmp_path):
    config = RunConfig(data="shapes10", model="strong", width=4, residual=True, epochs=1)
    config = replace(config, batch_size=500, precision="bf16")
    store = Store(tmp_path / "runs", tmp_path / "scratch")
    run = load_or_train(config, train, store=store, keep="fp16", progress=False)
    row = tables.strong_table([run]).iloc[0]
    trained, stored = (float(row[name].split()[0]) for name in ("test accuracy", "as stored"))
    assert stored == pytest.approx(trained, abs=1)


def test_size_table_has_a_row_for_each_network(tmp_path):
    base = RunConfig(data="cifar10", model="strong", width=4, residual=True, epochs=10)
    grid = [replace(base, seed=1), base, replace(base, epochs=5)]
    frame = tables.size_table(fake_runs(tmp_path, grid))
    assert list(frame["parameters"]) == ["1,234"] * 2, "seeds share a row"
    ten, five = frame["multiply-adds of the training"].astype(float)
    assert five == pytest.approx(ten / 2, rel=0.05)
