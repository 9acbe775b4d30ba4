import matplotlib.pyplot as plt
import numpy as np

from labutils.fcn.detection import Detections
from labutils.report import panels


def test_labels_of_neighbours_do_not_lie_on_one_another():
    """From left to right one above its box, the next below."""
    found = Detections.of([[14, 10, 22, 22], [5, 10, 13, 22], [23, 10, 31, 22]], [3, 7, 1], [1] * 3)
    _, ax = plt.subplots()
    panels.draw_canvas(ax, np.zeros((40, 40), dtype=np.uint8), found, None)
    labels = [(text.get_text(), text.get_va()) for text in ax.texts]
    assert labels == [("7 1.00", "bottom"), ("3 1.00", "top"), ("1 1.00", "bottom")]


def test_digits_can_be_told_from_black_and_read_on_their_colours():
    linear = np.where(
        panels.DIGIT_COLORS <= 0.04045,
        panels.DIGIT_COLORS / 12.92,
        ((panels.DIGIT_COLORS + 0.055) / 1.055) ** 2.4,
    )
    luminance = linear @ (0.2126, 0.7152, 0.0722)  # contrasts after WCAG 2.2
    assert ((luminance + 0.05) / 0.05 > 4).all(), "on the canvas, and of the black label"
