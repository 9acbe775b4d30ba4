"""One digit, moved and scaled by sliders, and what a stored detector makes of it."""

import ipywidgets
import numpy as np
import torch
from jaxtyping import UInt8

from labutils.data.canvases import place_digit
from labutils.fcn.detection import find_digits, pixel_probabilities
from labutils.fcn.networks import DenseNetwork
from labutils.report.detector.figures import detector_view
from labutils.report.explorers.drawing import SLIDER, WIDE, Explorer, draw

SIZES = {"64 x 64": (64, 64), "96 x 96": (96, 96), "128 x 128": (128, 128), "200 x 120": (120, 200)}


class DetectorExplorer(Explorer):
    """Where a detector sees a digit: its place, scale, canvas and the digit itself are controls.

    Args:
        digits: one of each class, 0 to 255, as `fcn.examples.example_digits` returns them.
        threshold: of the score, from which on a detection counts; in [0, 1].
    """

    def __init__(
        self,
        network: DenseNetwork,
        digits: UInt8[np.ndarray, "digits rows columns"],
        threshold: float,
    ) -> None:
        self.network, self.threshold = network, threshold
        self.examples = dict(enumerate(digits))
        slider = SLIDER | {"layout": {"width": "24em"}}
        self.digit = ipywidgets.Dropdown(options=list(self.examples), description="Digit")
        self.size = ipywidgets.Dropdown(
            options=list(SIZES), description="Canvas (width x height)", style=WIDE
        )
        self.x = ipywidgets.IntSlider(value=32, max=64, description="x of its centre", **slider)
        self.y = ipywidgets.IntSlider(value=32, max=64, description="y of its centre", **slider)
        self.scale = ipywidgets.FloatSlider(
            value=1.0, min=0.3, max=3.0, step=0.1, description="Scale", **slider
        )
        self.controls = (self.digit, self.size, self.x, self.y, self.scale)
        super().__init__(self.size, self.controls[:2], self.controls[2:])

    def canvas(self) -> UInt8[np.ndarray, "height width"]:
        """The digit as the controls place it; what lies outside is cut off."""
        digit, place = self.examples[self.digit.value], (self.x.value, self.y.value)
        return place_digit(digit, SIZES[self.size.value], place, self.scale.value)

    def adapt(self) -> None:
        """The sliders reach over the new canvas; a value that is too large moves to the edge."""
        self.y.max, self.x.max = SIZES[self.size.value]

    def look(self) -> tuple[str, bytes]:
        """What is found on the canvas."""
        canvas, digit = self.canvas(), self.digit.value
        probability = pixel_probabilities(self.network, torch.from_numpy(canvas)[None, None])[0]
        found = find_digits(probability).above(self.threshold)
        names = ", ".join(f"a {label} with score {score:.2f}" for _, label, score in found)
        text = f"No digit is found; a {digit} is there, unless it lies outside the canvas."
        if names:
            text = f"Found: {names}; the digit is a {digit}."
        return text, draw(detector_view, canvas, probability.numpy(), found, digit)
