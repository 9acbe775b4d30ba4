"""What a network without a background class answers where it sees nothing, stored with the run."""

from typing import Any

import torch

from labutils import data
from labutils.data.canvases import BACKGROUND
from labutils.fcn.detection import pixel_probabilities
from labutils.fcn.networks import ready
from labutils.fcn.scores import canvases_drawn
from labutils.fcn.training import draw_for
from labutils.runs.load import measure
from labutils.runs.store import Run

SAME = 1e-3  # probabilities that differ by less are those of a canvas without digit
TRAINING_SEED = 4_000_003  # no seed of a training's canvases


def _without_background(run: Run) -> dict[str, Any]:
    if run.config.background:
        raise ValueError(f"{run.config.name} has a background class: ask one without about black")
    return {"count": canvases_drawn(run, "train"), "seed": TRAINING_SEED, "same": SAME}


@measure("black", _without_background)
def answers_on_black(run: Run) -> dict[str, Any]:
    """What a network without a background class answers where it sees nothing, and why.

    A pixel is blind if the digit on its canvas changes none of its probabilities by `SAME` or
    more. Canvases are drawn as in training, with training digits.

    Returns:
        `blind`: share of pixels that are. Of the ten classes: `probability`, the mean over blind
        pixels of what the network answers; `digits`, their shares among the training digits; and
        `labels`, their shares among the labels of blind pixels (nan where none is blind).

    Raises:
        ValueError: the run has a background class.
    """
    # fp32: a rounding of bf16 could pass for an effect of the digit
    network, execution = ready(run, precision="fp32")
    digits = data.load(run.config.data).train
    canvases = draw_for(run.config, digits, canvases_drawn(run, "train"), TRAINING_SEED)
    empty = pixel_probabilities(network, torch.zeros_like(canvases.images[:1]), execution)
    probability = pixel_probabilities(network, canvases.images, execution)
    blind = ((probability - empty).abs() < SAME).all(1)
    by_canvas = blind.flatten(1).sum(1).double()
    labels = torch.bincount(canvases.labels[:, 0], by_canvas, minlength=BACKGROUND)
    answers = (empty[0] * blind.sum(0)).flatten(1).sum(1) / by_canvas.sum()
    counts = torch.bincount(digits.labels, minlength=BACKGROUND).double()
    return {
        "blind": blind.float().mean().item(),
        "probability": answers.tolist(),
        "digits": (counts / counts.sum()).tolist(),
        "labels": (labels / labels.sum()).tolist(),
    }
