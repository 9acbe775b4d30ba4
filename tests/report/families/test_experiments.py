from dataclasses import replace

import pytest

from labutils.config.profiles import profile
from labutils.report.experiments import configs


@pytest.mark.parametrize("name", ["full", "quick"])
def test_both_protocols_train_the_same_networks(name):
    which = profile(name)
    adam, sgd = configs("side-by-side", which), configs("side-by-side-sgd", which)
    how = {"optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 0.0}
    assert [replace(config, **how) for config in sgd] == adam != sgd


@pytest.mark.parametrize("name", ["full", "quick"])
def test_the_last_two_networks_differ_in_the_skip_alone(name):
    found = [c for c in configs("side-by-side", profile(name)) if c.model == "resnet"]
    plain, residual = ([c for c in found if c.residual == skip] for skip in (False, True))
    assert [replace(config, residual=True) for config in plain] == residual and plain
