"""One digit of each class, kept beside a run: enough to show what a detector does."""

from __future__ import annotations

import base64

import numpy as np
from jaxtyping import UInt8

from labutils import data
from labutils.data import Split
from labutils.runs.load import load_or_measure
from labutils.runs.store import Run


def example_digits(run: Run) -> UInt8[np.ndarray, "digits rows columns"]:
    """The first test digit of each class of the run's data set, 0 to 255; stored with the run."""
    found = load_or_measure(run, "examples", {"split": "test"}, lambda: _first(run))
    pixels = base64.b64decode(found["pixels"])
    return np.frombuffer(pixels, np.uint8).reshape(found["shape"])


def _first(run: Run) -> dict[str, object]:
    digits: Split = data.load(run.config.data).test
    classes = digits.labels.unique().tolist()
    images = np.stack(
        [digits.images[(digits.labels == label).nonzero()[0, 0], 0].numpy() for label in classes]
    )
    return {"shape": list(images.shape), "pixels": base64.b64encode(images.tobytes()).decode()}
