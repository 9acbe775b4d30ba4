"""Ink on paper: whatever lies beside it, it is seen, light on black."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from labutils.data.ink import ink, light_on_black, on_black

WINDOW = 17
PAPER, PENCIL = (235, 230, 220), (170, 165, 160)
budget = settings(deadline=None, max_examples=150, derandomize=True)
pictures = array_shapes(min_dims=2, max_dims=2, max_side=70).flatmap(
    lambda shape: arrays(np.uint8, (*shape, 3), elements=st.integers(0, 255))
)


def page(paper=PAPER, pen=PENCIL):
    """A ring and a bar, of strokes of four pixels, on 80 x 120."""
    drawn = np.full((80, 120, 3), paper, np.uint8)
    cv2.circle(drawn, (40, 40), 14, pen, 4)
    cv2.line(drawn, (80, 26), (80, 54), pen, 4)
    return drawn


STROKES = page((0, 0, 0), (255, 255, 255))[..., 0] > 0
FAR = cv2.dilate(STROKES.astype(np.uint8), np.ones((7, 7))) == 0


def assert_ink_is_seen(picture, place=(0, 0), far=FAR):
    """All of the strokes and nothing far from them, within an 80 x 120 part of a picture."""
    top, left = place
    seen = on_black(ink(picture), WINDOW)[top : top + 80, left : left + 120]
    assert seen[STROKES].mean() > 200, "strokes are light"
    assert seen[far].mean() < 3 and (seen[far] > 64).mean() < 0.005, "all else is black"


def test_pencil_and_chalk_are_light_on_black():
    for paper, pen in ((PAPER, PENCIL), ((40, 60, 50), (230, 230, 220)), ((0, 0, 0), (90, 80, 90))):
        assert_ink_is_seen(page(paper, pen))


@pytest.mark.parametrize("color", [0, 255])
def test_one_pixel_hides_no_pencil(color):
    picture = page()
    picture[5, 5] = color
    assert_ink_is_seen(picture)


def test_a_scan_edge_hides_no_pencil():
    picture = page()
    picture[:, :9] = picture[:6] = 0
    beside = FAR.copy()
    beside[:, :14] = beside[:12] = False  # where edges meet
    assert_ink_is_seen(picture, far=beside)


@pytest.mark.parametrize("table", [20, 110, 255])
def test_a_slip_of_paper_on_a_table_is_read(table):
    picture = np.full((200, 300, 3), table, np.uint8)
    picture[60:140, 90:210] = page((200, 195, 180), (60, 60, 90))
    assert_ink_is_seen(picture, (60, 90))


@pytest.mark.parametrize("steep", [1, 10])
def test_a_shadow_is_no_ink(steep):
    """A gradual one, and one with an edge."""
    along = 1 / (1 + np.exp((60 - np.arange(120)) / 20 * steep))
    assert_ink_is_seen((page() * (1 - 0.6 * along[:, None])).astype(np.uint8))


@pytest.mark.parametrize("swapped", [False, True])
def test_colours_of_one_lightness_are_told_apart(swapped):
    colors = (0, 188, 230), (240, 106, 20)
    picture = page(*(colors[::-1] if swapped else colors))
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    assert np.ptp(grey.astype(int)) < 4, "grey shows nothing"
    assert_ink_is_seen(picture)


def test_noise_of_the_paper_is_black():
    noise = np.random.default_rng(0).normal(0, 6, (80, 120, 1))
    assert_ink_is_seen((page() + noise).clip(0, 255).astype(np.uint8))


def test_a_negative_is_seen_as_its_picture():
    grey = page((230, 230, 230), (90, 90, 90))
    assert np.array_equal(on_black(ink(grey), WINDOW), on_black(ink(255 - grey), WINDOW))


def test_ink_of_every_width_is_told_from_its_ground():
    for scale in (0.6, 1, 3, 8):
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        picture = cv2.resize(page(), None, fx=scale, fy=scale, interpolation=way)
        values = ink(picture)
        assert values.max() - np.median(values) > np.median(values) - values.min(), scale


@budget
@given(picture=pictures, window=st.integers(0, 80))
def test_of_any_picture_there_is_a_view(picture, window):
    for seen in (on_black(ink(picture), window), light_on_black(picture)):
        assert seen.dtype == np.uint8 and seen.shape == picture.shape[:2]
