from dataclasses import replace

from fakes import fake_runs

from labutils.config.classifier import RunConfig
from labutils.report.names import cell, count_of, family_name, network_name


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
    assert {config: network_name(config) for config in named} == named


def test_a_family_is_named_with_its_head_where_that_is_another():
    flatten = RunConfig(model="convnet", depth=4)
    averaging = replace(flatten, head="fully-convolutional")
    assert family_name(flatten) == "ConvNet"
    assert family_name(averaging) == "ConvNet with averaging head"
    assert network_name(averaging) == "ConvNet 4, plain, averaging head"


def test_one_seed_is_singular():
    assert [count_of([None] * count) for count in (1, 3)] == ["1 seed", "3 seeds"]


def test_a_cell_is_named_by_skip_norm_and_initialisation(tmp_path):
    config = RunConfig(depth=4, residual=True, norm="batch", init="zero-residual")
    plain, residual = fake_runs(tmp_path, [RunConfig(depth=4, init="he"), config])
    assert cell(plain) == ("plain", "no norm", "He")
    assert cell(residual) == ("residual", "batch norm", "He, last zero")
