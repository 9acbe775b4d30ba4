from dataclasses import replace

from fakes import fake_runs

from labutils.config.classifier import RunConfig
from labutils.report.families import tables
from labutils.report.statistics import squared_errors

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
    error = f"{squared_errors(scheduled[0])[-1]:.3f} ± 0.000"
    assert list(frame["squared error, own statistics"]) == [error] * 2


def test_tuned_table_has_both_optimisers_at_their_rates(tmp_path):
    base = RunConfig(data="cifar10", model="cnn")
    grid = [
        replace(base, optimizer=optimizer, learning_rate=rate, seed=seed)
        for optimizer, rate in (("adam", 3e-4), ("sgd", 0.2))
        for seed in (0, 1)
    ]
    (row,) = tables.tuned_table(fake_runs(tmp_path, grid)).to_dict("records")
    assert (row["rate, Adam"], row["rate, SGD"], row["dropout"]) == ("0.0003", "0.2", "0.5")
    assert row["test accuracy, Adam"] == row["test accuracy, SGD"] == "90.00 ± 0.00 %"
