import numpy as np
from drawings import lines

from labutils.fcn.detection import Detections
from labutils.report.opening import opening


def test_it_shows_depth_a_map_and_a_detection(grid):
    image = np.zeros((20, 30, 3), dtype=np.uint8)
    pixel_map = np.zeros((20, 30), dtype=np.float32)
    pixel_map[5, 5] = 1
    canvas = np.zeros((40, 40), dtype=np.uint8)
    found = Detections.of([[5, 20, 15, 32], [34, 2, 39, 12]], [3, 7], [0.9, 0.8])
    fig = opening({"MLP": grid, "again": grid}, image, pixel_map, "cat", (canvas, found, None))
    first, second, *pictures = fig.axes
    assert (first.get_title(), second.get_title()) == ("MLP", "again")
    assert first.get_ylim() == second.get_ylim() == (0, 1)
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["plain", "residual"]
    assert len(lines(first)) and not second.get_ylabel()
    assert [ax.get_title() for ax in pictures][1] == "what speaks for “cat”"
    photograph, drawn, both, digits = (ax.images[0].get_array() for ax in pictures)
    assert photograph.shape == both.shape and drawn.argmax() == pixel_map.argmax()
    low, high = pictures[3].texts
    assert (low.get_text(), low.get_va(), low.get_ha()) == ("3 0.90", "bottom", "left")
    # at the upper right corner a label stays on the canvas
    assert (high.get_text(), high.get_va(), high.get_ha()) == ("7 0.80", "top", "right")
    assert digits.shape == (40, 40)
