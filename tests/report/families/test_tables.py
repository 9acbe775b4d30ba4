from dataclasses import replace

from fakes import fake_runs

from labutils.config.classifier import RunConfig
from labutils.report.families import tables
from labutils.report.statistics import select, squared_errors

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


def test_protocol_table_has_one_rate_for_all_and_that_of_each(tmp_path):
    """The CNN keeps the common rate of SGD, and is there in two experiments."""
    cnn = replace(RESNET16, model="cnn", depth=8, stages=3, residual=False)
    networks = [cnn, *(replace(RESNET16, residual=residual) for residual in (False, True))]
    ways = {("adam", 0.001): 0.3, ("adam", 0.003): 0.4, ("sgd", 0.05): 0.5, ("sgd", 0.2): 0.6}
    runs = []
    for (optimizer, rate), share in ways.items():
        for number, config in enumerate(networks):
            for seed in (0, 1):
                if rate == 0.2 and config == cnn:
                    continue
                how = replace(config, optimizer=optimizer, learning_rate=rate, seed=seed)
                reached = share + number / 20 + seed * number / 100
                runs += fake_runs(tmp_path, [how], test_accuracy=reached)
    frame = tables.protocol_table(runs + select(runs, model="cnn")).set_index("network")
    assert list(frame.columns) == [
        "Adam, 0.001 for all", "Adam, each at its best", "SGD, 0.05 for all",
        "SGD, each at its best",
    ]  # fmt: skip
    assert list(frame.loc["CNN"]) == [f"{share}.00 ± 0.00 %" for share in (30, 40, 50, 50)]
    assert frame.loc["ResNet-16", "SGD, each at its best"] == "71.00 ± 1.41 %"
    assert list(frame.loc["ResNet-16 - ConvNet-16"]) == ["5.50 ± 0.71"] * 4
    assert list(frame.loc["ResNet-16 - CNN"]) == ["11.00 ± 1.41"] * 3 + ["21.00 ± 1.41"]


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
