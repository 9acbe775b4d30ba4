import cv2
import numpy as np
import pytest
import torch

from labutils import data
from labutils.config.fcn import FCNConfig
from labutils.data.canvases import INK, place_digit
from labutils.fcn import pictures
from labutils.fcn.detection import Detections
from labutils.fcn.measures import matches
from labutils.fcn.networks import build_detector, load_detector
from labutils.fcn.pictures import annotate, as_json, read_digits


@pytest.fixture
def drawing():
    """A light bar on black, 40 x 60."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[10:30, 20:26] = 200
    return picture


@pytest.fixture
def network():
    return build_detector(FCNConfig(width=4)).eval()


def test_a_pyramid_looks_at_every_size_of_digit(network, monkeypatch):
    seen = []

    def fake(network, images, execution=None):
        seen.append(tuple(images.shape[2:]))
        height = 20.0
        return [
            Detections(
                torch.tensor([[1.0, 2, 13, 2 + height]]), torch.tensor([4]), torch.tensor([0.8])
            )
        ]

    monkeypatch.setattr(pictures, "detect", fake)
    found = read_digits(network, np.zeros((120, 200), np.uint8), threshold=0.5)
    heights = [size[0] / 120 for size in seen]
    # a digit of 8 pixels is enlarged to at least the smallest trained; 120 pixels fit into one
    assert max(heights) * 8 >= 0.7 * 20 and min(heights) * 200 <= 1.5 * 20
    ratios = [before / after for before, after in zip(heights, heights[1:], strict=False)]
    assert all(ratio < 1.5 / 0.7 for ratio in ratios), "no size falls between two"
    boxes = found.boxes
    assert (boxes[:, 3] - boxes[:, 1]).max() > 60 and (boxes[:, 3] - boxes[:, 1]).min() < 10


def test_a_large_picture_is_not_enlarged_beyond_the_limit(network, monkeypatch):
    seen = []

    def fake(network, images, execution=None):
        seen.append(images.shape[2] * images.shape[3])
        return [Detections(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0))]

    monkeypatch.setattr(pictures, "detect", fake)
    monkeypatch.setattr(pictures, "MAX_PIXELS", 10_000)
    read_digits(network, np.zeros((90, 100), np.uint8), threshold=0.5)
    assert 9_000 < max(seen) <= 10_100


def test_a_part_of_a_digit_is_not_a_digit_of_its_own(network, monkeypatch):
    def fake(network, images, execution=None):
        boxes = torch.tensor([[10.0, 5, 30, 29], [12, 6, 26, 22], [40, 5, 56, 29]])
        return [Detections(boxes, torch.tensor([8, 0, 1]), torch.tensor([0.9, 0.8, 0.7]))]

    monkeypatch.setattr(pictures, "detect", fake)
    monkeypatch.setattr(pictures, "_factors", lambda *_: [1.0])
    found = read_digits(network, np.zeros((60, 60), np.uint8), threshold=0.5)
    assert found.text == "81"


def test_what_is_seen_at_a_size_that_was_not_trained_does_not_count(network, monkeypatch):
    def fake(network, images, execution=None):
        boxes = torch.tensor([[0.0, 0, 9, 8], [0, 0, 60, 70], [0, 0, 12, 20]])
        return [Detections(boxes, torch.tensor([1, 2, 3]), torch.tensor([0.99, 0.99, 0.4]))]

    monkeypatch.setattr(pictures, "detect", fake)
    picture = np.zeros((60, 60), np.uint8)
    assert set(read_digits(network, picture, threshold=0.3).labels.tolist()) == {3}
    assert len(read_digits(network, picture, threshold=0.5)) == 0


def test_an_annotated_picture_is_in_colour_and_readable(drawing):
    found = Detections.of([[20, 10, 26, 30]], [1], [0.876])
    drawn = annotate(drawing, found)
    assert drawn.shape == (40 * 7, 60 * 7, 3), "small pictures are enlarged"
    assert (drawn[10 * 7, 20 * 7 : 26 * 7] == pictures.COLOR).all()
    large = annotate(np.zeros((500, 800, 3), np.uint8), found)
    assert large.shape == (500, 800, 3)
    assert as_json(found) == [{"digit": 1, "score": 0.876, "box": [20.0, 10.0, 26.0, 30.0]}]


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((500, 500), (490, 100, 500, 130)),
        ((500, 500), (100, 490, 110, 500)),
        ((500, 500), (0, 0, 500, 500)),
        ((20, 500), (470, 0, 490, 20)),
        ((500, 20), (0, 200, 20, 230)),
    ],
)
def test_what_is_written_beside_a_box_lies_within_the_picture(size, box, monkeypatch):
    found, shown = Detections.of([box], [8], [0.5]), []
    written = cv2.putText

    def spy(image, text, place, *font):
        (width, height), below = cv2.getTextSize(text, *font[:2], 1)
        left, bottom = place
        shown.append(text)
        assert left >= 0 and bottom - height >= 0, "above and at the left"
        assert left + width <= size[1] and bottom <= size[0], "below and at the right"
        return written(image, text, place, *font)

    monkeypatch.setattr(cv2, "putText", spy)
    annotate(np.zeros((*size, 3), np.uint8), found)
    assert shown == ["8" if size[1] < 50 else "8 0.50"]


def test_an_image_smaller_than_any_digit_is_looked_at_too(network, monkeypatch):
    seen = []
    monkeypatch.setattr(
        pictures,
        "detect",
        lambda network, images: [seen.append(images) or Detections.of([], [], [])],
    )
    for shape in ((1, 1), (3, 200), (9, 7)):
        seen.clear()
        assert len(read_digits(network, np.zeros(shape, np.uint8), threshold=0.5)) == 0
        assert seen and all(min(images.shape[2:]) >= 1 for images in seen)


def test_a_detector_reads_a_digit_where_it_is(detector):
    """Of twelve digits of another size than it was trained on, most are read in the right box."""
    network, test, read = load_detector(detector), data.load("digits").test, 0
    for image, label in zip(test.images[:12, 0].numpy(), test.labels[:12].tolist(), strict=True):
        page = place_digit(image, (100, 140), (80, 50), 2.0)
        rows, columns = (page >= INK).nonzero()
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        truth = Detections.of([[float(edge) for edge in box]], [label], [1.0])
        found = read_digits(network, page, threshold=0.5, scales=detector.config.scale)
        read += bool(matches(found, truth).any())
    assert read >= 8
