"""Digits in files: what looks at each picture, draws its boxes, and lists them."""

import cv2
import numpy as np
from jaxtyping import UInt8

from labutils.data.picture_files import Look, Seen
from labutils.data.pictures import light_on_black
from labutils.fcn.networks import load_detector
from labutils.fcn.pictures import annotate, as_json, read_digits
from labutils.fcn.scores import validation_threshold
from labutils.runs.store import Run


def digit_finder(run: Run) -> Look:
    """Looks for digits with a stored detector, for `data.picture_files.look_at_files`.

    Raises:
        RunError: the run keeps no weights.
    """
    network, threshold = load_detector(run), validation_threshold(run)

    def look(picture: UInt8[np.ndarray, "height width 3"]) -> Seen:
        grey = light_on_black(picture)
        found = read_digits(network, grey, threshold=threshold, scales=run.config.scale)
        drawing = cv2.cvtColor(annotate(grey, found), cv2.COLOR_BGR2RGB)
        return Seen(drawing, {"digits": as_json(found)}, found.text or "no digit")

    return look
