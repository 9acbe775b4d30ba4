import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from labutils import data
from labutils.config.fcn import FCNConfig
from labutils.data.canvases import INK, place_digit
from labutils.fcn import pictures
from labutils.fcn.boxes import matches
from labutils.fcn.detection import Detections
from labutils.fcn.networks import build_detector, load_detector
from labutils.fcn.pictures import annotate, as_json, read_digits, read_page


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


def boxes_of(*rows):
    boxes, labels, scores = zip(*rows, strict=True)
    return Detections.of(boxes, labels, scores)


WHOLE = ((10, 5, 30, 29), 7, 0.8)


@pytest.mark.parametrize(
    ("others", "text"),
    [
        ([((12, 6, 26, 22), 1, 0.99)], "7"),  # a part, of a higher score
        ([((8, 4, 24, 22), 1, 0.99)], "7"),  # mostly inside
        ([((28, 5, 40, 29), 1, 0.99)], "71"),  # beside it
        ([((0, 0, 42, 36), 0, 0.99)], "7"),  # a ring around it
        ([((4, 0, 31, 30), 0, 0.99)], "0"),  # not around it: the loop of a 0
        ([((0, 0, 42, 36), 8, 0.99)], "8"),  # around it, and no ring
        ([((0, 0, 100, 100), 0, 0.99)], "0"),  # not in the middle
        ([((0, 0, 42, 36), 0, 0.99), ((12, 6, 26, 22), 1, 0.99)], "7"),
        ([((10, 4, 31, 29), 1, 0.9)], "71"),  # rivals: their scores decide, later
    ],
)
def test_of_boxes_one_inside_another_the_outer_one_counts_but_no_frame(others, text):
    for rows in ([WHOLE, *others], [*others, WHOLE]):
        assert sorted(pictures.whole_digits(boxes_of(*rows)).text) == sorted(text)
    assert len(pictures.whole_digits(Detections.of([], [], []))) == 0


def test_a_network_looks_at_ink_alone_and_boxes_lie_where_it_is(network, monkeypatch):
    seen = []

    def fake(network, images, execution=None):
        seen.append(images[0, 0])
        rows, columns = (images[0, 0] > 128).nonzero().T.float()
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        return [Detections.of([box], [1], [0.9])]

    monkeypatch.setattr(pictures, "detect", fake)
    monkeypatch.setattr(pictures, "_factors", lambda *_: [1.0])
    page = np.full((600, 900, 3), 250, np.uint8)
    page[200:550, 30:34] = page[546:550, 30:600] = 30  # an angle around the last spot
    spots = [(40, 30), (100, 500), (400, 880), (350, 300)]
    for top, left in spots:
        page[top : top + 20, left : left + 4] = 30
    found = read_page(network, page, threshold=0.5)
    expected = [
        [left, top, left + 4, top + 20] for top, left in sorted(spots, key=lambda at: at[1])
    ]
    assert found.boxes.tolist() == expected
    assert sum(part.numel() < page[..., 0].size / 50 for part in seen) == len(spots)
    assert sum((part > 128).sum() for part in seen) == (page[..., 0] == 30).sum(), "each pixel once"
    seen.clear()
    assert len(read_page(network, np.full_like(page, 250), threshold=0.5)) == 0 and not seen


def test_boxes_that_no_digit_has_are_left_out(network, monkeypatch):
    wide, thin, one = (0, 0, 40, 20), (50, 0, 52, 24), (60, 0, 64, 24)

    def fake(network, images, execution=None):
        return [boxes_of((wide, 2, 0.9), (thin, 1, 0.9), (one, 1, 0.8))]

    monkeypatch.setattr(pictures, "detect", fake)
    monkeypatch.setattr(pictures, "_factors", lambda *_: [1.0])
    page = np.zeros((60, 90, 3), np.uint8)
    page[20:40, 30:34] = 255
    found = read_page(network, page, threshold=0.5)
    assert (found.text, found.scores.tolist()) == ("1", [pytest.approx(0.8)])


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    picture=array_shapes(min_dims=2, max_dims=2, max_side=60).flatmap(
        lambda shape: arrays(np.uint8, (*shape, 3), elements=st.integers(0, 255))
    )
)
def test_in_any_picture_digits_lie_within_it(picture):
    network = build_detector(FCNConfig(width=4)).eval()
    found = read_page(network, picture, threshold=0.05)
    height, width = picture.shape[:2]
    for (left, top, right, bottom), label, score in found:
        assert 0 <= left < right <= width + 0.01 and 0 <= top < bottom <= height + 0.01
        assert 0 <= label <= 9 and 0.05 <= score <= 1
    assert annotate(picture, found).ndim == 3 and len(as_json(found)) == len(found)


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


def test_a_page_is_read_whatever_it_is_written_with(detector):
    """The same digits: pencil, a black pixel beside it, chalk, a slip of paper on a table."""
    test = data.load("digits").test
    written = np.zeros((60, 40 + 8 * 40), np.uint8)
    for place, image in enumerate(test.images[:8, 0].numpy()):
        written[15:43, 20 + 40 * place :][:, :28] = image
    alpha = written[..., None] / 255
    chalk = (40 + 180 * alpha * np.ones(3)).astype(np.uint8)
    pencil = (235 - 60 * alpha * np.ones(3)).astype(np.uint8)
    spoilt = pencil.copy()
    spoilt[2, 2] = 0
    table = np.full((160, 560, 3), 50, np.uint8)
    table[40:100, 90 : 90 + written.shape[1]] = pencil
    network = load_detector(detector)
    texts = [
        read_page(network, page, threshold=0.5, scales=detector.config.scale).text
        for page in (chalk, pencil, spoilt, table)
    ]
    truth = "".join(map(str, test.labels[:8].tolist()))
    read = [sum(a == b for a, b in zip(text, truth, strict=False)) for text in texts]
    assert min(read) >= 6, texts


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
