"""Digits in files: what looks at each picture, draws its boxes, and lists them."""

import numpy as np
from jaxtyping import UInt8

from labutils.data.picture_files import Look, Seen
from labutils.fcn.networks import load_detector
from labutils.fcn.pictures import annotate, as_json, read_page
from labutils.fcn.scores import validation_threshold
from labutils.runs.store import Run
from labutils.training.execution import execution_for


def digit_finder(run: Run) -> Look:
    """Looks for digits with a stored detector, for `data.picture_files.look_at_files`.

    Raises:
        RunError: the run keeps no weights.
    """
    network, threshold = load_detector(run), validation_threshold(run)
    execution = execution_for(network, run.config.precision, device="cpu")
    network = network.to(memory_format=execution.memory_format)

    def look(picture: UInt8[np.ndarray, "height width 3"]) -> Seen:
        found = read_page(
            network, picture, threshold=threshold, scales=run.config.scale, execution=execution
        )
        return Seen(annotate(picture, found), {"digits": as_json(found)}, found.text or "no digit")

    return look
