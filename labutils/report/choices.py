"""What the report chooses by validation: the learning rate of each network."""

import json
from collections.abc import Sequence
from dataclasses import replace

from labutils.config import RunConfig
from labutils.config.profiles import profile
from labutils.runs.store import Store

Rates = Sequence[float]


def at_rates(config: RunConfig, rates: Rates) -> list[RunConfig]:
    """The configuration at each learning rate."""
    return [replace(config, learning_rate=rate) for rate in rates]


def at_best_rate(config: RunConfig, rates: Rates) -> RunConfig:
    """The configuration at the rate of the highest validation accuracy with seed 0.

    Read from the stored runs of the full profile; the first rate until all of these are there.
    """
    store, scored = Store.of(profile("full")), []
    for candidate in at_rates(replace(config, seed=0), rates):
        folder = store.find(candidate)
        if folder is None:
            return replace(config, learning_rate=rates[0])
        scored.append(json.loads((folder / "metrics.json").read_text())["val_accuracy"])
    best = rates[scored.index(max(scored))]
    return replace(config, learning_rate=best)
