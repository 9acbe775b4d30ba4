import pytest
import torch

from labutils.models.networks import build_model
from labutils.report.explorers.gradient import GradientExplorer
from labutils.training.statistics import STATISTICS, layer_statistics

generator = torch.Generator().manual_seed(0)
IMAGES = torch.randint(0, 256, (48, 1, 28, 28), generator=generator, dtype=torch.uint8)
LABELS = torch.arange(48) % 10


@pytest.fixture
def explorer(shown):
    explorer = GradientExplorer(IMAGES, LABELS)
    shown.clear()
    return explorer


def test_each_control_changes_the_network_and_the_picture(explorer, shown):
    moves = {
        "depth": 8, "width": 16, "residual": True, "norm": True, "init": "he", "model": "convnet"
    }  # fmt: skip
    pictures = set()
    for name, value in moves.items():
        before = explorer.config()
        getattr(explorer, name).value = value
        config = explorer.config()
        assert config != before
        sentence, picture = shown[-2:]
        assert picture.data.startswith(b"\x89PNG") and picture.data not in pictures
        pictures.add(picture.data)
        assert f"{'ConvNet' if name == 'model' else 'MLP'} {config.depth}" in sentence.data
    assert len(shown) == 2 * len(moves)
    assert (config.depth, config.width, config.residual) == (8, 16, True)
    assert (config.norm, config.init) == ("batch", "he")


def test_what_is_shown_is_what_layer_statistics_finds(explorer, shown, monkeypatch):
    drawn = {}

    def draw(figure, found, residual):
        drawn.update(found)
        return b""

    monkeypatch.setattr("labutils.report.explorers.gradient.draw", draw)
    explorer.depth.value = 10
    mean, std = IMAGES.float().mean() / 255, IMAGES.float().std() / 255
    model = build_model(explorer.config(), (1, 28, 28), 10, (mean[None], std[None]))
    expected = layer_statistics(model, IMAGES, LABELS).values
    assert set(drawn) == set(STATISTICS)
    for name, values in expected.items():
        assert drawn[name] == pytest.approx(values, rel=1e-3), name
    gradient = drawn["activation_gradient_norm"]
    assert f"{gradient[0] / gradient[-1]:.1e} times that at the logits" in shown[-2].data


def test_it_opens_with_what_is_stored(shown):
    stored = {name: [0.25] * GradientExplorer.OPENING.depth for name in STATISTICS}
    explorer = GradientExplorer(IMAGES, LABELS, opening=stored)
    assert explorer.config() == GradientExplorer.OPENING
    opened = shown[-2].data
    assert "is 1.0e+00 times that at the logits" in opened and "2.5e-01 across images" in opened
    explorer.depth.value += 2
    assert shown[-2].data != opened
    explorer.depth.value -= 2
    assert shown[-2].data == opened


def test_a_network_that_cannot_be_is_explained(explorer, shown):
    explorer.init.value = "zero-residual"
    assert "zero-residual needs residual" in shown[-1].data
    explorer.residual.value = True
    assert shown[-1].data.startswith(b"\x89PNG")


@pytest.mark.parametrize("model", ["mlp", "convnet"])
def test_extremes_are_drawn(explorer, shown, model):
    explorer.model.value = model
    for depth in (4, 40):
        explorer.depth.value = depth
        for width in (4, max(explorer.width.options)):
            explorer.width.value = width
            assert f"width {width}" in shown[-2].data
            assert shown[-1].data.startswith(b"\x89PNG")


def test_a_convnet_offers_the_widths_that_it_shows(explorer, shown):
    explorer.width.value = 128
    shown.clear()
    explorer.model.value = "convnet"
    assert len(shown) == 2  # drawn once
    assert explorer.width.value == explorer.config().width == 16
    assert "width 16, not trained, on 16 images" in shown[0].data
    explorer.model.value = "mlp"
    explorer.width.value = 128
    assert "width 128, not trained, on 48 images" in shown[-2].data


def test_labels_explain_themselves(explorer):
    assert explorer.depth.description == "Depth (weight layers)"
    assert "skip" in explorer.residual.description
    assert not explorer.depth.continuous_update and not explorer.width.continuous_update
