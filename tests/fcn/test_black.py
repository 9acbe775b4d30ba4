import math

import pytest
import torch

from labutils import data
from labutils.config.fcn import FCNConfig
from labutils.fcn import black, conditions
from labutils.fcn.black import answers_on_black
from labutils.fcn.detection import pixel_probabilities
from labutils.fcn.networks import load_detector
from labutils.fcn.training import draw_for, train_detector
from labutils.runs.load import load_or_train
from labutils.runs.store import Store


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(conditions, "COUNT", 12)


@pytest.fixture(scope="module")
def without_background(tmp_path_factory):
    folder = tmp_path_factory.mktemp("no-background")
    config = FCNConfig(
        data="digits", width=4, canvases=200, epochs=2, learning_rate=5e-3, batch_size=20, size=80,
        background=False,
    )  # fmt: skip
    store = Store(folder / "runs", folder / "scratch")
    return load_or_train(config, train_detector, store=store, keep="fp32", progress=False)


def test_blind_pixels_are_those_that_no_digit_reaches(without_background):
    """All blind pixels answer as an empty canvas does, and none lies near the digit."""
    digits, size = data.load("digits").train, 80
    found = answers_on_black(without_background)
    counts = torch.bincount(digits.labels)
    assert found["digits"] == pytest.approx((counts / counts.sum()).tolist(), abs=1e-6)

    network = load_detector(without_background)
    canvases = draw_for(without_background.config, digits, 12, black.TRAINING_SEED)
    empty = pixel_probabilities(network, torch.zeros(1, 1, size, size, dtype=torch.uint8))
    given = pixel_probabilities(network, canvases.images)
    blind = ((given - empty).abs() < black.SAME).all(1)
    reach = network.geometry.size / 2 + network.geometry.stride  # interpolated cells included
    pixels = torch.arange(size) + 0.5
    left, top, right, bottom = (edge[:, None] for edge in canvases.boxes[:, 0].unbind(1))
    across = torch.maximum(left - pixels, pixels - right).clamp(min=0)
    down = torch.maximum(top - pixels, pixels - bottom).clamp(min=0)
    far = torch.maximum(across[:, None, :], down[:, :, None]) > reach + 2  # faint ink has no box
    assert far.any() and blind[far].all()
    inside = torch.maximum(across[:, None, :], down[:, :, None]) == 0
    assert not blind[inside].all()
    assert found["blind"] == pytest.approx(blind.float().mean().item(), abs=1e-6)
    weights = blind.flatten(1).sum(1).double()
    labels = torch.zeros(10, dtype=torch.double)
    labels.index_add_(0, canvases.labels[:, 0], weights)
    assert found["labels"] == pytest.approx((labels / labels.sum()).tolist(), abs=1e-6)
    mean = given.permute(0, 2, 3, 1)[blind].mean(0)
    assert found["probability"] == pytest.approx(mean.tolist(), abs=black.SAME)


def test_without_a_blind_pixel_there_is_no_answer(without_background, detector, monkeypatch):
    monkeypatch.setattr(black, "SAME", 0.0)
    found = answers_on_black(without_background)
    assert found["blind"] == 0 and all(math.isnan(share) for share in found["labels"])
    with pytest.raises(ValueError, match="has a background class"):
        answers_on_black(detector)
