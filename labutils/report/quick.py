"""The quick profile: a full configuration made small enough to train in seconds."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from labutils.config.base import Config
from labutils.config.classifier import RunConfig
from labutils.config.data_sets import DATA_SETS
from labutils.config.fcn import FCNConfig

WIDTH = {"mlp": 128, "resnet": 4}  # the most units of a hidden layer, or filters; else:
FILTERS = 8
BATCH = {"digits": 32}  # so few images make too few steps else; of other sets at most:
LARGEST_BATCH = 450
PROBE_LABELS = 22  # of each class, at most


def quick(config: Config, full: Mapping[str, Config]) -> Config:
    """The small configuration that stands for a full one.

    It has the built-in set that stands in, fewer filters, fewer blocks, coarser maps and fewer
    epochs. The seeds are the grid's own matter: the quick profile takes the first of each.

    Args:
        full: the configurations of the full report by id, among which is what `config` starts
            from.
    """
    data = DATA_SETS[config.data].stand_in or config.data
    changed: dict[str, object] = {
        "data": data,
        "width": min(config.width, WIDTH.get(config.model, FILTERS)),
        "batch_size": min(config.batch_size, BATCH.get(data, LARGEST_BATCH)),
    }
    if config.starts_from:
        changed[config.source_field] = quick(full[config.starts_from], full).id
    if isinstance(config, FCNConfig):
        changed |= {"size": 48, "canvases": 800, "batch_size": 10}
    else:
        changed |= _classifier(config)
    return replace(config, **changed)


def quick_probe(given: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords of the small `probe` that stands for a full one: fewer images are fitted."""
    return {**given, "per_class": min(given.get("per_class") or PROBE_LABELS, PROBE_LABELS)}


def _classifier(config: RunConfig) -> dict[str, object]:
    epochs = math.ceil(config.epochs / 5)
    own = DATA_SETS[config.data].built_in  # also in the full report, whose networks are small
    few = getattr(config, "labels_per_class", None) is not None  # an epoch is a few steps
    if config.data == "mnist":  # its stand-in has few images: fewer epochs teach little
        epochs = max(epochs, min(config.epochs, 3))
    elif few:
        epochs = math.ceil(epochs / 5)
    else:
        epochs = 1 if config.model == "strong" else min(epochs, 4 if own else 2)
    scaled = (math.ceil(epoch * epochs / config.epochs) for epoch in config.gradient_epochs)
    changed: dict[str, object] = {"epochs": epochs, "gradient_epochs": tuple(dict.fromkeys(scaled))}
    # MLPs on digits are quick at any depth
    if config.model in ("convnet", "resnet") or (config.model, config.data) == ("mlp", "cifar10"):
        step = 2 * config.stages if config.model == "resnet" else 2
        changed["depth"] = 2 + step * math.ceil((config.depth - 2) / step / 4)
    if config.model in ("convnet", "resnet"):
        changed["stem_stride"] = min(4, config.stem_stride * (2 if own else 4))
    return changed
