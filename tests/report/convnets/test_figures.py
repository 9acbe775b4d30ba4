from dataclasses import replace

import pytest
from drawings import lines
from fakes import fake_runs

from labutils.config.classifier import RunConfig
from labutils.report.convnets import figures


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
