from dataclasses import replace

import pytest
import torch

from labutils.config.profiles import profile
from labutils.models.networks import build_model
from labutils.report.experiments import configs
from labutils.report.strong import experiments


def test_the_strong_network_is_what_later_exercises_stand_on():
    """Residual, at most three million parameters, no label smoothing, linear on an 8x8 map."""
    grid = experiments.strong.grid()
    assert len(grid) >= 3, "seeds"
    for config in grid:
        assert config.residual and config.label_smoothing == 0
    network = build_model(grid[0], (3, 32, 32), 10)
    assert sum(parameter.numel() for parameter in network.parameters()) <= 3_000_000
    features = network.stem(network.normalize(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)))
    features = network.blocks(features)
    assert features.shape[2:] == (8, 8)
    assert [type(m) for m in network.head if any(True for _ in m.parameters())] == [torch.nn.Linear]


@pytest.mark.parametrize("name", ["full", "quick"])
def test_other_recipes_train_the_same_networks(name):
    which = profile(name)
    strong = configs("strong", which) + configs("strong-plain", which)
    for config in configs("strong-recipes", which) + configs("strong-brief", which):
        how = {field: getattr(config, field) for field in ("learning_rate", "cutout", "epochs")}
        assert any(replace(chosen, **how) == config for chosen in strong), config.name
