"""A classifier at every window of an image, beside the same network made convolutional."""

import pytest
import torch
from fakes import fake_outcome

from labutils import data
from labutils.config.fcn import FCNConfig
from labutils.data.canvases import draw_canvases
from labutils.fcn import windows as module
from labutils.fcn.conversion import convolutionalize
from labutils.fcn.examples import example_digits
from labutils.fcn.networks import classifier_config
from labutils.fcn.windows import (
    answers_of_cells,
    compare_with_windows,
    slide_classifier,
    window_agreement,
)
from labutils.models.networks import build_model
from labutils.runs.store import Store
from labutils.training.evaluation import predict


@pytest.fixture(scope="module")
def classifier():
    return build_model(
        classifier_config(FCNConfig(model="small-cnn", width=4)), (1, 28, 28), 10
    ).eval()


def test_windows_one_by_one_and_the_sliding_network_agree(classifier):
    images = torch.randint(0, 256, (2, 1, 44, 52), dtype=torch.uint8)
    windows = slide_classifier(classifier, images, side=28, stride=4)
    dense = convolutionalize(classifier, (1, 28, 28))(images).softmax(1)
    assert windows.shape == (2, 10, 5, 7)
    torch.testing.assert_close(windows, dense[:, :, :5, :7])
    crop = images[:, :, 8:36, 12:40]
    torch.testing.assert_close(windows[:, :, 2, 3], predict(classifier, crop))


def test_the_difference_is_the_largest_between_two_probabilities(classifier):
    images = torch.randint(0, 256, (2, 1, 44, 52), dtype=torch.uint8)
    network = convolutionalize(classifier, (1, 28, 28))
    found = compare_with_windows(classifier, network, images, 28)
    assert found["map"] == [5, 7] and found["difference"] < 1e-5
    with torch.no_grad():
        network.head[-1].bias[3] += 1
    changed = network(images).softmax(1)[:, :, :5, :7]
    windows = slide_classifier(classifier, images, side=28, stride=4)
    found = compare_with_windows(classifier, network, images, 28)["difference"]
    assert found == pytest.approx((changed - windows).abs().max().item()) and found > 0.05


def test_an_image_smaller_than_a_window_is_refused(classifier):
    with pytest.raises(ValueError, match="no window of 28"):
        slide_classifier(classifier, torch.zeros(1, 1, 20, 40), side=28, stride=4)


def test_a_cell_answers_for_the_box_that_it_sees(classifier):
    images = torch.randint(0, 256, (1, 1, 44, 52), dtype=torch.uint8)
    network = convolutionalize(classifier, (1, 28, 28)).eval()
    cells = [(2, 3), (0, 0)]
    found = answers_of_cells(network, images[0], cells)
    for (row, column), box, label, score in zip(
        cells, found.boxes, found.labels, found.scores, strict=True
    ):
        top, left = 4 * row, 4 * column
        probability = predict(classifier, images[:, :, top : top + 28, left : left + 28])[0]
        assert label == probability.argmax()
        torch.testing.assert_close(score, probability.max())
        # the receptive field is 26 pixels: of the window of 28 the last two are not seen
        assert box.tolist() == [left, top, left + 26, top + 26]


@pytest.fixture
def run(classifier, tmp_path):
    """The classifier, stored as if it had been trained on digits."""
    config = classifier_config(FCNConfig(model="small-cnn", width=4, data="digits"))
    outcome = fake_outcome(config)._replace(model=classifier)
    return Store(tmp_path / "runs", tmp_path / "scratch").save(config, outcome, keep="fp32")


def test_a_stored_classifier_is_compared_on_digits_and_on_canvases(run, monkeypatch):
    monkeypatch.setattr(module, "DIGITS", 20)
    monkeypatch.setattr(module, "CANVASES", 3)
    digits, canvases = window_agreement(run)
    assert (digits["image"], digits["map"]) == ([28, 28], [1, 1])
    assert (canvases["image"], canvases["map"]) == ([64, 64], [10, 10])
    for found in (digits, canvases):
        assert (found["receptive_field"], found["stride"]) == (26, 4)
        assert found["difference"] < 1e-5
    drawn = draw_canvases(data.load("digits").test, 3, seed=0).images
    network = convolutionalize(run.model(), (1, 28, 28))
    again = compare_with_windows(run.model(), network, drawn, 28)
    assert canvases == again
    monkeypatch.setattr(module, "convolutionalize", None)
    assert window_agreement(run) == [digits, canvases], "it is stored"


def test_examples_are_the_first_test_digit_of_each_class_and_need_the_set_once(run, monkeypatch):
    test = data.load("digits").test
    found = example_digits(run)
    for label, picture in enumerate(found):
        first = test.images[test.labels == label][0, 0]
        assert (picture == first.numpy()).all()
    assert len(found) == 10
    monkeypatch.setattr(data, "load", None)
    assert (example_digits(run) == found).all()
