import re
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
from fakes import fake_outcome, fake_runs
from labutils.tables import readme

from labutils import experiments, summaries, tables
from labutils.config.classifier import RunConfig
from labutils.config.profiles import Profile
from labutils.runs.load import load_or_train
from labutils.runs.store import Store
from labutils.training.classifiers import train


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


RESNET16 = RunConfig(
    data="cifar10", model="resnet", depth=18, stages=4, width=4, residual=True, flip=True
)


def test_side_table_has_a_row_a_network_over_its_seeds(tmp_path):
    grid = [replace(RESNET16, residual=r, seed=s) for s in (0, 1) for r in (False, True)]
    frame = tables.side_table(fake_runs(tmp_path, grid, test_accuracy=0.8))
    assert list(frame["network"]) == ["ConvNet-16", "ResNet-16"]
    assert list(frame["test accuracy"]) == ["80.00 ± 0.00 %"] * 2
    assert list(frame["val accuracy"]) == ["90.00 ± 0.00 %"] * 2
    assert list(frame["test loss"]) == ["0.200"] * 2
    assert list(frame["core-minutes"]) == ["0.1"] * 2  # three seconds
    assert list(frame["multiply-adds"]) == ["2.2 M"] * 2


def test_protocols_are_paired_by_network_and_seed(tmp_path):
    grid = [replace(RESNET16, residual=r, seed=s) for s in (0, 1) for r in (False, True)]
    runs = []
    for config in grid:
        runs += fake_runs(tmp_path, [config], test_accuracy=0.5)
        sgd = replace(config, optimizer="sgd")
        better = 0.6 + 0.1 * config.residual + 0.02 * config.seed
        runs += fake_runs(tmp_path, [sgd], test_accuracy=better)
    frame = tables.protocol_table(runs)
    assert list(frame["network"]) == ["ConvNet-16", "ResNet-16"]
    assert list(frame["test accuracy, Adam"]) == ["50.00 ± 0.00 %"] * 2
    assert list(frame["test accuracy, SGD"]) == ["61.00 ± 1.41 %", "71.00 ± 1.41 %"]
    assert list(frame["SGD - Adam"]) == ["11.00 ± 1.41", "21.00 ± 1.41"]
    losses = [run.history["train_loss"][-1] for run in runs if run.config.optimizer == "adam"]
    assert frame["train loss, Adam"][0] == f"{losses[0]:.3f} ± 0.000"


def test_augmentation_and_schedule_are_paired_by_seed(tmp_path):
    runs = []
    for seed, (low, high) in enumerate([(0.5, 0.6), (0.1, 0.3)]):
        config = replace(RESNET16, seed=seed, schedule="one-cycle")
        runs += fake_runs(tmp_path, [config], test_accuracy=high)
        for change in ({"flip": False}, {"schedule": "constant"}):
            runs += fake_runs(tmp_path, [replace(config, **change)], test_accuracy=low)
    frame = tables.augmentation_table([r for r in runs if r.config.schedule == "one-cycle"])
    assert list(frame["images"]) == ["as they are", "mirrored and shifted"]
    assert list(frame["points gained"]) == ["-", "15.00 ± 7.07"]
    assert list(frame["test accuracy"]) == ["30.00 ± 28.28 %", "45.00 ± 21.21 %"]
    scheduled = [r for r in runs if r.config.flip]
    for run in scheduled:
        run.history["val_accuracy"] = [0.2, 0.7 + 0.1 * run.config.seed, 0.3]
    frame = tables.schedule_table(scheduled)
    assert list(frame["learning rate"]) == ["constant", "one-cycle"]
    assert list(frame["points gained"]) == ["-", "15.00 ± 7.07"]
    assert list(frame["val accuracy, best epoch"]) == ["75.00 ± 7.07 %"] * 2
    error = f"{summaries.squared_errors(scheduled[0])[-1]:.3f} ± 0.000"
    assert list(frame["squared error, own statistics"]) == [error] * 2


def test_head_table_sets_the_heads_beside_one_another(tmp_path):
    base = RunConfig(data="cifar10", model="convnet", depth=4, width=4)
    runs = []
    for head, accuracy in (("flatten", 0.5), ("fully-convolutional", 0.6)):
        grid = [replace(base, head=head, residual=residual) for residual in (False, True)]
        runs += fake_runs(tmp_path, grid, test_accuracy=accuracy)
    frame = tables.head_table(runs)
    assert list(frame["network"]) == ["plain", "residual"]
    assert list(frame["test accuracy, flatten"]) == ["50.00 %"] * 2
    assert list(frame["test accuracy, average"]) == ["60.00 %"] * 2
    assert list(frame["average - flatten"]) == ["10.00"] * 2
    last = f"{runs[0].history['train_loss'][-1]:.3f}"
    assert list(frame["train loss, flatten"]) == [last] * 2


def test_strong_table_has_every_run_both_means_and_the_difference_by_pairs(tmp_path):
    base = RunConfig(data="cifar10", model="strong", width=4, residual=True, epochs=10)
    runs = []
    for seed, plain, residual in ((1, 0.5, 0.9), (0, 0.6, 0.8)):
        for skip, accuracy in ((False, plain), (True, residual)):
            config = replace(base, residual=skip, seed=seed)
            runs += fake_runs(tmp_path, [config], test_accuracy=accuracy)
    frame = tables.strong_table(runs)
    assert list(frame["network"]) == ["residual"] * 2 + ["plain twin"] * 2 + [
        "residual, mean", "plain twin, mean", "residual - plain",
    ]  # fmt: skip
    assert list(frame["seed"]) == [0, 1, 0, 1, "all", "all", "by pairs"]
    assert list(frame["test accuracy"]) == [
        "80.00 %", "90.00 %", "60.00 %", "50.00 %",
        "85.00 ± 7.07 %", "55.00 ± 7.07 %", "30.00 ± 14.14",
    ]  # fmt: skip
    assert list(frame["as stored"]) == ["-"] * 4 + [""] * 3, "none of these keeps its weights"


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


def test_the_table_of_the_strong_network_has_all_its_seeds(tmp_path, monkeypatch):
    which = Profile("full", tmp_path / "runs", tmp_path / "scratch", tmp_path / "images")
    monkeypatch.setattr(readme, "profile", lambda name: which)
    for name in ("strong", "strong-plain"):
        for config in experiments.configs(name, which):
            Store.of(which).save(config, fake_outcome(config), keep="fp16")
    monkeypatch.setattr(tables.networks, "test_predictions", lambda run: {"accuracy": 0.75})
    rows = [
        [cell.strip() for cell in row.split("|")[1:-1]]
        for row in tables.report("strong").splitlines()[2:]
    ]
    assert [row[0] for row in rows[:6]] == ["residual"] * 3 + ["plain twin"] * 3
    assert [row[-1].replace("\xa0", " ") for row in rows] == ["75.00 %"] * 3 + ["-"] * 3 + [""] * 3


def test_headline_has_ten_lines_from_stored_runs(tmp_path, monkeypatch):
    which = Profile("full", tmp_path / "runs", tmp_path / "scratch", tmp_path / "images")
    names = ("mnist-width", "best-mlp", "mnist-cnn", "mnist-depth", "convnet-depth")
    names += ("resnet-depth", "schedule", "side-by-side-sgd", "strong", "strong-plain")
    for number, name in enumerate(names, 1):
        for config in experiments.configs(name, which):
            # a share of its own for each experiment, kind, view of the images, and for CNNs
            share = 0.2 + number / 20 + config.residual / 100 + (config.crop_padding > 0) / 1000
            share += (config.model == "cnn") / 20
            stuck = name == "mnist-depth" and not config.residual and config.depth > 22
            outcome = fake_outcome(
                config, test_accuracy=share, train_accuracy=0.1 if stuck else share
            )
            Store.of(which).save(config, outcome, keep=experiments.KEEP.get(name, "none"))
    detectors = [SimpleNamespace(config=c) for c in experiments.configs("detector", which)]
    stored = tables.readme.load
    monkeypatch.setattr(
        tables.readme,
        "load",
        lambda name, which: detectors if name == "detector" else stored(name, which),
    )
    precision = {"one digit": 0.75, "four digits on 96 x 96": 0.25}
    monkeypatch.setattr(
        tables.readme, "scores", lambda run, shown: {"ap_half": precision[shown.name]}
    )
    frame = tables.headline(which)
    shares = [
        re.findall(r"[\d.]+(?= ± 0.00 %)", str(cell)) or [str(cell)] for cell in frame["here"]
    ]
    assert shares == [
        ["25.00", "25.10"], ["31.10", "40.10"], ["26"], ["31.10", "60.10", "65.10"],
        ["45.10", "46.10"], ["50.10", "51.10"], ["60.10", "61.10"], ["56.10", "51.10"],
        ["66.10", "70.10"], ["75.00", "25.00"],
    ]  # fmt: skip
    assert list(frame["data"][2:4]) == ["MNIST", "CIFAR-10"]


def test_ablation_table_says_which_cells_train(tmp_path):
    base = RunConfig(depth=4)
    runs = fake_runs(tmp_path, [base], train_accuracy=0.1)
    runs += fake_runs(tmp_path, [replace(base, seed=1), replace(base, residual=True)])
    frame = tables.ablation_table(runs)
    kinds = [kind.split(",")[0] for kind in frame["skip, norm, initialisation"]]
    assert kinds == ["plain", "residual"]
    assert list(frame["trains"]) == ["1 of 2", "1 of 1"]
    assert list(frame["gradient, first / logits"]) == ["1.0e-03"] * 2
    assert list(frame["activations"]) == ["1.0e-02"] * 2  # of the last hidden layer
    assert list(frame["share across images"]) == ["100.00 %"] * 2
    for name in ("activation_std", "activation_image_std"):  # all units dead from the start
        runs[2].history["layers"][name][0][-2] = 0.0
    assert list(tables.ablation_table(runs)["share across images"]) == ["100.00 %", "0.00 %"]


def test_gradient_table_tells_which_gradients_come_back(tmp_path):
    base = RunConfig(model="convnet", depth=4)
    runs = fake_runs(tmp_path, [base, replace(base, residual=True, seed=1)])
    for run, first, last in ((runs[0], (1e-8, 0.5, 0.0), (2.0, 1.0, 0.0)),
                             (runs[1], (1.0, 3.0, 4.0), (2.0, 1.0, 1.0))):  # fmt: skip
        measured = [[a, 9.0, 9.0, b] for a, b in zip(first, last, strict=True)]
        run.history["layers"]["activation_gradient_norm"] = measured
    frame = tables.gradient_table(runs)
    assert list(frame["network"]) == ["plain", "residual"]
    columns = [c for c in frame if c.startswith("first")]
    assert frame[columns].to_numpy().tolist() == [
        ["5.0e-09", "5.0e-01", "0"], ["5.0e-01", "3.0e+00", "4.0e+00"]
    ]  # fmt: skip


def test_lesion_table_has_a_row_a_network_and_way_of_batch_norm(tmp_path, monkeypatch):
    cut = {
        "deletions": [[0.9, 0.8, 0.5], [0.9, 0.6, 0.3]],
        "single": dict(zip("abcde", (0.8, 0.6, 0.7, 0.7, 0.7), strict=True)),
    }
    own = {
        "deletions": [[0.9, 0.9, 0.9]],
        "single": dict(zip("abcde", (0.85, 0.75, 0.8, 0.8, 0.8), strict=True)),
    }
    swaps = [
        {"first": first, "second": second, "distance": distance, "accuracy": accuracy}
        for first, second, distance, accuracy in (
            ("a", "b", 1, 0.8), ("a", "c", 2, 0.3), ("b", "c", 1, 0.7), ("d", "e", 1, 0.6)
        )
    ]  # fmt: skip
    better = [pair | {"accuracy": pair["accuracy"] + 0.1} for pair in swaps]
    found = cut | {"swaps": swaps, "own_statistics": own | {"swaps": better}}
    monkeypatch.setattr(tables.ablation, "lesions_of", lambda run: found)
    base = RunConfig(depth=6, norm="batch")
    frame = tables.lesion_table(fake_runs(tmp_path, [base]))
    assert list(frame["batch norm"]) == ["of the training", "its own"]
    assert list(frame["one deleted"]) == ["70.0 %", "80.0 %"]
    assert list(frame["worst"]) == ["60.0 %", "75.0 %"]
    assert list(frame["best"]) == ["80.0 %", "85.0 %"]
    assert list(frame["2 deleted"]) == ["40.0 %", "90.0 %"] and "4 deleted" not in frame
    assert list(frame["neighbours swapped"]) == ["70.0 %", "80.0 %"]
    assert list(frame["ends of each stage swapped"]) == ["30.0, 60.0 %", "40.0, 70.0 %"]
    deep = found | {"deletions": [[0.9, 0.8, 0.5, 0.4, 0.25]]}
    by_depth = {6: found, 12: deep}
    monkeypatch.setattr(tables.ablation, "lesions_of", lambda run: by_depth[run.config.depth])
    frame = tables.lesion_table(fake_runs(tmp_path, [replace(base, depth=12), base]))
    assert list(frame["4 deleted"]) == ["25.0 %", "-", "-", "-"], "not so many blocks, or orders"


def test_markdown_has_as_many_cells_in_each_line():
    frame = pd.DataFrame({"a": ["CIFAR-10", "z"], "b": [1, "- z"], "c": ["1 ± 2 %", "z"]})
    # words to the left; a line may break between cells alone
    assert tables.markdown(frame).splitlines() == [
        "| a | b | c |",
        "|:---|---:|---:|",
        "| CIFAR\N{NON-BREAKING HYPHEN}10 | 1 | 1\xa0±\xa02\xa0% |",
        "| z | - z | z |",
    ]


def test_rate_table_has_a_row_a_kind_and_rate(tmp_path):
    base = RunConfig(depth=40)
    grid = [
        replace(base, residual=residual, learning_rate=rate, seed=seed)
        for residual in (False, True)
        for rate in (1e-4, 1e-3)
        for seed in (0, 1)
    ]
    frame = tables.rate_table(fake_runs(tmp_path, grid))
    kinds = [kind.split(",")[0] for kind in frame["skip, norm, initialisation"]]
    assert kinds == ["plain", "plain", "residual", "residual"]
    assert list(frame["learning rate"]) == ["0.001", "0.0001"] * 2
    assert set(frame["train loss"]) == {"0.010 ± 0.000"}
    assert set(frame["test accuracy"]) == {"90.00 ± 0.00 %"}
