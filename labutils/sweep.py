"""Run many configurations side by side through joblib: processes here, or a Dask cluster."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from labutils.config import Config
from labutils.runs import Keep, Recipe, Run, Store, default_store, estimate_seconds, load_or_train
from labutils.training import train

ATTEMPTS = 3  # deaths in a row, without one run finishing between them, that end a sweep


class SweepError(RuntimeError):
    """Runs of a sweep failed; all that finished are stored."""


def run_sweep(
    configs: Sequence[Config],
    recipe: Recipe = train,
    *,
    store: Store | None = None,
    keep: Keep = "none",
    n_jobs: int | None = None,
    cluster: str | None = None,
    progress: bool = True,
) -> list[Run]:
    """The runs of all configurations, in their order; what is stored is not trained again.

    Small networks are fastest side by side, one thread each. A worker that dies loses its attempt
    alone: the rest go on, and what it had begun resumes from its last epoch.

    Args:
        n_jobs: processes; by default one a processor core.
        cluster: address of a Dask scheduler whose workers share this file system.

    Raises:
        SweepError: some runs failed, or workers died again and again; the message says which.
    """
    store = store or default_store()
    missing = {config.id: config for config in configs if store.find(config) is None}
    missing |= {
        config.id: config
        for config in configs
        if keep != "none" and config.id not in missing and not store.load(config).has_weights
    }
    if missing:
        with _backend(n_jobs, cluster):
            _train_all(missing, recipe, store, keep, len(configs), progress)
    return [store.load(config) for config in configs]


def _train_all(
    missing: dict[str, Config],
    recipe: Recipe,
    store: Store,
    keep: Keep,
    total: int,
    progress: bool,
) -> None:
    missing, failed, deaths = dict(missing), {}, 0
    bar = tqdm(total=total, initial=total - len(missing), unit="run", disable=not progress)
    with bar:
        while missing:
            try:
                for run_id, name, error in _attempts(missing, recipe, store, keep):
                    del missing[run_id]
                    deaths = 0
                    bar.set_postfix_str(name)
                    bar.update()
                    if error:
                        failed[name] = error
            except TerminatedWorkerError:
                deaths += 1
                tqdm.write(f"a worker died; {len(missing)} runs go on from their last epoch")
                if deaths == ATTEMPTS:
                    raise SweepError(
                        f"workers died {ATTEMPTS} times in a row (out of memory?): "
                        f"{len(missing)} runs are left. Try again with fewer jobs."
                    ) from None
    if failed:
        reasons = "; ".join(f"{name}: {error}" for name, error in failed.items())
        raise SweepError(f"{len(failed)} of {total} runs failed, the others are stored. {reasons}")


def _attempts(missing: dict[str, Config], recipe: Recipe, store: Store, keep: Keep):
    longest_first = sorted(missing.values(), key=lambda c: estimate_seconds([c]), reverse=True)
    work = [delayed(_attempt)(config, recipe, store, keep) for config in longest_first]
    return Parallel(return_as="generator_unordered")(work)


def _attempt(config: Config, recipe: Recipe, store: Store, keep: Keep) -> tuple[str, str, str]:
    """One run in a worker: its id, its name, and what went wrong, if anything did."""
    torch.set_num_threads(1)
    try:
        load_or_train(config, recipe, store=store, keep=keep, progress=False)
    except Exception as error:
        return config.id, config.name, f"{type(error).__name__}: {error}"
    return config.id, config.name, ""


def _backend(n_jobs: int | None, cluster: str | None):
    if cluster is None:
        jobs = n_jobs or len(os.sched_getaffinity(0))
        return parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=1)
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise SweepError("a Dask cluster needs `pip install '.[cluster]'`") from error
    Client(cluster)  # joblib's dask backend takes the current client
    return parallel_config(backend="dask", n_jobs=n_jobs or -1)
