import numpy as np
import pytest
import torch

from labutils import data
from labutils.config.fcn import FCNConfig
from labutils.fcn.detection import Detections
from labutils.fcn.networks import build_detector
from labutils.report.explorers.detector import DetectorExplorer


@pytest.fixture
def explorer(shown):
    network = build_detector(FCNConfig(width=4)).eval()
    test = data.load("digits").test
    pictures = [test.images[test.labels == label][0, 0].numpy() for label in range(10)]
    explorer = DetectorExplorer(network, np.stack(pictures), threshold=0.45)
    shown.clear()
    return explorer


def middle_of(canvas):
    """Centre of the ink, x and y, in pixels from the edge."""
    rows, columns = np.nonzero(canvas > 60)
    return columns.mean() + 0.5, rows.mean() + 0.5


def test_the_digit_is_where_the_sliders_say(explorer):
    digit = explorer.examples[explorer.digit.value]
    off = np.subtract(middle_of(digit), 14)  # of its ink, from the middle of its picture
    np.testing.assert_array_equal(explorer.canvas()[18:46, 18:46], digit)
    explorer.x.value, explorer.y.value = 40, 20
    np.testing.assert_array_equal(explorer.canvas()[6:34, 26:54], digit)
    explorer.scale.value = 1.5
    assert middle_of(explorer.canvas()) == pytest.approx((40, 20) + 1.5 * off, abs=0.3)
    ratio = (explorer.canvas() > 127).sum() / (digit > 127).sum()
    assert ratio == pytest.approx(1.5**2, rel=0.12)


def test_each_control_draws_once_and_changes_the_picture(explorer, shown):
    moves = {"digit": 7, "x": 50, "y": 22, "scale": 0.8, "size": "200 x 120"}
    pictures = set()
    for name, value in moves.items():
        shown.clear()
        getattr(explorer, name).value = value
        sentence, picture = shown
        assert "7" in sentence.data and picture.alt in sentence.data
        assert picture.data.startswith(b"\x89PNG") and picture.data not in pictures
        pictures.add(picture.data)
    assert explorer.canvas().shape == (120, 200)
    assert (explorer.x.max, explorer.y.max) == (200, 120)


def test_a_smaller_canvas_keeps_the_digit_on_it(explorer, shown):
    explorer.size.value = "200 x 120"
    explorer.x.value = 180
    shown.clear()
    explorer.size.value = "64 x 64"
    assert explorer.x.value == 64 and len(shown) == 2, "drawn once"


def test_the_sentence_says_what_is_found(explorer, shown, monkeypatch):
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0))
    two = Detections(
        torch.tensor([[0.0, 0, 9, 9], [20, 0, 30, 9], [40, 0, 50, 9]]),
        torch.tensor([3, 1, 7]),
        torch.tensor([0.9, 0.5, 0.4]),  # the last does not count
    )
    monkeypatch.setattr("labutils.report.explorers.detector.draw", lambda *args: b"")
    for found, words in (
        (nothing, "No digit is found; a 5 is there"),
        (two, "Found: a 3 with score 0.90, a 1 with score 0.50; the digit is a 5."),
    ):
        monkeypatch.setattr(
            "labutils.report.explorers.detector.find_digits", lambda _, found=found: found
        )
        explorer.digit.value = 4
        explorer.digit.value = 5
        assert words in shown[-2].data


def test_every_control_has_a_label_and_waits_for_the_slider(explorer):
    for control in explorer.controls:
        assert control.description
    for slider in (explorer.x, explorer.y, explorer.scale):
        assert not slider.continuous_update
