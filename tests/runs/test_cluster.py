"""Sweeps on a Dask cluster of processes in folders of their own, which share no disk."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

import labutils
from labutils.config.classifier import RunConfig
from labutils.config.fcn import FCNConfig
from labutils.fcn.networks import classifier_config
from labutils.report.training import train_run
from labutils.runs import cluster
from labutils.runs.cluster import ClusterError
from labutils.runs.load import load_or_train
from labutils.runs.store import Store
from labutils.runs.sweep import run_sweep
from labutils.training import classifiers

pytest.importorskip("distributed")

BASE = RunConfig(data="digits", depth=2, width=8, epochs=2)
CONFIGS = [replace(BASE, seed=seed) for seed in range(4)]


class Cluster(NamedTuple):
    """A scheduler and workers, each a process in a folder of its own under `folder`."""

    folder: Path
    address: str
    scheduler: int
    processes: contextlib.ExitStack

    def add_worker(self, name: str, package: str | None = None) -> subprocess.Popen:
        """A worker with a copy of labutils, or with a `package` of that name instead."""
        folder = self.folder / name / "labutils"
        if package is None:
            ignored = shutil.ignore_patterns("__pycache__", "photographs")
            shutil.copytree(Path(labutils.__file__).parent, folder, ignore=ignored)
        else:
            folder.mkdir(parents=True)
            (folder / "__init__.py").write_text(package)
        options = ["--nthreads", "1", "--no-nanny", "--local-directory", "dask"]
        return start(self.processes, folder.parent, "worker", self.address, *options)


def start(processes, folder: Path, kind: str, *options: str) -> subprocess.Popen:
    """A process of Dask, killed when `processes` are left."""
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options]
    command += ["--dashboard-address", "127.0.0.1:0"]
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "LAB_PROFILE")}
    with (folder / f"{kind}.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    processes.callback(process.wait)
    processes.callback(process.kill)
    return process


@contextlib.contextmanager
def cluster_in(folder: Path, workers: int) -> Iterator[Cluster]:
    with contextlib.ExitStack() as processes:
        file = folder / "scheduler.json"
        options = ["--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file)]
        scheduler = start(processes, folder, "scheduler", *options)
        deadline = time.monotonic() + 120
        while not (file.exists() and file.read_text().endswith("}")):
            assert time.monotonic() < deadline and scheduler.poll() is None
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        found = Cluster(folder, address, scheduler.pid, processes)
        for number in range(workers):
            found.add_worker(f"worker{number}")
        wait_for_workers(found, workers)
        yield found


def wait_for_workers(cluster: Cluster, count: int) -> set[str]:
    """The addresses of the workers, of which there are so many in a while."""
    from distributed import Client

    with Client(cluster.address, set_as_default=False) as client:
        client.wait_for_workers(count, timeout=120)
        return set(client.nthreads())


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    with cluster_in(tmp_path_factory.mktemp("cluster"), 2) as found:
        yield found


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "runs", tmp_path / "scratch")


def never(config, **handed):
    raise AssertionError("trained")


def results(run) -> str:
    """All of a run that two trainings have in common."""
    measured = {**run.history, **run.metrics}
    return str({name: value for name, value in measured.items() if "seconds" not in name})


def sweep_on(cluster: Cluster, configs, train, store, **options):
    return run_sweep(
        configs, train, store=store, cluster=cluster.address, progress=False, **options
    )


@pytest.mark.slow
def test_runs_come_back_from_folders_of_their_own_though_a_worker_is_killed(
    two_workers, store, tmp_path
):
    begun = str(tmp_path)

    def killed_once(config, *, on_epoch, **handed):  # found in no module, so it travels whole
        import os
        import signal
        from pathlib import Path

        from labutils.training import classifiers

        notes = Path(begun, f"seed{config.seed}")
        first = not notes.exists()
        with notes.open("a") as file:
            file.write(f"{os.getcwd()}\n")

        def die(*_):
            if config.seed == 1 and first:
                os.kill(os.getpid(), signal.SIGKILL)

        return classifiers.train(config, on_epoch=die, **handed)

    runs = sweep_on(two_workers, CONFIGS, killed_once, store, keep="fp32")
    begun = {seed: (tmp_path / f"seed{seed}").read_text().splitlines() for seed in range(4)}
    assert {seed: len(folders) for seed, folders in begun.items()} == {0: 1, 1: 2, 2: 1, 3: 1}
    assert begun[1][0] != begun[1][1], "it is begun anew by the other"
    folders = {str(two_workers.folder / name) for name in ("worker0", "worker1")}
    assert {folder for lines in begun.values() for folder in lines} <= folders
    assert not list(two_workers.folder.rglob("history.json")), "no run is stored there"
    kept = [path.parent.name for path in Path(begun[1][1]).rglob("checkpoint.pt")]
    assert kept == [], "no checkpoint of a finished run is left where a worker lives"

    here = Store(tmp_path / "here", tmp_path / "scratch-here")
    local = run_sweep(CONFIGS, classifiers.train, store=here, n_jobs=1, progress=False)
    assert list(map(results, runs)) == list(map(results, local))
    assert all(run.has_weights for run in runs)
    assert sweep_on(two_workers, CONFIGS, never, store) == runs


@pytest.mark.slow
def test_a_training_gets_the_stored_run_that_it_starts_from(two_workers, store, tmp_path):
    config = FCNConfig(data="digits", model="small-cnn", width=4, canvases=20, size=40, epochs=1)
    config = replace(config, batch_size=10)
    source = replace(classifier_config(config), epochs=1)
    config = replace(config, classifier=source.id)
    load_or_train(source, store=store, keep="fp16", progress=False)
    here = Store(tmp_path / "here", tmp_path / "scratch-here")
    shutil.copytree(store.folder, here.folder)

    [run] = sweep_on(two_workers, [config], partial(train_run, store=store), store)
    local = load_or_train(config, partial(train_run, store=here), store=here, progress=False)
    assert results(run) == results(local)


# A cluster that cannot be used


def refusal(address: str, store: Store) -> str:
    with pytest.raises(ClusterError) as caught:
        run_sweep(CONFIGS, never, store=store, cluster=address, progress=False)
    assert not store.folder.exists(), "nothing is begun"
    return str(caught.value)


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:9", "nonsense://x", "nonsense", "", "tcp://127.0.0.1:port"]
)
def test_a_scheduler_that_is_not_there_is_named(store, monkeypatch, address):
    monkeypatch.setattr(cluster, "CONNECT", 0.5)
    assert refusal(address, store).startswith(f"no Dask scheduler answers at '{address}' (")


def test_what_never_answers_is_no_scheduler(store, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert refusal(address, store).startswith(f"no Dask scheduler answers at '{address}' (")


def test_a_scheduler_without_workers_says_how_to_start_one(store, monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr(cluster, "CONNECT", 2)
    with LocalCluster(n_workers=0, processes=False, dashboard_address=":0", protocol="tcp") as none:
        message = refusal(none.scheduler_address, store)
    assert f"`dask worker {none.scheduler_address} --nthreads 1`" in message


@pytest.mark.slow
def test_a_worker_of_another_version_is_named(two_workers, store, monkeypatch):
    there = cluster.versions()
    monkeypatch.setattr(cluster, "versions", lambda: "Python 4.0")
    message = refusal(two_workers.address, store)
    assert message.startswith("the worker tcp://127.0.0.1:")
    assert f"(a worker has {there}, and this sweep Python 4.0)" in message


def test_versions_say_which_and_tell_code_from_other_code(tmp_path, monkeypatch):
    here = cluster.versions()
    python, release = ".".join(map(str, sys.version_info[:2])), torch.__version__.split("+")[0]
    assert here.startswith(f"Python {python}, torch {release}, labutils of code ")
    monkeypatch.setattr(cluster, "__file__", str(tmp_path / "labutils" / "runs" / "cluster.py"))
    assert cluster.versions.__wrapped__() != here


@pytest.mark.slow
def test_a_worker_that_cannot_import_labutils_is_named(two_workers, store):
    before = wait_for_workers(two_workers, 1)
    stranger = two_workers.add_worker("stranger", "raise ImportError('there is no labutils')")
    [address] = wait_for_workers(two_workers, len(before) + 1) - before
    try:
        message = refusal(two_workers.address, store)
    finally:
        stranger.kill()
    assert message.startswith(f"the worker {address} cannot take part (")
    assert "there is no labutils" in message


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["scheduler", "worker"])
def test_a_cluster_that_dies_ends_the_sweep(tmp_path, store, monkeypatch, capsys, victim):
    monkeypatch.setattr(cluster, "PATIENCE", 8)
    with cluster_in(tmp_path, 1) as found:
        pid = found.scheduler if victim == "scheduler" else 0

        def kills(config, **handed):
            import os
            import signal
            import time

            os.kill(pid or os.getpid(), signal.SIGKILL)
            time.sleep(600)

        with pytest.raises(ClusterError, match="gone; the same command goes on"):
            sweep_on(found, [BASE], kills, store)
    assert store.find(BASE) is None
    said = capsys.readouterr().err
    assert ("No worker is left; waiting 8 s for one." in said) == (victim == "worker")
