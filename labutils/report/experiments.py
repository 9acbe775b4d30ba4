"""The report's experiments by name: their runs, what these are compared with, what is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from labutils import grids
from labutils.config.base import Config
from labutils.config.classifier import RunConfig
from labutils.config.profiles import Profile, profile
from labutils.report.recipes import estimate_seconds
from labutils.runs.store import Keep, MissingRuns, Run, Store
from labutils.runs.sweep import run_sweep

EXPERIMENTS: dict[str, Callable[[Profile], list[Config]]] = {
    "mnist-width": grids.width_grid,
    "mnist-depth": lambda which: grids.depth_grid("mnist", which),
    "cifar10-depth": lambda which: grids.depth_grid("cifar10", which),
    "rescue": grids.rescue_grid,
    "mnist-blocks": grids.block_grid,
    "best-mlp": grids.best_mlp_grid,
    "convnet-depth": grids.convnet_grid,
    "mlp-like-convnet": grids.mlp_like_convnet_grid,
    "convnet-head": grids.head_grid,
    "resnet-depth": grids.resnet_grid,
    "lesions": grids.lesion_pair,
    "side-by-side": grids.side_by_side,
    "side-by-side-sgd": grids.side_by_side_sgd,
    "augmentation": grids.augmentation_grid,
    "schedule": grids.schedule_grid,
    "mnist-cnn": grids.mnist_cnn_grid,
    "strong": grids.strong_grid,
    "strong-plain": grids.strong_plain,
    "strong-recipes": grids.strong_recipes,
    "strong-brief": grids.strong_brief,
    "gradients": grids.gradient_grid,
    "ablation-mnist": lambda which: grids.ablation_grid("mnist", which),
    "ablation-cifar10": lambda which: grids.ablation_grid("cifar10", which),
    "ablation-rates": grids.ablation_rates,
    "window-classifier": grids.window_classifier,
    "detector-classifier": grids.detector_classifiers,
    "detector": grids.detector_grid,
    "detector-no-background": grids.no_background_grid,
}


# Experiments whose weights are stored, because a notebook or a later exercise loads them. A run
# that is in one of them keeps its weights in whichever experiment it is trained.
KEEP: dict[str, Keep] = {
    "lesions": "fp16",
    "strong": "fp16",
    "strong-plain": "fp16",
    "window-classifier": "fp16",
    "detector-classifier": "fp16",
    "detector": "fp16",
    "detector-no-background": "fp16",
}
# Those whose weights git does not hold, for their size: what was measured with them is stored.
UNSHIPPED = ("strong-plain",)
# What the runs of an experiment are compared with: those of others, the same but for some fields.
BASELINES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "rescue": (("mnist-depth", "cifar10-depth"), ("learning_rate",)),
    "convnet-head": (("convnet-depth",), ("head",)),
    "augmentation": (("side-by-side-sgd",), ("flip", "crop_padding")),
    "schedule": (("resnet-depth",), ("schedule",)),
    "strong-plain": (("strong",), ("residual",)),
    "ablation-rates": (("ablation-mnist",), ("learning_rate",)),
}


def configs(name: str, which: Profile | None = None) -> list[Config]:
    """The configurations of an experiment.

    Raises:
        KeyError: there is no such experiment; the message lists them.
    """
    if name not in EXPERIMENTS:
        raise KeyError(f"no experiment {name!r}: choose one of {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name](which or profile())


def load(name: str, which: Profile | None = None, *, train_missing: bool = False) -> list[Run]:
    """The runs of an experiment. In the quick profile what is missing is trained at once.

    Raises:
        MissingRuns: some are not stored and `train_missing` is false; the message gives the
            estimated time and the command that trains them.
    """
    which = which or profile()
    return _load(name, configs(name, which), which, train_missing)


def detector(which: Profile | None = None) -> Run:
    """The detector that reads pictures: with `grids.BEST_HEAD`, of the first seed.

    Raises:
        MissingRuns: as `load` does.
    """
    which = which or profile()
    wanted = [
        config
        for config in configs("detector", which)
        if (config.head, config.seed) == (grids.BEST_HEAD, 0)
    ]
    return _load("detector", wanted, which, train_missing=False)[0]


def stages(
    wanted: Iterable[Config], which: Profile, keep: Keep | None = None
) -> list[tuple[Keep, list[Config]]]:
    """What is missing of some runs and of those that they start from, in groups to train in turn.

    Args:
        keep: Which weights of `wanted` to store; by default what `KEEP` says, but in the full
            profile a stored run of `UNSHIPPED` is not missing for want of weights. Runs that
            others start from keep theirs whatever is asked for.

    Returns:
        For each group which weights to store, and its configurations.

    Raises:
        KeyError: a run starts from one that is in no experiment.
    """
    store = Store.of(which)
    known = {config.id: config for grid in EXPERIMENTS.values() for config in grid(which)}
    kept = {c.id: _weights(name, c, store, which) for name in KEEP for c in configs(name, which)}
    groups: list[dict[Keep, dict[str, Config]]] = []
    level = [(keep or kept.get(config.id, "none"), config) for config in wanted]
    while level := [(form, config) for form, config in level if store.missing([config], form)]:
        groups.insert(0, {})
        for form, config in level:
            groups[0].setdefault(form, {})[config.id] = config
        sources = {config.starts_from: config.name for _, config in level if config.starts_from}
        for source, name in sources.items():
            if source not in known:
                raise KeyError(f"{name} starts from {source}, a run of no experiment")
        level = [(kept.get(source, "fp16"), known[source]) for source in sorted(sources)]
    trained: set[str] = set()
    found = []
    for group in groups:
        for form, members in sorted(group.items()):
            found.append((form, [c for c in members.values() if c.id not in trained]))
            trained |= members.keys()
    return [(form, group) for form, group in found if group]


def _weights(name: str, config: Config, store: Store, which: Profile) -> Keep:
    """Which weights a run of an experiment must have: those of `KEEP`, where git holds them.

    A run that is still to be trained keeps its weights all the same, and so does the quick profile.
    """
    without = name in UNSHIPPED and not which.quick and store.find(config) is not None
    return "none" if without else KEEP.get(name, "none")


def _load(name: str, wanted: list[Config], which: Profile, train_missing: bool) -> list[Run]:
    """Some runs of an experiment; those that they start from are trained before them.

    Weights are asked for only where the experiment itself is one of `KEEP`.
    """
    store = Store.of(which)
    missing = [c for c in wanted if store.missing([c], _weights(name, c, store, which))]
    if not missing:
        return [store.load(config) for config in wanted]
    todo = stages(missing, which)
    if not (train_missing or which.quick):
        minutes = estimate_seconds([config for _, group in todo for config in group]) / 60 / 2
        raise MissingRuns(
            f"{len(missing)} of the {len(wanted)} runs of {name} are not stored in {store.folder}, "
            f"or without their weights (the first is {missing[0].name}). Train them, in about "
            f"{minutes:.0f} minutes on two cores, with `python -m labutils sweep {name}`, or set "
            "TRAIN_MISSING = True."
        )
    for keep, group in todo:
        run_sweep(group, store=store, keep=keep)
    return [store.load(config) for config in wanted]


def baselines(name: str, which: Profile | None = None) -> list[Run]:
    """The runs of other experiments that those of `name` are compared with.

    Each has a partner in `name` that is the same but for the fields that `BASELINES` gives.
    """
    which = which or profile()
    others, fields = BASELINES[name]
    wanted = configs(name, which)

    def has_partner(config: RunConfig) -> bool:
        compared = {field: getattr(config, field) for field in fields}
        return any(replace(own, **compared) == config for own in wanted)

    found = []
    for other in others:
        partners = [config for config in configs(other, which) if has_partner(config)]
        found += _load(other, partners, which, train_missing=False)
    return found


def select(runs: Iterable[Run], **fields: object) -> list[Run]:
    """The runs whose configuration has these values, for example `depth=22, residual=True`."""
    return [
        run
        for run in runs
        if all(getattr(run.config, name) == value for name, value in fields.items())
    ]
