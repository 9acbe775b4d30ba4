from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fakes import fake_runs

from labutils import data
from labutils.config.classifier import RunConfig
from labutils.models.modes import probing
from labutils.report.statistics import (
    accuracy,
    by_network,
    columns,
    learned,
    metric,
    paired_difference,
    sampling_error,
    scale,
    select,
    some_learned,
    spread,
    squared_errors,
    train_loss,
)
from labutils.runs.load import load_or_train
from labutils.runs.store import Store
from labutils.training.classifiers import STATISTICS_IMAGES, train


def test_spread_is_mean_and_sample_deviation():
    assert spread([1.0, 2.0, 3.0]) == "2.00 ± 1.00"
    assert spread([0.12345], 3) == "0.123"
    assert spread([]) == "-"


def test_accuracy_is_in_percent_of_the_test_set(tmp_path):
    runs = fake_runs(tmp_path, [RunConfig(seed=0)], test_accuracy=0.97)
    runs += fake_runs(tmp_path, [RunConfig(seed=1)], test_accuracy=0.99)
    assert accuracy(runs) == "98.00 ± 1.41 %"
    assert accuracy([]) == "-"


def test_paired_difference_pairs_equal_seeds(tmp_path):
    plain, residual = [], []
    for seed, (low, high) in enumerate([(0.5, 0.6), (0.1, 0.3)]):
        config = RunConfig(seed=seed)
        plain += fake_runs(tmp_path, [config], test_accuracy=low)
        residual += fake_runs(tmp_path, [replace(config, residual=True)], test_accuracy=high)
    expected = "15.00 ± 7.07"
    assert paired_difference(plain, residual) == expected
    assert paired_difference(plain, residual[::-1]) == expected
    assert paired_difference(plain, []) == "-"


def test_scale_is_a_geometric_mean():
    assert scale([1e-8, 1e-4]) == "1.0e-06"
    assert scale([0.0, 1.0]) == "0"
    assert scale([float("nan"), 1.0]) == "not finite"


def test_squared_error_is_read_off_the_gradient_at_the_logits(tmp_path):
    config = RunConfig(data="digits", depth=4, width=16, norm="batch", epochs=1)
    run = load_or_train(config, train, store=Store(tmp_path, tmp_path), keep="fp32")
    held = data.load("digits").train
    images, labels = held.images[:STATISTICS_IMAGES], held.labels[:STATISTICS_IMAGES]
    model = run.model()
    with probing(model), torch.no_grad():
        probabilities = model(images).softmax(1)
    error = (probabilities - F.one_hot(labels, 10)).square().sum(1).mean().item()
    errors = squared_errors(run)
    assert len(errors) == 2
    assert 0.01 < errors[1] < errors[0]
    assert errors[1] == pytest.approx(error, rel=2e-3)  # histories keep four digits


def test_learned_is_twice_as_good_as_chance(tmp_path):
    for share, expected in ((0.1, False), (0.2, False), (0.21, True)):
        (run,) = fake_runs(tmp_path, [RunConfig()], train_accuracy=share)
        assert learned(run) == expected


def test_learned_goes_by_the_classes_of_the_set(tmp_path):
    (run,) = fake_runs(tmp_path, [RunConfig(data="cifar100")], train_accuracy=0.05)
    assert learned(run)


def test_where_only_some_learn_no_mean_is_given(tmp_path):
    grid = [RunConfig(seed=seed) for seed in range(3)]
    one, *others = fake_runs(tmp_path, grid), *fake_runs(tmp_path, grid[1:], train_accuracy=0.1)
    runs = [one[0], *others]
    assert some_learned(runs) and not some_learned(runs[1:]) and not some_learned(runs[:1])
    assert accuracy(runs) == "1 of 3 learns" and accuracy([*one[:2], others[1]]) == "2 of 3 learn"
    assert train_loss(runs) == metric(runs, "test_loss", 2) == "-"
    assert paired_difference(runs, one) == paired_difference(one, runs) == "-"


def test_sampling_error_is_that_of_drawing_images(tmp_path):
    draws = np.random.default_rng(0).random((2_000, 500)) < 0.9
    assert sampling_error(0.9, 500) == pytest.approx(draws.mean(1).std(), rel=0.1)


def test_select(tmp_path):
    grid = [RunConfig(depth=d, residual=r) for d in (4, 10) for r in (False, True)]
    runs = fake_runs(tmp_path, grid)
    assert [r.config for r in select(runs, depth=10, residual=True)] == [grid[3]]
    assert select(runs, depth=12) == []


def test_runs_of_one_network_differ_in_the_seed_alone(tmp_path):
    grid = [RunConfig(depth=depth, seed=seed) for seed in (0, 1) for depth in (10, 4)]
    groups = by_network(fake_runs(tmp_path, grid))
    assert [[(r.config.depth, r.config.seed) for r in group] for group in groups] == [
        [(10, 0), (10, 1)],
        [(4, 0), (4, 1)],
    ]


def test_columns_are_those_of_the_end_with_the_name_of_their_group(tmp_path):
    grid = [RunConfig(seed=seed) for seed in (0, 1)]
    runs = fake_runs(tmp_path, grid, test_accuracy=0.5, train_accuracy=0.75)
    assert columns(runs, "train loss", "test accuracy", of="SGD") == {
        "train loss, SGD": "0.010 ± 0.000",
        "test accuracy, SGD": "50.00 ± 0.00 %",
    }
    found = columns(runs, "network", "data", "rate", "seeds", "val accuracy", "test loss")
    assert list(found) == ["network", "data", "rate", "seeds", "val accuracy", "test loss"]
    assert list(found.values()) == [
        "MLP 4, plain", "MNIST", "0.001", 2, "75.00 ± 0.00 %", "0.500 ± 0.000"
    ]  # fmt: skip
