"""`labutils sweep`: what is missing of experiments, side by side."""

from functools import partial
from typing import Annotated

import tyro

from labutils.cli.app import APP, MOST_JOBS, PROG, Keep, default_hint, several, usage_error
from labutils.cli.listing import print_estimate, print_experiments, print_plan, print_runs
from labutils.config.profiles import profile


@APP.command
def sweep(
    experiments: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        several("EXPERIMENT ...", f"`{PROG} sweep` alone lists them"),
    ] = (),
    jobs: Annotated[int | None, default_hint("one a processor core")] = None,
    cluster: Annotated[
        str | None, tyro.conf.arg(metavar="ADDRESS", help_behavior_hint="(default: none)")
    ] = None,
    keep: Annotated[Keep | None, default_hint("what later exercises load")] = None,
    dry_run: Annotated[bool, default_hint("off")] = False,
) -> int:
    """Train what is missing of an experiment, its runs side by side.

    Args:
        experiments: One or more experiments of the report.
        jobs: Runs trained at the same time, one thread each; a cluster has its own number.
        cluster: Address of a Dask scheduler; its workers train (docs/clusters.md).
        keep: Which weights to store; runs that are stored without are trained again.
        dry_run: Only list the runs, stored or missing, with the estimated time.
    """
    which = profile()
    from labutils.report.experiments import EXPERIMENTS, configs, plan
    from labutils.report.training import estimate_seconds, train_run
    from labutils.runs.store import Store
    from labutils.runs.sweep import run_sweep

    if not experiments:
        print_experiments(EXPERIMENTS.values())
        return usage_error("sweep", "Name one of these experiments, or several.")
    if jobs is not None and not 1 <= jobs <= MOST_JOBS:
        return usage_error("sweep", f"--jobs is {jobs}: give 1 to {MOST_JOBS}.")
    store = Store.of(which)
    wanted = [config for name in experiments for config in configs(name, which)]
    todo = plan(wanted, which, keep)
    missing = {config.id: config for _, group in todo for config in group}
    every = missing | {config.id: config for config in wanted}
    if dry_run:
        print_plan(every.values(), missing, store)
    print_estimate(len(every), list(missing.values()), jobs, cluster)
    if dry_run:
        return 0
    options = {"store": store, "n_jobs": jobs, "cluster": cluster, "seconds": estimate_seconds}
    for form, group in todo:
        run_sweep(group, partial(train_run, store=store), keep=form, **options)
    print_runs([store.load(config) for config in every.values()])
    return 0
