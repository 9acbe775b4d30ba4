"""load_or_train and load_or_measure: the only doors to what is stored under trained_models/."""

import contextlib
import functools
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch import nn

from labutils.config import Config
from labutils.config.profiles import profile
from labutils.data.whole_files import make_folder, write_file
from labutils.runs.files import RunError, as_json, damaged, digest_of, finite, read_json, with_nan
from labutils.runs.store import Keep, Run, Store, Train
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
        keep: store the weights too; a run that is stored without is trained again.

    Raises:
        RunError: the stored run is damaged.
        Unwritable: it must be trained, and nothing can be written.
    """
    store = store or default_store()
    if store.missing([config], keep):
        with _sole_writer(config, store):
            if store.missing([config], keep):  # else another process has trained it meanwhile
                checkpoint = store.scratch / config.id / "checkpoint.pt"
                if not store.is_written(config, keep):  # else a process was killed in what follows
                    options = {"on_epoch": on_epoch, "progress": progress}
                    store.write(config, train(config, checkpoint=checkpoint, **options), keep)
                shutil.rmtree(checkpoint.parent, ignore_errors=True)
                store.publish(config)
    return store.load(config)


@contextlib.contextmanager
def _sole_writer(config: Config, store: Store) -> Iterator[None]:
    """Wait until no other process trains this run; nothing is trained that could not be stored."""
    for folder in (store.scratch, store.folder):
        make_folder(folder)
    lock = FileLock(store.scratch / f"{config.id}.lock")
    try:
        held = lock.acquire(blocking=False)
    except Timeout:
        print(f"{config.name} is trained by another process: waiting for it.", file=sys.stderr)
        held = lock.acquire()
    with held:
        yield


def ready(run: Run) -> tuple[nn.Module, Execution]:
    """The network of a stored classifier where it is computed, and how; errors of `Run.model`."""
    model = run.model()
    execution = execution_for(model, run.config.precision)
    return model.to(execution.device, memory_format=execution.memory_format), execution


def load_or_measure(
    run: Run, name: str, arguments: Mapping[str, Any], function: Callable[[], Any]
) -> Any:
    """A stored measure of a run, or else `function()`, stored beside the run.

    Args:
        name: what is measured, for the file name: letters, digits, - and _.
        arguments: all that decides the result but the weights, JSON values; with the digest of
            the weights they are the measure's key.
        function: returns a JSON value.

    Raises:
        RunError: the stored measure is damaged, or the name is none for a file.
        Unwritable: nothing can be written; nothing was measured.
    """
    key = {"arguments": dict(arguments), "weights": run.metrics["weights_sha256"]}
    return _load_or_compute(run.folder / "measures", name, key, function)


def measure(name: str, arguments: Callable[..., Mapping[str, Any]]) -> Callable:
    """Make a function of a run one whose result goes through `load_or_measure`; None becomes nan.

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
    key = {"arguments": dict(arguments)}
    return _load_or_compute(store.folder / "measures", name, key, function)


def _load_or_compute(folder: Path, name: str, key: dict, function: Callable[[], Any]) -> Any:
    if not re.fullmatch(r"[\w-]+", name):
        raise RunError(f"no measure is called {name!r}: give letters, digits, - and _")
    path = folder / f"{name}-{digest_of(key)[:8]}.json"
    if path.exists():
        stored = read_json(path)
        seal = stored.pop("sha256", None)  # older ones have none
        if seal not in (None, digest_of(stored)) or "result" not in stored:
            raise damaged(path, "it is not what was measured")
        result = stored.pop("result")
        if stored != json.loads(json.dumps(key)):
            raise damaged(path, "it is a measure of something else")
        return result
    make_folder(folder)
    measured = json.loads(json.dumps({**key, "result": finite(function())}))
    write_file(path, as_json(measured | {"sha256": digest_of(measured)}))
    return measured["result"]
