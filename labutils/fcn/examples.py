"""One digit of each class, kept beside a run: enough to show what a detector does."""

import base64

import numpy as np
from jaxtyping import UInt8

from labutils import data
from labutils.runs.load import measure
from labutils.runs.store import Run


def example_digits(run: Run) -> UInt8[np.ndarray, "digits rows columns"]:
    """The first test digit of each class of the run's data set, 0 to 255; stored with the run."""
    found = _first(run)
    pixels = base64.b64decode(found["pixels"])
    return np.frombuffer(pixels, np.uint8).reshape(found["shape"])


@measure("examples", lambda run: {"split": "test"})
def _first(run: Run) -> dict[str, object]:
    digits = data.load(run.config.data).test
    firsts = [(digits.labels == label).nonzero()[0, 0] for label in digits.labels.unique()]
    images = digits.images[firsts, 0].numpy()
    return {"shape": list(images.shape), "pixels": base64.b64encode(images.tobytes()).decode()}
