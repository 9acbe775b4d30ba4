"""Runs and canvases made up for tests: right in form, with numbers that the test chooses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from labutils.config.base import Config
from labutils.data.canvases import BACKGROUND, NO_DIGIT, Canvases
from labutils.runs.store import Run, Store
from labutils.training.history import Outcome
from labutils.training.statistics import STATISTICS


def fake_outcome(
    config: Config,
    *,
    test_accuracy: float = 0.9,
    train_accuracy: float = 0.9,
    status: str = "finished",
    epochs: int = 3,
) -> Outcome:
    """What a recipe would return; gradients grow with the layer, losses fall with the epoch."""
    per_epoch = [10.0**-epoch for epoch in range(epochs)]
    depth = getattr(config, "depth", 1)
    layers = [[10.0 ** (layer - depth) for layer in range(depth)]] * (epochs + 1)
    history = {
        "train_loss": per_epoch,
        "train_accuracy": [train_accuracy] * epochs,
        "val_loss": per_epoch,
        "val_accuracy": [train_accuracy] * epochs,
        "learning_rate": [config.learning_rate] * epochs,
        "seconds": [1.0] * epochs,
        "layer_names": [f"layer{number}" for number in range(depth)],
        "layers": {name: layers for name in STATISTICS},
        "status": status,
        "best_epoch": epochs,
    }
    if config.gradient_epochs:  # two filters of three channels
        filters = torch.arange(-27.0, 27).view(2, 3, 3, 3)
        history["first_gradient"] = {
            str(epoch): (filters * 10.0**-epoch).tolist() for epoch in config.gradient_epochs
        }
    metrics = {
        "status": status,
        "epochs": epochs,
        "best_epoch": epochs,
        "val_loss": 0.5,
        "val_accuracy": train_accuracy,
        "test_loss": 1 - test_accuracy,
        "test_accuracy": test_accuracy,
        "seconds": 3.0,
        "parameters": 1234,
        "hardware": {"device": "cpu", "processor": "AVX512", "threads": 1},
    }
    return Outcome(torch.nn.Linear(1, 1), history, metrics)


def fake_runs(folder: Path, configs: Sequence[Config], **outcome: object) -> list[Run]:
    """Store a made-up run for each configuration and read it back."""
    store = Store(folder / "runs", folder / "scratch")
    return [store.save(config, fake_outcome(config, **outcome)) for config in configs]


def canvases_of(*digits_of_each):
    """Canvases of 40x40 pixels with given digits: (label, left, top, right, bottom)."""
    slots = max(1, *(len(digits) for digits in digits_of_each))
    count = len(digits_of_each)
    classes = torch.full((count, 40, 40), BACKGROUND, dtype=torch.uint8)
    boxes, labels = torch.zeros(count, slots, 4), torch.full((count, slots), NO_DIGIT)
    for index, digits in enumerate(digits_of_each):
        for slot, (label, left, top, right, bottom) in enumerate(digits):
            classes[index, top:bottom, left:right] = label
            boxes[index, slot] = torch.tensor([left, top, right, bottom])
            labels[index, slot] = label
    images = torch.zeros(count, 1, 40, 40, dtype=torch.uint8)
    return Canvases(images, classes, boxes, labels)
