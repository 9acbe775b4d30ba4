from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from fakes import fake_runs

from labutils import data, summaries
from labutils.config.classifier import RunConfig
from labutils.models.modes import probing
from labutils.runs.load import load_or_train
from labutils.runs.store import Store
from labutils.training.classifiers import STATISTICS_IMAGES, train


def test_spread_is_mean_and_sample_deviation():
    assert summaries.spread([1.0, 2.0, 3.0]) == "2.00 ± 1.00"
    assert summaries.spread([0.12345], 3) == "0.123"
    assert summaries.spread([]) == "-"


def test_accuracy_is_in_percent_of_the_test_set(tmp_path):
    runs = fake_runs(tmp_path, [RunConfig(seed=0)], test_accuracy=0.97)
    runs += fake_runs(tmp_path, [RunConfig(seed=1)], test_accuracy=0.99)
    assert summaries.accuracy(runs) == "98.00 ± 1.41 %"
    assert summaries.accuracy([]) == "-"


def test_paired_difference_pairs_equal_seeds(tmp_path):
    plain, residual = [], []
    for seed, (low, high) in enumerate([(0.5, 0.6), (0.1, 0.3)]):
        config = RunConfig(seed=seed)
        plain += fake_runs(tmp_path, [config], test_accuracy=low)
        residual += fake_runs(tmp_path, [replace(config, residual=True)], test_accuracy=high)
    expected = "15.00 ± 7.07"
    assert summaries.paired_difference(plain, residual) == expected
    assert summaries.paired_difference(plain, residual[::-1]) == expected
    assert summaries.paired_difference(plain, []) == "-"


def test_networks_have_the_names_of_the_report():
    resnet16 = RunConfig(model="resnet", depth=18, stages=4, residual=True)
    named = {
        RunConfig(depth=10): "MLP 10, plain",
        RunConfig(model="small-cnn"): "SmallCNN",
        RunConfig(model="cnn"): "CNN",
        RunConfig(model="convnet", depth=16, residual=True): "ConvNet 16, residual",
        RunConfig(model="resnet", depth=44): "ResNet 44, plain",
        resnet16: "ResNet-16",
        replace(resnet16, residual=False): "ConvNet-16",
        RunConfig(model="strong", residual=True): "strong network 9, residual",
    }
    assert {config: summaries.network_name(config) for config in named} == named


def test_scale_is_a_geometric_mean():
    assert summaries.scale([1e-8, 1e-4]) == "1.0e-06"
    assert summaries.scale([0.0, 1.0]) == "0"
    assert summaries.scale([float("nan"), 1.0]) == "not finite"


def test_one_seed_is_singular():
    assert [summaries.count_of([None] * count) for count in (1, 3)] == ["1 seed", "3 seeds"]


def test_a_family_is_named_with_its_head_where_that_is_another():
    flatten = RunConfig(model="convnet", depth=4)
    averaging = replace(flatten, head="fully-convolutional")
    assert summaries.family_name(flatten) == "ConvNet"
    assert summaries.family_name(averaging) == "ConvNet with averaging head"
    assert summaries.network_name(averaging) == "ConvNet 4, plain, averaging head"


def test_squared_error_is_read_off_the_gradient_at_the_logits(tmp_path):
    config = RunConfig(data="digits", depth=4, width=16, norm="batch", epochs=1)
    run = load_or_train(config, train, store=Store(tmp_path, tmp_path), keep="fp32")
    held = data.load("digits").train
    images, labels = held.images[:STATISTICS_IMAGES], held.labels[:STATISTICS_IMAGES]
    model = run.model()
    with probing(model), torch.no_grad():
        probabilities = model(images).softmax(1)
    error = (probabilities - F.one_hot(labels, 10)).square().sum(1).mean().item()
    errors = summaries.squared_errors(run)
    assert len(errors) == 2
    assert 0.01 < errors[1] < errors[0]
    assert errors[1] == pytest.approx(error, rel=2e-3)  # histories keep four digits


def test_learned_is_twice_as_good_as_chance(tmp_path):
    for accuracy, learned in ((0.1, False), (0.2, False), (0.21, True)):
        (run,) = fake_runs(tmp_path, [RunConfig()], train_accuracy=accuracy)
        assert summaries.learned(run) == learned
