"""Training on a Dask cluster: its workers need no disk in common, for what they train comes back.

A worker keeps the checkpoint of an unfinished run in its own folder, and gets the stored run that
a training starts from along with its configuration.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import logging
import pickle
import platform
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from labutils.config import Config
from labutils.config.profiles import profile
from labutils.runs.store import Store, Train
from labutils.training.history import Outcome

if TYPE_CHECKING:
    from distributed import Client

CONNECT = 5  # seconds in which a scheduler answers, and has workers
PATIENCE = 60  # seconds that a sweep waits for a worker once the last is gone


class ClusterError(RuntimeError):
    """A cluster that cannot be used, or no longer; what is stored stays."""


@contextlib.contextmanager
def connected(address: str) -> Iterator[Client]:
    """A cluster that answers, whose workers have the code and the versions of this process.

    Raises:
        ClusterError: there is no such cluster; the message says what to do.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise ClusterError("a Dask cluster needs `pip install '.[cluster]'`") from error
    _ask_scheduler(address)
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what fails is said here, in a line
    left = threading.Event()
    with Client(address, set_as_default=False, timeout=CONNECT) as client:
        try:
            client.wait_for_workers(1, timeout=CONNECT)
        except TimeoutError as error:
            raise ClusterError(
                f"the Dask scheduler at {address} has no workers: start some with "
                f"`dask worker {address} --nthreads 1`"
            ) from error
        for worker, error in client.run(_check_versions, versions(), on_error="return").items():
            if error is not None:
                raise _unfit(worker, error)
        threading.Thread(target=_watch, args=(client, left), daemon=True).start()
        try:
            yield client
        finally:
            left.set()


def _ask_scheduler(address: str) -> None:
    """Before there is a `Client`, which waits for ever where something else than Dask answers."""
    from distributed import rpc

    async def kind() -> str:
        async with rpc(address) as server:
            return (await server.identity())["type"]

    try:
        with ThreadPoolExecutor(1) as thread:  # a notebook has a loop in this one
            found = thread.submit(asyncio.run, asyncio.wait_for(kind(), CONNECT)).result()
    except Exception as error:  # of many kinds
        what = " ".join(str(error).split()) or type(error).__name__
        raise ClusterError(
            f"no Dask scheduler answers at {address!r} ({what}): give the address that "
            "`dask scheduler` prints, for example tcp://127.0.0.1:8786"
        ) from error
    if found != "Scheduler":
        raise ClusterError(f"{address!r} is a Dask {found}: give the address of the scheduler")


@functools.cache
def versions() -> dict[str, str]:
    """What must be the same for a result to be the same."""
    package, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "torch": torch.__version__.partition("+")[0],  # the rest says for which device it is
        "labutils": f"of code {digest.hexdigest()[:8]}",
    }


def _check_versions(wanted: dict[str, str]) -> None:
    for name, version in versions().items():
        if version != wanted[name]:
            raise ClusterError(f"it has {name} {version}, and not {wanted[name]}")


def _unfit(worker: str, error: Exception) -> ClusterError:
    return ClusterError(
        f"the worker {worker} cannot take part ({error}): start it with the same commit of "
        "labutils, Python and torch as here, where it can import labutils"
    )


def train_there(client: Client, train: Train, store: Store, config: Config, **_: Any) -> Outcome:
    """Train in a worker, as `train` does here; what was not said here would be: nothing.

    Raises:
        ClusterError: the cluster is gone.
    """
    import cloudpickle  # Dask's

    files = {}
    if config.starts_from:
        folder = store.load_id(config.starts_from).folder
        files = {f"{folder.name}/{p.name}": p.read_bytes() for p in folder.iterdir() if p.is_file()}
    try:
        # as bytes: the scheduler, which reads what is submitted, need not have labutils
        work = cloudpickle.dumps(functools.partial(_train, versions(), train, config, files))
        outcome = client.submit(lambda work: pickle.loads(work)(), work, pure=False).result()
    except CancelledError as error:
        raise ClusterError(
            "the scheduler or all workers of the cluster are gone; the same command goes on"
        ) from error
    client.run(_forget, config.id, on_error="ignore")  # wherever it was begun
    return outcome


def _train(
    wanted: dict[str, str], train: Train, config: Config, files: dict[str, bytes]
) -> Outcome:
    """In a worker: the outcome comes back, and nothing of a finished run stays there."""
    from distributed import get_worker

    try:
        _check_versions(wanted)  # it may have come after the others were asked
    except ClusterError as error:
        raise _unfit(get_worker().address, error) from None
    checkpoint = _scratch(config.id) / "checkpoint.pt"
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        source = {"store": Store(Path(folder), Path(folder))} if files else {}
        outcome = train(config, checkpoint=checkpoint, on_epoch=None, progress=False, **source)
    return outcome._replace(model=outcome.model.cpu())


def _scratch(run_id: str) -> Path:
    """Where a worker keeps an unfinished run; that of a sweep in its folder is elsewhere."""
    return profile().scratch / "cluster" / run_id


def _forget(run_id: str) -> None:
    shutil.rmtree(_scratch(run_id), ignore_errors=True)


def _watch(client: Client, left: threading.Event) -> None:
    """Give up on a cluster that has no worker any more: Dask itself would wait for ever."""
    alone = 0
    while not left.wait(1):
        with contextlib.suppress(Exception):  # the scheduler is gone, which all trainings notice
            alone = 0 if client.nthreads() else alone + 1
        if alone == 5:
            print(f"No worker is left; waiting {PATIENCE} s for one.", file=sys.stderr)
        if alone >= PATIENCE:
            client.close()
