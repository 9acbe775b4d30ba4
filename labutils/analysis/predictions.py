"""What a stored network answers on the test set: its confusion matrix and worst mistakes."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8
from sklearn.metrics import confusion_matrix

from labutils import data
from labutils.runs.load import measure, ready
from labutils.runs.store import Run
from labutils.training.evaluation import predict

MISTAKES = 12


@measure("test-answers", lambda run: {"mistakes": MISTAKES, "pixels": True})
def predictions_on_test(run: Run) -> dict[str, Any]:
    """Confusion matrix and most confident mistakes of a run whose weights are stored.

    Returns:
        `class_names`: so that the rest can be read without the data set.
        `accuracy`: share of correct answers, in [0, 1], of the weights as they are stored.
        `confusion`: a row a true class, a column an answer, in images.
        `mistakes`: the most probable of the wrong answers first, each with `index` (of the test
            image), `label`, `answer`, `probability` in [0, 1], and `pixels`, which
            `mistaken_images` decodes; `image_shape`: height, width, channels of these.

    Raises:
        RunError: the run keeps no weights.
    """
    images = data.load(run.config.data)
    (model, execution), test = ready(run), images.test
    probability, answers = predict(model, test.images, execution).max(1)
    wrong = (answers != test.labels).nonzero().flatten()
    worst = wrong[probability[wrong].argsort(descending=True, stable=True)][:MISTAKES]
    classes = range(len(images.class_names))
    pictures = test.images.permute(0, 2, 3, 1).numpy()
    counts = confusion_matrix(test.labels, answers, labels=classes)
    return {
        "class_names": list(images.class_names),
        "accuracy": (answers == test.labels).float().mean().item(),
        "confusion": counts.tolist(),
        "image_shape": pictures.shape[1:],
        "mistakes": [
            {
                "index": int(index),
                "label": int(test.labels[index]),
                "answer": int(answers[index]),
                "probability": round(float(probability[index]), 4),
                "pixels": base64.b64encode(pictures[index].tobytes()).decode(),
            }
            for index in worst
        ],
    }


def mistaken_images(found: Mapping[str, Any]) -> UInt8[np.ndarray, "n height width channels"]:
    """The images of the mistakes in what `predictions_on_test` returned, 0 to 255."""
    pixels = b"".join(base64.b64decode(mistake["pixels"]) for mistake in found["mistakes"])
    return np.frombuffer(pixels, np.uint8).reshape(-1, *found["image_shape"])
