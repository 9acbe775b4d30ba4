import cv2
import numpy as np
import pytest

from labutils.cam.overlay import captioned, colours, overlay, triptych

IMAGE = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
RAMP = np.tile(np.linspace(0, 3, 48, dtype=np.float32), (32, 1))


def test_zero_is_transparent_and_the_peak_has_the_opacity():
    drawn = overlay(IMAGE, RAMP, opacity=1)
    assert np.array_equal(drawn[:, 0], IMAGE[:, 0])
    assert np.array_equal(drawn[:, -1], colours(RAMP)[:, -1])
    assert np.array_equal(overlay(IMAGE, RAMP, opacity=0), IMAGE)
    half = overlay(IMAGE, RAMP, opacity=0.5)[:, -1].astype(float)
    assert np.abs(half - (IMAGE[:, -1] / 2 + colours(RAMP)[:, -1] / 2)).max() <= 0.5


def test_a_map_without_positive_values_leaves_the_image():
    for pixel_map in (np.zeros_like(RAMP), -RAMP):
        assert np.array_equal(overlay(IMAGE, pixel_map), IMAGE)


def test_colours_become_lighter_in_even_steps():
    row = colours(np.linspace(0, 1, 256, dtype=np.float32)[None])
    lightness = cv2.cvtColor(np.float32(row) / 255, cv2.COLOR_RGB2LAB)[0, :, 0]
    steps = np.diff(lightness[::16])
    assert (steps > 0).all() and steps.max() < 2 * steps.min()


def test_one_peak_makes_maps_comparable():
    assert np.array_equal(colours(RAMP, peak=3), colours(RAMP))
    weak = overlay(IMAGE, RAMP / 10, peak=3).astype(int)
    assert np.abs(weak - IMAGE).max() < np.abs(overlay(IMAGE, RAMP / 10).astype(int) - IMAGE).max()


def test_the_triptych_shows_original_map_overlay_and_scale():
    drawn = triptych(IMAGE, RAMP)
    gap = (drawn[0] == 255).all(1).nonzero()[0]
    parts = np.split(drawn, sorted({*gap, *(gap + 1)}), axis=1)
    original, pixels, laid, scale = parts[::2]
    assert np.array_equal(original, IMAGE)
    assert np.array_equal(pixels, colours(RAMP))
    assert np.array_equal(laid, overlay(IMAGE, RAMP))
    assert np.array_equal(scale[0, 0], pixels[0, -1])  # the peak
    assert np.array_equal(scale[-1, 0], pixels[0, 0])  # zero


def test_an_opacity_in_percent_is_refused():
    with pytest.raises(ValueError, match="from 0 to 1"):
        overlay(IMAGE, RAMP, opacity=70)


@pytest.mark.parametrize("height", [1, 20, 32, 300])
def test_a_caption_leaves_the_drawing_and_has_room_for_its_text(height):
    drawing = np.full((height, 90, 3), 120, np.uint8)
    page = captioned(drawing, 0.12345, ["a line that is longer than the drawing", "another"])
    assert np.array_equal(page[:height, :90], drawing)
    ink = (page < 100).all(2)
    ink[:height, :90] = False
    assert ink[:, 90:][: max(height, 36)].any(), "the numbers of the scale"
    assert ink[max(height, 36) :].any(), "the lines"
    border = np.ones_like(ink)
    border[:, :-2] = False
    assert not (ink & border).any(), "nothing is cut off"
