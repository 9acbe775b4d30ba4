"""Training on a Dask cluster: its workers need no disk in common, for what they train comes back.

A worker keeps the checkpoint of an unfinished run in its own folder, and gets the stored run that
a training starts from along with its configuration.
"""

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
from typing import Any

import torch

from labutils.config import Config
from labutils.config.profiles import profile
from labutils.runs.store import Store, Train
from labutils.training.history import Outcome

CONNECT = 5  # seconds in which a scheduler answers, and has workers
PATIENCE = 60  # seconds that a sweep waits for a worker once the last is gone


class ClusterError(RuntimeError):
    """A cluster that cannot be used, or no longer; what is stored stays."""


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """A Dask client of a cluster whose workers have the code and the versions of this process."""
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
        for worker, error in client.run(_refuse_other, versions(), on_error="return").items():
            if error is not None:
                raise ClusterError(
                    f"the worker {worker} cannot take part ({error}): start it with the same "
                    "commit of labutils, Python and torch as here, where it can import labutils"
                )
        threading.Thread(target=_watch, args=(client, left), daemon=True).start()
        try:
            yield client
        finally:
            left.set()


def _ask_scheduler(address: str) -> None:
    """Before there is a `Client`, which waits for ever where something else than Dask answers."""
    from distributed import rpc

    async def ask() -> None:
        async with rpc(address) as server:
            kind = (await server.identity())["type"]
        if kind != "Scheduler":
            raise ClusterError(f"it is that of a {kind}")

    try:
        with ThreadPoolExecutor(1) as thread:  # a notebook has a loop in this one
            thread.submit(asyncio.run, asyncio.wait_for(ask(), CONNECT)).result()
    except Exception as error:  # of many kinds
        what = " ".join(str(error).split()) or type(error).__name__
        raise ClusterError(
            f"no Dask scheduler answers at {address!r} ({what}): give the address that "
            "`dask scheduler` prints, for example tcp://127.0.0.1:8786"
        ) from error


@functools.cache
def versions() -> str:
    """What must be the same here and there for a result to be the same."""
    package, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    torch_version, _, _device = torch.__version__.partition("+")
    python = ".".join(platform.python_version_tuple()[:2])
    return f"Python {python}, torch {torch_version}, labutils of code {digest.hexdigest()[:8]}"


def _refuse_other(wanted: str) -> None:
    if versions() != wanted:
        raise ClusterError(f"a worker has {versions()}, and this sweep {wanted}")


def train_there(client: Any, train: Train, store: Store, config: Config, **_: Any) -> Outcome:
    """Train in a worker of a client's cluster, as `train` does here."""
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
    with contextlib.suppress(Exception):  # the outcome is here, whatever has died since
        client.run(lambda: shutil.rmtree(_scratch(config), ignore_errors=True), on_error="ignore")
    return outcome


def _scratch(config: Config) -> Path:
    """Where a worker keeps an unfinished run; that of a sweep in its folder is elsewhere."""
    return profile().scratch / "cluster" / config.id


def _train(wanted: str, train: Train, config: Config, files: dict[str, bytes]) -> Outcome:
    """In a worker; `files` are those of the stored run that the training starts from."""
    _refuse_other(wanted)  # it may have come after the others were asked
    checkpoint = _scratch(config) / "checkpoint.pt"
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        source = {"store": Store(Path(folder), Path(folder))} if files else {}
        outcome = train(config, checkpoint=checkpoint, on_epoch=None, progress=False, **source)
    return outcome._replace(model=outcome.model.cpu())


def _watch(client: Any, left: threading.Event) -> None:
    """Give up on a cluster that has no worker any more: Dask itself would wait for ever."""
    alone = 0
    while not left.wait(1):
        with contextlib.suppress(Exception):  # the scheduler is gone, which all trainings notice
            alone = 0 if client.nthreads() else alone + 1
        if alone == 5:
            print(f"No worker is left; waiting {PATIENCE} s for one.", file=sys.stderr)
        if alone >= PATIENCE:
            client.close()
