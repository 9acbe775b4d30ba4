"""Run many configurations side by side: in processes here through joblib, or on a Dask cluster."""

import contextlib
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial

import torch
from joblib import Parallel, cpu_count, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from labutils.config import Config
from labutils.runs.load import default_store, load_or_train
from labutils.runs.store import Keep, Run, Store, Train

ATTEMPTS = 3  # deaths in a row, without one run finishing between them, that end a sweep
# A Dask worker may have many threads, but PyTorch's random numbers (dropout) belong to the process.
ONE_AT_A_TIME = threading.Lock()


class SweepError(RuntimeError):
    """Runs of a sweep failed; all that finished are stored."""


Attempted = tuple[str, str, str]  # id and name of a run, and what went wrong, if anything did
Attempt = Callable[[Config], Attempted]
SideBySide = Callable[[Attempt, list[Config]], Iterator[Attempted]]


def run_sweep(
    configs: Sequence[Config],
    train: Train,
    *,
    seconds: Callable[[Sequence[Config]], float] = lambda configs: 0.0,
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
        train: trains any of the configurations, as `load_or_train` asks for it.
        seconds: about how long trainings take: the longest begin first.
        n_jobs: processes here; by default one a processor core. A cluster has its own number.
        cluster: address of a Dask scheduler whose workers share this file system; each worker
            process trains one network at a time, so give it one thread.

    Raises:
        SweepError: some runs failed, or workers died again and again; the message says which.
    """
    store = store or default_store()
    todo = sorted(store.missing(configs, keep), key=lambda c: seconds([c]), reverse=True)
    missing = {config.id: config for config in todo}
    if missing:
        owner = None if cluster else os.getpid()
        attempt = partial(_attempt, train=train, store=store, keep=keep, owner=owner)
        with _workers(n_jobs, cluster) as side_by_side:
            _train_all(missing, partial(side_by_side, attempt), len(configs), progress)
    return [store.load(config) for config in configs]


def _train_all(
    missing: dict[str, Config],
    attempts: Callable[[list[Config]], Iterator[Attempted]],
    total: int,
    progress: bool,
) -> None:
    missing, failed, deaths = dict(missing), {}, 0
    bar = tqdm(total=total, initial=total - len(missing), unit="run", disable=not progress)
    with bar:
        while missing:
            try:
                for run_id, name, error in attempts(list(missing.values())):
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
                    names = ", ".join(config.name for config in missing.values())
                    raise SweepError(
                        f"workers died {ATTEMPTS} times in a row (out of memory?). Try again with "
                        f"fewer jobs; {len(missing)} runs are left: {names}"
                    ) from None
    if failed:
        reasons = "; ".join(f"{name}: {error}" for name, error in failed.items())
        raise SweepError(f"{len(failed)} of {total} runs failed, the others are stored. {reasons}")


def _attempt(
    config: Config, train: Train, store: Store, keep: Keep, owner: int | None
) -> Attempted:
    """One run in a worker; an error of the training is told, not raised."""
    if owner is not None:
        _end_with(owner)
    with ONE_AT_A_TIME, _one_thread():
        try:
            load_or_train(config, train, store=store, keep=keep, progress=False)
        except Exception as error:
            return config.id, config.name, f"{type(error).__name__}: {error}"
        return config.id, config.name, ""


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
def _one_thread() -> Iterator[None]:
    """PyTorch computes in one thread; with one job that is in the caller's own process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _workers(n_jobs: int | None, cluster: str | None) -> Iterator[SideBySide]:
    """What runs attempts side by side: processes here, or the workers of a Dask cluster."""
    if cluster is None:
        with parallel_config(backend="loky", n_jobs=n_jobs or cpu_count(), inner_max_num_threads=1):
            yield _in_processes
        return
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise SweepError("a Dask cluster needs `pip install '.[cluster]'`") from error
    try:
        client = Client(cluster, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SweepError(f"no Dask scheduler answers at {cluster!r}: {error}") from error
    with client:
        yield partial(_on_cluster, client)


def _in_processes(attempt: Attempt, configs: list[Config]) -> Iterator[Attempted]:
    with warnings.catch_warnings():
        # loky replaces a worker that has grown, between two runs: nothing is lost
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        work = (delayed(attempt)(config) for config in configs)
        yield from Parallel(return_as="generator_unordered")(work)


def _on_cluster(client: object, attempt: Attempt, configs: list[Config]) -> Iterator[Attempted]:
    """Not through joblib's Dask backend, which waits forever for a run whose workers all died."""
    from distributed import as_completed

    running = {client.submit(attempt, config, pure=False): config for config in configs}
    for future in as_completed(running, loop=client.loop):
        error = future.exception()  # of Dask: that workers died is an error of this run alone
        if error is None:
            yield future.result()
        else:
            config = running[future]
            yield config.id, config.name, f"{type(error).__name__}: {error}"
