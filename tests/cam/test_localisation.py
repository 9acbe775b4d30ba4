import numpy as np
import pytest
import torch

from labutils.cam.localisation import (
    best_threshold,
    energy_at_border,
    energy_inside,
    entropy,
    iou,
    pointing,
    warmest_box,
)

MASK = torch.zeros(1, 8, 8, dtype=torch.bool)
MASK[0, 2:4, 2:6] = True


def map_of(*cells, size=8):
    found = torch.zeros(1, size, size)
    for row, column, value in cells:
        found[0, row, column] = value
    return found


@pytest.mark.parametrize(
    "pixel_map, hit",
    [
        (map_of((2, 5, 1.0), (7, 7, 0.9)), 1),
        (map_of((2, 6, 1.0), (2, 5, 0.9)), 0),
        (map_of((2, 5, 1.0), (7, 7, 1.0)), 0.5),  # a choice between two
        (map_of(), 0),  # all zero: a miss, though every pixel of the mask is at the maximum
        (-1 - map_of((2, 5, -0.5)), 0),
        (torch.ones(1, 8, 8), 8 / 64),
    ],
)
def test_pointing(pixel_map, hit):
    assert pointing(pixel_map, MASK).tolist() == [hit]


def test_energy_inside_counts_positive_values_alone():
    pixel_map = map_of((2, 2, 1.0), (3, 5, 2.0), (0, 0, 1.0), (7, 7, -100.0))
    assert energy_inside(pixel_map, MASK).item() == pytest.approx(0.75)
    assert energy_inside(map_of(), MASK).item() == 0
    assert energy_inside(-torch.ones(1, 8, 8), MASK).item() == 0


def test_iou_at_a_share_of_the_maximum():
    pixel_map = map_of((2, 2, 4.0), (2, 3, 3.0), (0, 0, 2.0), (0, 1, 0.5))
    assert iou(pixel_map, MASK, 0.6).item() == pytest.approx(2 / 8)
    assert iou(pixel_map, MASK, 0.3).item() == pytest.approx(2 / 9)
    assert iou(100 * pixel_map, MASK, 0.3).item() == pytest.approx(2 / 9)
    assert iou(MASK.float(), MASK, 0.5).item() == 1
    assert iou(map_of(), MASK, 0.0).item() == 0


def test_the_best_threshold_is_that_of_the_mean():
    pixel_map = torch.full((2, 8, 8), 0.42)
    pixel_map[MASK.expand(2, 8, 8)] = 0.68
    pixel_map[:, 2, 2] = 1
    masks = MASK.expand(2, 8, 8)
    best = best_threshold(pixel_map, masks)
    assert 0.42 <= best < 0.68 and iou(pixel_map, masks, best).mean() == 1


def test_energy_at_the_border():
    ring = torch.ones(1, 8, 8)
    ring[:, 1:-1, 1:-1] = 0
    assert energy_at_border(ring).item() == pytest.approx(1)
    assert energy_at_border(1 - ring).item() == 0
    assert energy_at_border(torch.ones(1, 8, 8)).item() == pytest.approx(28 / 64)
    assert energy_at_border(torch.ones(1, 32, 16)).item() == pytest.approx(1 - 24 * 12 / 512)


def test_entropy_from_one_cell_to_all():
    assert entropy(map_of((4, 4, 7.0))).item() == 0
    assert entropy(torch.ones(1, 8, 8)).item() == pytest.approx(1)
    assert entropy(map_of((0, 0, 1.0), (1, 1, 1.0))).item() == pytest.approx(1 / 6)
    assert entropy(map_of()).item() == 1


def test_the_warmest_box_is_around_the_maximum_in_one_piece():
    pixel_map = np.zeros((20, 30), np.float32)
    pixel_map[2:6, 10:17] = 0.8
    pixel_map[4, 12] = 1
    pixel_map[15:18, 2:9] = 0.9  # another piece
    pixel_map[6, 10:17] = 0.4  # below the threshold
    assert warmest_box(pixel_map) == (10, 2, 17, 6)
    assert warmest_box(pixel_map, threshold=0.3) == (10, 2, 17, 7)
    assert warmest_box(3 * pixel_map - 1) == (10, 2, 17, 6)
    for nothing in (np.zeros((4, 4), np.float32), np.full((4, 4), -1, np.float32)):
        assert warmest_box(nothing) is None
