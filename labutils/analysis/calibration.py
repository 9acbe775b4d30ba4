"""Calibration: whether a network is right as often as its probabilities say."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from scipy.optimize import minimize_scalar
from torch import Tensor

from labutils import data
from labutils.runs.load import measure, ready
from labutils.runs.store import Run
from labutils.training.evaluation import predict

BINS = 15
TEMPERATURES = (0.05, 20.0)  # between which the best is sought


class Reliability(NamedTuple):
    """A reliability diagram, a value a bin: (0, 1/bins], (1/bins, 2/bins] and so on.

    Attributes:
        counts: images whose largest probability lies in the bin.
        confidence: mean of these probabilities; nan where there is no image.
        accuracy: share of these images that are right; nan where there is no image.
    """

    counts: Int64[Tensor, " bins"]
    confidence: Float[Tensor, " bins"]
    accuracy: Float[Tensor, " bins"]

    @property
    def expected_error(self) -> float:
        """Expected calibration error: the mean over images of |accuracy - confidence| of their bin.

        Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3.
        """
        gaps = (self.accuracy - self.confidence).abs().nan_to_num(0)
        return (gaps * self.counts).sum().item() / self.counts.sum().item()


def reliability(
    probabilities: Float[Tensor, "n classes"], labels: Int64[Tensor, " n"], bins: int = BINS
) -> Reliability:
    """Images in bins of equal width by the probability of the class that is predicted."""
    confidence, predictions = probabilities.double().max(1)
    right = (predictions == labels).double()
    members = (confidence * bins).ceil().long().clamp(1, bins) - 1
    counts = members.bincount(minlength=bins)
    sums = (members.bincount(values, minlength=bins) for values in (confidence, right))
    return Reliability(counts, *(total / counts for total in sums))


def fit_temperature(logits: Float[Tensor, "n classes"], labels: Int64[Tensor, " n"]) -> float:
    """The T for which softmax(logits / T) has the lowest mean cross-entropy.

    It changes no prediction. Source: Guo et al. 2017, section 4.2.
    """
    found = minimize_scalar(
        lambda log_t: F.cross_entropy(logits.double() / math.exp(log_t), labels).item(),
        bounds=tuple(map(math.log, TEMPERATURES)),
        method="bounded",
    )
    return math.exp(found.x)


@measure("calibration", lambda run: {"bins": BINS})
def calibration(run: Run) -> dict[str, Any]:
    """Calibration of a stored network on the test set, before and after temperature scaling.

    Returns:
        `temperature`: fitted on the validation split.
        `before`, `after`: each with `expected_error`, in [0, 1]; `loss`, the mean cross-entropy;
        and `counts`, `confidence`, `accuracy`, those of `Reliability`.

    Raises:
        RunError: the run keeps no weights.
    """
    images, (model, execution) = data.load(run.config.data), ready(run)
    # logits but for a constant of each image, which no softmax sees
    val, test = (
        predict(model, part.images, execution).clamp_min(torch.finfo(torch.float32).tiny).log()
        for part in (images.val, images.test)
    )
    temperature = fit_temperature(val, images.val.labels)
    labels = images.test.labels
    return {
        "temperature": temperature,
        "before": _described(test, labels),
        "after": _described(test / temperature, labels),
    }


def _described(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    diagram = reliability(logits.softmax(1), labels)
    return {
        "expected_error": diagram.expected_error,
        "loss": F.cross_entropy(logits, labels).item(),
        **{name: values.tolist() for name, values in diagram._asdict().items()},
    }
