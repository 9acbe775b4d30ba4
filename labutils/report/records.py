"""What an experiment is: its grid, and all that the report must know of it."""

import importlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from types import ModuleType

from labutils.config import Config, RunConfig
from labutils.config.profiles import profile
from labutils.runs.store import Keep, Store

SEEDS = range(3)  # of every comparison, where nothing else is said

Grid = Callable[[], list[Config]]


@dataclass(frozen=True)
class Experiment:
    """The one record of an experiment, made where its grid is.

    Attributes:
        name: what the command line, README and notebooks call it.
        grid: its configurations in the full profile.
        varies: the fields in which these differ; all others are the same in each.
        keep: which weights are stored, because a notebook or a later experiment loads them. A run
            that is in several experiments keeps what any of them asks for.
        shipped: whether git holds the weights; if not, what was measured with them is stored.
        compared_with: names of experiments that hold a partner of each run.
        differs_in: the fields in which a run and its partner differ.
    """

    name: str
    grid: Grid
    varies: Sequence[str]
    keep: Keep = "none"
    shipped: bool = True
    compared_with: Sequence[str] = ()
    differs_in: Sequence[str] = ()

    @property
    def question(self) -> str:
        """The first line of the grid's docstring."""
        return self.grid.__doc__.splitlines()[0]


def experiment(name: str, **fields: object) -> Callable[[Grid], Experiment]:
    """Make a grid an experiment; `fields` are those of `Experiment`."""
    return lambda grid: Experiment(name, grid, **fields)


def seeded(configs: Iterable[Config], seeds: Iterable[int] = SEEDS) -> list[Config]:
    """All configurations with the first seed, then all with the next."""
    configs = list(configs)
    return [replace(config, seed=seed) for seed in seeds for config in configs]


def pairs(base: RunConfig, depths: Iterable[int], seeds: Iterable[int] = SEEDS) -> list[RunConfig]:
    """A plain and a residual network of each depth and seed; depth 2 has no block, so one of it."""
    return [
        replace(base, depth=depth, residual=residual, seed=seed)
        for seed in seeds
        for depth in depths
        for residual in ((False,) if depth == 2 else (False, True))
    ]


def at_rates(configs: Iterable[RunConfig], rates: Sequence[float]) -> list[RunConfig]:
    """Each configuration at each learning rate."""
    return [replace(config, learning_rate=rate) for config in configs for rate in rates]


def at_best_rate(config: RunConfig, rates: Sequence[float]) -> RunConfig:
    """The configuration at the rate of the highest validation accuracy with seed 0.

    Read from the stored runs of the full profile; the first rate until all of these are there.
    """
    store, scored = Store.of(profile("full")), []
    for candidate in at_rates([replace(config, seed=0)], rates):
        folder = store.find(candidate)
        if folder is None:
            return replace(config, learning_rate=rates[0])
        scored.append(json.loads((folder / "metrics.json").read_text())["val_accuracy"])
    best = rates[scored.index(max(scored))]
    return replace(config, learning_rate=best)


def chapter(package: str) -> Callable[[str], ModuleType]:
    """What makes `mlps.figures` an address: the files of a chapter, imported when first used.

    Drawing takes seconds to import, and training needs none of it.
    """

    def file(name: str) -> ModuleType:
        if name not in ("experiments", "tables", "figures"):
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return importlib.import_module(f"{package}.{name}")

    return file
