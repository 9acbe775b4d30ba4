import pytest
import torch

from labutils import data
from labutils.data.canvases import BACKGROUND, INK, NO_DIGIT, concatenate, draw_canvases
from labutils.data.clutter import CLUTTER, draw_clutter
from labutils.data.sets import Split


@pytest.fixture(scope="module")
def digits():
    return data.load("digits").train


@pytest.fixture(scope="module")
def squares():
    """Ten digits that are white squares of 10x10 pixels, off the middle of 28x28."""
    images = torch.zeros(10, 1, 28, 28, dtype=torch.uint8)
    images[:, :, 6:16, 12:22] = 255
    return Split(images, torch.arange(10))


def test_a_digit_of_scale_one_is_pasted_whole(squares):
    canvases = draw_canvases(squares, 200, seed=0)
    assert canvases.images.shape == (200, 1, 64, 64) and canvases.boxes.shape == (200, 1, 4)
    widths = canvases.boxes[:, 0, 2:] - canvases.boxes[:, 0, :2]
    assert ((widths >= 10) & (widths <= 11)).all()  # between pixels an edge is seen twice
    totals = canvases.images.flatten(1).float().sum(1)
    torch.testing.assert_close(totals, torch.full((200,), 100 * 255.0), rtol=0.02, atol=0)
    lefts = canvases.boxes[:, 0, 0]
    assert lefts.min() < 4 and lefts.max() > 48, "everywhere"


def test_boxes_and_classes_are_those_of_the_pixels(digits):
    canvases = draw_canvases(digits, 60, size=(70, 90), scale=(0.7, 1.5), seed=1)
    for image, classes, box, label in zip(
        canvases.images[:, 0], canvases.classes, canvases.boxes[:, 0], canvases.labels[:, 0],
        strict=True,
    ):  # fmt: skip
        ink = image >= INK
        rows, columns = ink.any(1).nonzero().flatten(), ink.any(0).nonzero().flatten()
        assert box.tolist() == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        assert (classes[ink] == label).all() and (classes[~ink] == BACKGROUND).all()


def boxes_of(canvases, index):
    there = canvases.labels[index] != NO_DIGIT
    return canvases.boxes[index][there]


def test_separate_digits_do_not_meet_and_read_from_left_to_right(digits):
    canvases = draw_canvases(digits, 100, size=(96, 128), number=(0, 4), scale=(0.7, 1.2), seed=2)
    numbers = (canvases.labels != NO_DIGIT).sum(1)
    assert set(numbers.tolist()) == {0, 1, 2, 3, 4}
    for index in range(100):
        boxes = boxes_of(canvases, index)
        assert (boxes[1:, 0] >= boxes[:-1, 0]).all()
        assert (
            (boxes[:, :2] >= 0).all() and (boxes[:, 2] <= 128).all() and (boxes[:, 3] <= 96).all()
        )
        for one in range(len(boxes)):
            for other in range(one):
                a, b = boxes[one], boxes[other]
                assert (a[0] >= b[2]) | (b[0] >= a[2]) | (a[1] >= b[3]) | (b[1] >= a[3])
        none = canvases.labels[index] == NO_DIGIT
        assert not canvases.boxes[index][none].any()
    empty = numbers == 0
    assert not canvases.images[empty].any() and (canvases.classes[empty] == BACKGROUND).all()


def test_touching_digits_touch(digits):
    canvases = draw_canvases(digits, 100, size=(64, 128), number=(2, 3), layout="touching", seed=3)
    gaps = []
    for index in range(100):
        boxes = boxes_of(canvases, index)
        gaps += (boxes[1:, 0] - boxes[:-1, 2]).tolist()
    assert len(gaps) > 100
    assert -4 <= min(gaps) and max(gaps) <= 1


def test_a_grid_is_full(digits):
    canvases = draw_canvases(digits, 5, size=(56, 112), layout="grid", seed=4)
    assert canvases.labels.shape == (5, 8) and (canvases.labels != NO_DIGIT).all()
    centers = (canvases.boxes[..., :2] + canvases.boxes[..., 2:]) / 2
    cells = (centers / 28).floor()
    assert all(len({tuple(cell) for cell in canvas.tolist()}) == 8 for canvas in cells)


def test_the_seed_decides_and_the_labels_are_those_of_the_split(digits):
    first, again, other = (draw_canvases(digits, 50, number=(1, 2), seed=s) for s in (5, 5, 6))
    assert torch.equal(first.images, again.images) and torch.equal(first.labels, again.labels)
    assert not torch.equal(first.images, other.images)
    only_sevens = digits.take((digits.labels == 7).nonzero().flatten())
    assert set(draw_canvases(only_sevens, 20, seed=0).labels.flatten().tolist()) == {7}


def test_clutter_leaves_the_digits_as_they_are(digits):
    plain = draw_canvases(digits, 90, seed=7)
    cluttered = draw_canvases(digits, 90, clutter=0.5, seed=7)
    changed = (plain.images != cluttered.images).flatten(1).any(1)
    assert 40 <= changed.sum() <= 45
    assert torch.equal(plain.classes, cluttered.classes) and torch.equal(
        plain.boxes, cluttered.boxes
    )
    digit = plain.classes[:, None] != BACKGROUND
    assert torch.equal(plain.images[digit], cluttered.images[digit])


def test_digits_that_do_not_fit_are_refused(digits):
    with pytest.raises(ValueError, match="scale 3 takes 84 pixels: draw on canvases of at least"):
        draw_canvases(digits, 1, scale=(1.0, 3.0), seed=0)


@pytest.mark.parametrize("kind", CLUTTER)
def test_clutter_of_each_kind(kind):
    drawn = draw_clutter(kind, 40, (64, 80), seed=0)
    assert drawn.shape == (40, 1, 64, 80) and drawn.dtype == torch.uint8
    assert torch.equal(drawn, draw_clutter(kind, 40, (64, 80), seed=0))
    light = (drawn >= INK).flatten(1).any(1)
    assert light.any() if kind != "blank" else not drawn.any()
    if kind != "blank":
        assert not torch.equal(drawn, draw_clutter(kind, 40, (64, 80), seed=1))
        assert len({image.numpy().tobytes() for image in drawn}) == 40


def test_pieces_of_letters_are_small_and_never_empty():
    drawn = draw_clutter("letters", 60, (64, 64), seed=3)
    assert (drawn > 0).flatten(1).any(1).all()
    assert draw_clutter("letters", 3, (8, 8), seed=0).shape == (3, 1, 8, 8)


def test_unknown_clutter_names_the_choices():
    with pytest.raises(ValueError, match="choose one of blank, noise, strokes, letters"):
        draw_clutter("faces", 1, (8, 8), seed=0)


def test_turned_digits_are_turned_each_by_its_own_angle(digits):
    upright = torch.zeros(4, 1, 28, 28, dtype=torch.uint8)
    upright[:, :, 6:22, 13:15] = 255
    bars = Split(upright, torch.ones(4, dtype=torch.int64))
    drawn = draw_canvases(bars, 200, size=(40, 40), rotation=30, seed=0)
    width, height = (drawn.boxes[:, 0, 2:] - drawn.boxes[:, 0, :2]).unbind(1)
    # a bar of 16 x 2 pixels, at most a twelfth of a full turn from upright
    assert width.min() <= 3 and 8 <= width.max() <= 11 and height.min() >= 13
    assert len(set(width.tolist())) > 5
    straight = draw_canvases(bars, 200, size=(40, 40), seed=0)
    assert set((straight.boxes[:, 0, 2] - straight.boxes[:, 0, 0]).tolist()) == {2, 3}


def test_parts_are_the_canvases_in_order(digits):
    canvases = draw_canvases(digits, 7, size=(40, 40), number=(0, 2), seed=0)
    parts = list(canvases.parts(3))
    assert [len(part) for part in parts] == [3, 3, 1]
    whole = concatenate(parts)
    for name in ("images", "classes", "boxes", "labels"):
        assert torch.equal(getattr(whole, name), getattr(canvases, name))
