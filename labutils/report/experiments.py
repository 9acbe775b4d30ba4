"""The experiments of all chapters: their configurations and runs, and what is missing of these."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from labutils.config.base import Config
from labutils.config.classifier import RunConfig
from labutils.config.profiles import Profile, profile
from labutils.report import cams, convnets, detector, families, mlps, residuals, strong, transfer
from labutils.report.families import choices as families_choices
from labutils.report.quick import quick
from labutils.report.records import Experiment
from labutils.report.residuals import choices as residuals_choices
from labutils.report.training import estimate_seconds, train_run
from labutils.report.transfer import choices as transfer_choices
from labutils.runs.store import Keep, MissingRuns, Run, Store
from labutils.runs.sweep import run_sweep

REPORT = (mlps, convnets, families, strong, residuals, transfer, detector, cams)  # in its order
CHAPTERS = tuple(chapter.experiments for chapter in REPORT)
CHOICES = (families_choices, residuals_choices, transfer_choices)
GROUPS = (*CHAPTERS, *CHOICES)  # each is trained in one sweep in the quick profile
EXPERIMENTS: dict[str, Experiment] = {
    record.name: record
    for group in GROUPS
    for record in vars(group).values()
    if isinstance(record, Experiment)
}


class UnknownExperiment(LookupError):
    """There is no experiment of this name; the message lists those that there are."""


def find(name: str) -> Experiment:
    """The record of an experiment.

    Raises:
        UnknownExperiment: there is no such experiment; the message lists them.
    """
    if name not in EXPERIMENTS:
        raise UnknownExperiment(f"no experiment {name!r}: choose one of {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def configs(name: str, which: Profile | None = None) -> list[Config]:
    """The configurations of an experiment, each once; in the quick profile small ones.

    Raises:
        UnknownExperiment: as `find` does.
    """
    grid = find(name).grid()
    if not (which or profile()).quick:
        return grid
    first = [config for config in grid if config.seed == grid[0].seed]
    full: dict[str, Config] = {}
    if any(config.starts_from for config in first):  # making all grids takes a while
        full = {config.id: config for record in EXPERIMENTS.values() for config in record.grid()}
    return list(dict.fromkeys(quick(config, full) for config in first))


def load(
    name: str, which: Profile | None = None, *, train_missing: bool = False, **fields: object
) -> list[Run]:
    """The runs of an experiment. In the quick profile what is missing is trained at once.

    Args:
        fields: only the runs whose configuration has these values, for example `seed=0`.

    Raises:
        MissingRuns: some are not stored and `train_missing` is false; the message gives the
            estimated time and the command that trains them.
    """
    which = which or profile()
    wanted = [
        config
        for config in configs(name, which)
        if all(getattr(config, field) == value for field, value in fields.items())
    ]
    return _load(EXPERIMENTS[name], wanted, which, train_missing)


def load_compared(
    name: str, which: Profile | None = None, *, train_missing: bool = False
) -> list[Run]:
    """The runs that those of `name` are compared with, and then those of `name`.

    The record of the experiment says which these are and in which fields they differ.
    """
    which, record = which or profile(), find(name)
    own = configs(name, which)

    def has_partner(config: RunConfig) -> bool:
        compared = {field: getattr(config, field) for field in record.differs_in}
        return any(replace(mine, **compared) == config for mine in own)

    found = []
    for other in record.compared_with:
        partners = [config for config in configs(other, which) if has_partner(config)]
        found += _load(EXPERIMENTS[other], partners, which, train_missing)
    return found + _load(record, own, which, train_missing)


def plan(
    wanted: Iterable[Config], which: Profile, keep: Keep | None = None
) -> list[tuple[Keep, list[Config]]]:
    """What is missing of some runs and of those that they start from, in groups to train in turn.

    Args:
        keep: which weights of `wanted` to store; by default what their records say. Runs that
            others start from keep theirs whatever is asked for.

    Returns:
        For each group which weights to store, and its configurations.

    Raises:
        UnknownExperiment: a run starts from one that is in no experiment.
    """
    store, known, kept = Store.of(which), {}, {}
    for record in EXPERIMENTS.values():
        for config in configs(record.name, which):
            known[config.id] = config
            if record.keep != "none":
                kept[config.id] = _must_have(record, config, store, which)
    groups: dict[tuple[int, Keep], dict[str, Config]] = {}

    def add(config: Config, form: Keep) -> int:
        """Put a run where its turn comes, after what it starts from; returns the next turn."""
        if not store.missing([config], form):
            return 0
        turn, source = 0, config.starts_from
        if source and source not in known:
            raise UnknownExperiment(f"{config.name} starts from {source}, a run of no experiment")
        if source:
            turn = add(known[source], kept.get(source, "fp16"))
        groups.setdefault((turn, form), {})[config.id] = config
        return turn + 1

    for config in wanted:
        add(config, keep or kept.get(config.id, "none"))
    return [(form, list(groups[turn, form].values())) for turn, form in sorted(groups)]


def _must_have(record: Experiment, config: Config, store: Store, which: Profile) -> Keep:
    """Which weights a run must have: in full, a finished one only those that git holds."""
    absent = not record.shipped and not which.quick and store.find(config) is not None
    return "none" if absent else record.keep


def _load(
    record: Experiment, wanted: list[Config], which: Profile, train_missing: bool
) -> list[Run]:
    """Some runs of an experiment; those that they start from are trained before them.

    Weights are asked for only where the experiment itself keeps them.
    """
    store = Store.of(which)
    missing = [c for c in wanted if store.missing([c], _must_have(record, c, store, which))]
    if not missing:
        return [store.load(config) for config in wanted]
    if which.quick:  # a group in one sweep: its workers start once and end together
        missing += _of_group(record, which)
    todo = plan(missing, which)
    if not (train_missing or which.quick):
        minutes = estimate_seconds([config for _, group in todo for config in group]) / 60 / 2
        raise MissingRuns(
            f"{len(missing)} of the {len(wanted)} runs of {record.name} are not stored in "
            f"{store.folder}, or without their weights (the first is {missing[0].name}). Train "
            f"them, in about {minutes:.0f} minutes on two cores, with `python -m labutils sweep "
            f"{record.name}`, or set TRAIN_MISSING = True."
        )
    for keep, group in todo:
        run_sweep(
            group, partial(train_run, store=store), store=store, keep=keep, seconds=estimate_seconds
        )
    return [store.load(config) for config in wanted]


def load_all(which: Profile | None = None, **fields: object) -> list[Run]:
    """The runs whose configuration has these values, each once: of all experiments that are shown.

    Choices are left out.

    Raises:
        MissingRuns: as `load` does.
    """
    choices = [record for group in CHOICES for record in vars(group).values()]
    names = [name for name, record in EXPERIMENTS.items() if record not in choices]
    found = {run.config.id: run for name in names for run in load(name, which, **fields)}
    return list(found.values())


def _of_group(record: Experiment, which: Profile) -> list[Config]:
    """The configurations of all experiments in the file of this one."""
    group = next(group for group in GROUPS if record in vars(group).values())
    records = (one for one in vars(group).values() if isinstance(one, Experiment))
    names = [one.name for one in records if one.name in EXPERIMENTS]
    return [config for name in names for config in configs(name, which)]
