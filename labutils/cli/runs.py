"""`labutils runs`: what is stored."""

import sys
from typing import Annotated

from labutils.cli.app import APP, PROG, default_hint, shown
from labutils.cli.listing import print_runs
from labutils.config import DataName, ModelName
from labutils.config.profiles import profile


@APP.command
def runs(
    experiment: Annotated[tuple[str, ...], default_hint("all")] = (),
    data: Annotated[DataName | None, default_hint("all")] = None,
    model: Annotated[ModelName | None, default_hint("all")] = None,
) -> int:
    """List the runs that are stored, with their results.

    Args:
        experiment: Only runs of these experiments; README.md names them under its tables.
        data: Only runs on this data set.
        model: Only runs of this model family.
    """
    which = profile()
    from labutils.runs.store import Store

    found, damaged = Store.of(which).scan()
    wanted = None
    if experiment:
        from labutils.report.experiments import configs

        wanted = {config.id for name in experiment for config in configs(name, which)}
    chosen = [
        run
        for run in found
        if (wanted is None or run.config.id in wanted)
        and data in (None, getattr(run.config, "data", None))
        and model in (None, getattr(run.config, "model", None))
    ]
    if chosen:
        print_runs(chosen)
    elif found:
        print(f"None of the {len(found)} runs in {shown(which.runs)} is of this kind.")
    elif not damaged:
        print(
            f"No run is stored in {shown(which.runs)}. `{PROG} train` trains one network, "
            f"`{PROG} sweep EXPERIMENT` those of an experiment; -h after either says more."
        )
    for message in damaged:
        print(message, file=sys.stderr)
    return 1 if damaged else 0
