"""Run many configurations side by side: in processes here through joblib, or on a Dask cluster."""

import contextlib
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import torch
from joblib import Parallel, cpu_count, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from labutils.config import Config
from labutils.runs.cluster import ClusterError, connected, train_there
from labutils.runs.load import load_or_train
from labutils.runs.store import Keep, Run, Store, Train
from labutils.training.history import Outcome

ATTEMPTS = 3  # deaths in a row, without one run finishing between them, that end a sweep
# A Dask worker may have many threads, but PyTorch's random numbers (dropout) belong to the process.
ONE_AT_A_TIME = threading.Lock()
IN_FLIGHT = 256  # runs that a cluster is given at a time, at most


class SweepError(RuntimeError):
    """Runs of a sweep failed; all that finished are stored."""


Attempted = tuple[Config, str]  # a run, and what went wrong, if anything did


def run_sweep(
    configs: Sequence[Config],
    train: Train,
    *,
    store: Store,
    seconds: Callable[[Sequence[Config]], float] = lambda configs: 0.0,
    keep: Keep = "none",
    n_jobs: int | None = None,
    cluster: str | None = None,
    progress: bool = True,
) -> list[Run]:
    """The runs of all configurations, in their order; what is stored is not trained again.

    Each is trained in one thread. A worker that dies loses its attempt alone: the rest go on, and
    what it had begun resumes from its last epoch.

    Args:
        train: trains any of the configurations, as `load_or_train` asks for it.
        seconds: about how long trainings take: the longest begin first.
        n_jobs: processes here; by default one a processor core. A cluster has its own number.
        cluster: address of a Dask scheduler. Each worker process trains one network at a time;
            a network that starts from a stored run is trained with the argument `store`.

    Raises:
        ClusterError: the cluster cannot be used, or is gone.
        SweepError: some runs failed, or workers died again and again; the message says which.
    """
    todo = sorted(store.missing(configs, keep), key=lambda c: seconds([c]), reverse=True)
    if todo:
        with _workers(train, store, n_jobs, cluster) as train_one:
            attempt = partial(_attempt, train=train_one, store=store, keep=keep)
            _train_all(todo, attempt, len(configs), progress)
    return [store.load(config) for config in configs]


def _train_all(
    todo: list[Config], attempt: Callable[[Config], Attempted], total: int, progress: bool
) -> None:
    missing, failed, deaths = {config.id: config for config in todo}, {}, 0
    bar = tqdm(total=total, initial=total - len(missing), unit="run", disable=not progress)
    with bar:
        while missing:
            try:
                for config, error in _side_by_side(attempt, list(missing.values())):
                    del missing[config.id]
                    deaths = 0
                    bar.set_postfix_str(config.name)
                    bar.update()
                    if error:
                        failed[config.name] = error
            except TerminatedWorkerError:
                deaths += 1
                tqdm.write(f"a worker died; {len(missing)} runs go on from their last epoch")
                if deaths == ATTEMPTS:
                    names = ", ".join(config.name for config in missing.values())
                    raise SweepError(
                        f"workers died {ATTEMPTS} times in a row (out of memory?). Try again with "
                        f"fewer jobs; {len(missing)} runs are left: {names}"
                    ) from None
    if failed:
        reasons = "; ".join(f"{name}: {error}" for name, error in failed.items())
        raise SweepError(f"{len(failed)} of {total} runs failed, the others are stored. {reasons}")


def _attempt(config: Config, train: Train, store: Store, keep: Keep) -> Attempted:
    """One run; an error of the training is told, not raised."""
    try:
        load_or_train(config, train, store=store, keep=keep, progress=False)
    except ClusterError:  # the others would meet it as well
        raise
    except Exception as error:
        return config, f"{type(error).__name__}: {error}"
    return config, ""


def _alone(train: Train, owner: int | None, config: Config, **arguments: Any) -> Outcome:
    """Train with nothing beside it in this process, in one thread of PyTorch."""
    if owner is not None:
        _end_with(owner)
    threads = torch.get_num_threads()
    with ONE_AT_A_TIME:
        torch.set_num_threads(1)
        try:
            return train(config, **arguments)
        finally:  # with one job this is the caller's own process
            torch.set_num_threads(threads)


@cache
def _end_with(owner: int) -> None:
    """End this worker soon after the process that started it, which may be killed at any time.

    It would train on, beside the workers of the sweep that is started again.
    """

    def watch() -> None:
        while os.getppid() == owner:
            time.sleep(1)
        os._exit(1)

    if os.getpid() != owner:  # with one job the sweep has no workers
        threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _workers(
    train: Train, store: Store, n_jobs: int | None, cluster: str | None
) -> Iterator[Train]:
    """What trains one of many runs in a worker: in a process here, or of a Dask cluster."""
    if cluster is None:
        with parallel_config(backend="loky", n_jobs=n_jobs or cpu_count(), inner_max_num_threads=1):
            yield partial(_alone, train, os.getpid())
        return
    # Each thread waits for one run. joblib's Dask backend would wait for ever for a run whose
    # workers all died.
    with connected(cluster) as client, parallel_config(backend="threading", n_jobs=IN_FLIGHT):
        yield partial(train_there, client, partial(_alone, train, None), store)


def _side_by_side(
    attempt: Callable[[Config], Attempted], configs: list[Config]
) -> Iterator[Attempted]:
    with warnings.catch_warnings():
        # loky replaces a worker that has grown, between two runs: nothing is lost
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        warnings.filterwarnings("ignore", r"\d+ tasks ", UserWarning)  # Ctrl-C has cancelled them
        with contextlib.ExitStack() as afterwards:
            # workers that are started meanwhile ignore Ctrl-C for good: this process ends them
            if threading.current_thread() is threading.main_thread():  # no other sets a handler
                before = signal.signal(signal.SIGINT, signal.SIG_IGN)
                afterwards.callback(signal.signal, signal.SIGINT, before)
            found = Parallel(return_as="generator_unordered")(map(delayed(attempt), configs))
        yield from found
