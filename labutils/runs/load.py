"""load_or_train and load_or_measure: the only doors to what is stored under trained_models/."""

import contextlib
import errno
import functools
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch import nn

from labutils.config import Config
from labutils.config.profiles import profile
from labutils.runs.json_files import finite, fsync, with_nan, write_json
from labutils.runs.store import Keep, Run, RunError, Store, Train, damaged, read_json
from labutils.training import classifiers
from labutils.training.execution import Execution, execution_for
from labutils.training.loop import OnEpoch


def default_store() -> Store:
    """The store of the profile that LAB_PROFILE names."""
    return Store.of(profile())


def load_or_train(
    config: Config,
    train: Train = classifiers.train,
    *,
    store: Store | None = None,
    keep: Keep = "none",
    on_epoch: OnEpoch | None = None,
    progress: bool = True,
) -> Run:
    """A finished run from the store, or else trained, from where it was killed.

    Two processes that ask for one run train it once: the second waits, then loads it. A stored
    run is read without writing anything anywhere.

    Args:
        train: from configuration (and `checkpoint`, `on_epoch`, `progress`) to `Outcome`.
        keep: also store the weights, in full or half precision. A stored run without weights is
            then trained again.

    Raises:
        RunError: the stored run is damaged, or it must be trained and nothing can be written.
    """
    store = store or default_store()
    if not store.missing([config], keep):
        return store.load(config)
    with _sole_writer(config, store):
        if not store.missing([config], keep):  # another process has trained it meanwhile
            return store.load(config)
        checkpoint = store.scratch / config.id / "checkpoint.pt"
        outcome = train(config, checkpoint=checkpoint, on_epoch=on_epoch, progress=progress)
        run = store.save(config, outcome, keep)
        shutil.rmtree(checkpoint.parent, ignore_errors=True)
        return run


@contextlib.contextmanager
def _sole_writer(config: Config, store: Store) -> Iterator[None]:
    """Wait until no other process trains this run; nothing is trained that could not be stored."""
    lock = FileLock(store.scratch / f"{config.id}.lock")
    try:
        for folder in (store.scratch, store.folder):
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        with contextlib.suppress(Timeout):
            lock.acquire(blocking=False)
        if not lock.is_locked:
            print(f"{config.name} is trained by another process: waiting for it.", file=sys.stderr)
            lock.acquire()
    except OSError as error:
        raise _unwritable(f"{config.name} is not stored, and cannot be trained", error) from error
    try:
        yield
    finally:
        lock.release()


def _unwritable(what: str, error: OSError) -> RunError:
    return RunError(
        f"{what}: {error.filename} cannot be written ({error.strerror}). Make it writable, or work "
        "in a copy of the folder that is."
    )


def ready(run: Run) -> tuple[nn.Module, Execution]:
    """The network of a stored classifier where it is computed, and how: as it was trained.

    Raises:
        RunError: the run keeps no weights.
    """
    model = run.model()
    execution = execution_for(model, run.config.precision)
    return model.to(execution.device, memory_format=execution.memory_format), execution


def load_or_measure(
    run: Run, name: str, arguments: Mapping[str, Any], function: Callable[[], Any]
) -> Any:
    """A stored measure of a run, or else `function()`, stored beside the run.

    Args:
        name: what is measured, a word for the file name.
        arguments: all that decides the result but the weights, JSON values; they and the digest
            of the run's weights are the measure's key.
        function: returns a JSON value.

    Raises:
        RunError: the stored measure is damaged, or a new one cannot be written.
    """
    key = {"arguments": dict(arguments), "weights": run.metrics["weights_sha256"]}
    return _load_or_compute(run.folder / "measures", name, key, function)


def measure(name: str, arguments: Callable[..., Mapping[str, Any]]) -> Callable:
    """Make a function of a run one whose result is stored beside the run, by `load_or_measure`.

    What was not finite is nan in the result.

    Args:
        arguments: from those of the function to all that decides its result but the weights.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def door(run: Run, *given: Any, **options: Any) -> Any:
            key = arguments(run, *given, **options)
            found = load_or_measure(run, name, key, lambda: function(run, *given, **options))
            return with_nan(found)

        return door

    return decorate


def load_or_compute(
    store: Store, name: str, arguments: Mapping[str, Any], function: Callable[[], Any]
) -> Any:
    """As `load_or_measure`, of what belongs to no run: stored in the store's own `measures/`."""
    return _load_or_compute(
        store.folder / "measures", name, {"arguments": dict(arguments)}, function
    )


def _load_or_compute(
    folder: Path, name: str, key: Mapping[str, Any], function: Callable[[], Any]
) -> Any:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:8]
    path = folder / f"{name}-{digest}.json"
    if path.exists():
        stored = read_json(path)
        if "result" not in stored:
            raise damaged(path, "it holds no result")
        return stored["result"]
    result = json.loads(json.dumps(finite(function())))
    part = path.with_name(f".{path.name}.part{os.getpid()}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(part, dict(key) | {"result": result})
        fsync(part)
        os.replace(part, path)
    except OSError as error:
        raise _unwritable(f"what was measured is not stored as {path.name}", error) from error
    return result
