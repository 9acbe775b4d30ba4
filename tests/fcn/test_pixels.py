import pytest
import torch
from fakes import canvases_of

from labutils.data.canvases import BACKGROUND
from labutils.fcn.pixels import (
    accuracy_by_distance,
    background_accuracy,
    mean_iou,
    pixel_accuracy,
    pixel_confusion,
    pointing,
)

SIZE = 40
ONE = canvases_of([(3, 0, 0, 10, 10)], [(3, 20, 20, 30, 30)])


def test_pointing_asks_for_place_and_digit():
    canvases = canvases_of(*[[(4, 10, 10, 20, 20)]] * 4)
    probability = torch.zeros(4, 11, SIZE, SIZE)
    probability[:, BACKGROUND] = 1.0  # however sure it is of background
    for index, (label, row, column) in enumerate(
        [(4, 10, 19), (4, 20, 15), (5, 15, 15), (4, 19, 10)]
    ):
        probability[index, label, row, column] = 0.3
    # the second lies below the box, the third names another digit
    assert pointing(probability, canvases) == (0.5, 0.75)


def test_background_accuracy_is_the_share_of_black():
    assert background_accuracy(ONE) == pytest.approx(1 - 100 / SIZE**2)
    assert background_accuracy(canvases_of([], [])) == 1


def test_pixel_scores_of_maps_with_and_without_background():
    everywhere_3 = torch.zeros(2, 10, SIZE, SIZE)
    everywhere_3[:, 3] = 1
    confusion = pixel_confusion(everywhere_3, ONE.classes.long())
    assert pixel_accuracy(confusion) == pytest.approx(100 / SIZE**2)
    assert mean_iou(confusion) == pytest.approx((100 / SIZE**2 + 0) / 2), (
        "the digit, and the background"
    )
    right = torch.zeros(2, 11, SIZE, SIZE).scatter_(1, ONE.classes[:, None].long(), 1.0)
    confusion = pixel_confusion(right, ONE.classes.long())
    assert confusion.sum() == 2 * SIZE**2
    assert (pixel_accuracy(confusion), mean_iou(confusion)) == (1, 1)


def test_accuracy_by_distance_counts_from_the_middle_of_the_digit():
    probability = torch.zeros(2, 11, SIZE, SIZE)
    probability[:, BACKGROUND] = 0.5
    probability[0, 3, 0:10, 0:10] = 1  # the first canvas's digit, and nothing on the second
    distances, shares = accuracy_by_distance(probability, ONE)
    assert distances == [1, 3, 5, 7], "no pixel of a digit is farther away"
    assert shares == [0.5] * 4
    few, _ = accuracy_by_distance(probability, ONE, fewest=20)
    own = int((ONE.classes == ONE.labels[:, :1, None]).sum())
    assert few and len(few) < 4 < own, "the nearest and the farthest pixels are few"
    probability[:, 3] = 1  # beside the digit, too: that makes no difference
    assert accuracy_by_distance(probability, ONE) == ([1, 3, 5, 7], [1.0] * 4)
