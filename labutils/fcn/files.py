"""Digits in files: what looks at each picture, draws its boxes, and lists them."""

import torch

from labutils.data.picture_files import Look, Seen
from labutils.data.pictures import Picture
from labutils.fcn.networks import load_detector
from labutils.fcn.pictures import annotate, as_json, read_page
from labutils.fcn.scores import validation_threshold
from labutils.runs.store import Run


def digit_finder(run: Run) -> Look:
    """Looks for digits with a stored detector, for `data.picture_files.look_at_files`.

    Raises:
        RunError: the run keeps no weights.
    """
    network, threshold = load_detector(run), validation_threshold(run)
    # in fp32: half precision loses more to kernels for each new size than it gains
    network = network.to(memory_format=torch.channels_last)

    def look(picture: Picture) -> Seen:
        found = read_page(network, picture, threshold=threshold, scales=run.config.scale)
        return Seen(annotate(picture, found), {"digits": as_json(found)}, found.text or "no digit")

    return look
