"""Sweeps: nothing is trained twice, failures stay small, workers may die, one thread each."""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import joblib
import pytest
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError

from labutils.config.classifier import RunConfig
from labutils.models.networks import build_model
from labutils.runs import sweep
from labutils.runs.cluster import ClusterError
from labutils.runs.load import load_or_train
from labutils.runs.store import Store
from labutils.runs.sweep import SweepError, run_sweep
from labutils.training.classifiers import Outcome

BASE = RunConfig(data="digits", depth=2, width=4, epochs=1)
CONFIGS = [replace(BASE, seed=seed) for seed in range(4)]
run_here = partial(run_sweep, n_jobs=1, progress=False)  # joblib works in this process then


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "trained_models", tmp_path / "build" / "runs")


# Recipes are found by name in the workers; what they did is written down in a file a configuration.


def trained(config, notes, checkpoint):
    """An outcome without training, and a line in the notes."""
    started = time.monotonic()
    notes.mkdir(exist_ok=True)
    time.sleep(0.1)
    with (notes / f"{config.seed}.txt").open("a") as file:
        file.write(json.dumps({"pid": os.getpid(), "resumed": checkpoint.exists()}) + "\n")
    metrics = {
        "status": "finished",
        "test_accuracy": 0.5,
        "threads": torch.get_num_threads(),
        "environment": os.environ.get("OMP_NUM_THREADS"),
        "ctrl_c": str(signal.getsignal(signal.SIGINT)),
        "during": [started, time.monotonic()],
    }
    return Outcome(build_model(config, (1, 28, 28), 10), {"val_loss": [1.0]}, metrics)


def simple(config, *, checkpoint, notes, **handed):
    assert handed == {"on_epoch": None, "progress": False}, "one bar, that of the sweep"
    return trained(config, notes, checkpoint)


def fails(config, *, checkpoint, notes, bad, **handed):
    if config.seed in bad:
        raise ValueError(f"seed {config.seed} is unlucky")
    return trained(config, notes, checkpoint)


def dies(config, *, checkpoint, notes, bad, times, after=(), **handed):
    """A worker is killed, as for want of memory, after the first epoch is on the disk."""
    deaths = notes.parent / f"deaths-{config.seed}"
    count = int(deaths.read_text()) if deaths.exists() else 0
    if config.seed in bad and count < times:
        while not all(stored.exists() for stored in after):
            time.sleep(0.01)
        deaths.write_text(str(count + 1))
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.write_text("epoch 1")
        os.kill(os.getpid(), signal.SIGKILL)
    return trained(config, notes, checkpoint)


def never(config, **handed):
    raise AssertionError("a stored run is not trained again")


def notes_of(notes):
    """For each seed, what its attempts wrote."""
    return {
        int(path.stem): [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted(notes.iterdir())
    }


# In this process


def by_width(configs):
    return float(sum(config.width for config in configs))


def test_runs_come_in_the_order_of_their_configurations(store, tmp_path):
    recipe = partial(simple, notes=tmp_path / "notes")
    wide = replace(BASE, width=512, seed=9)  # trained first, for it takes the longest
    asked = [*CONFIGS[::-1], wide]
    runs = run_here(asked, recipe, store=store, seconds=by_width)
    assert [run.config for run in runs] == asked
    assert sorted(path.name for path in store.folder.iterdir()) == sorted(c.name for c in asked)


def test_the_longest_is_trained_first(store, tmp_path):
    recipe = partial(simple, notes=tmp_path / "notes")
    asked = [replace(BASE, width=width, seed=width) for width in (4, 256, 32)]
    runs = run_here(asked, recipe, store=store, seconds=by_width)
    starts = {run.config.width: run.metrics["during"][0] for run in runs}
    assert sorted(starts, key=starts.get) == [256, 32, 4]


def test_nothing_that_is_finished_is_trained_again(store, tmp_path):
    notes = tmp_path / "notes"
    recipe = partial(simple, notes=notes)
    load_or_train(CONFIGS[1], recipe, store=store, progress=False)
    run_here(CONFIGS[:3], recipe, store=store)
    first = notes_of(notes)
    assert {seed: len(attempts) for seed, attempts in first.items()} == {0: 1, 1: 1, 2: 1}
    runs = run_here(CONFIGS[:3], never, store=store)
    assert [run.config for run in runs] == CONFIGS[:3] and notes_of(notes) == first


def test_a_configuration_that_comes_twice_is_trained_once(store, tmp_path):
    notes = tmp_path / "notes"
    runs = run_here([BASE, BASE, CONFIGS[1]], partial(simple, notes=notes), store=store)
    assert [run.config.seed for run in runs] == [0, 0, 1]
    assert [len(attempts) for attempts in notes_of(notes).values()] == [1, 1]


def test_an_empty_sweep(store):
    assert run_here([], never, store=store) == []


def test_weights_are_kept_where_asked_for_and_trained_for_where_missing(store, tmp_path):
    recipe = partial(simple, notes=tmp_path / "notes")
    assert not any(run.has_weights for run in run_here(CONFIGS[:2], recipe, store=store))
    load_or_train(CONFIGS[0], recipe, store=store, keep="fp32", progress=False)
    runs = run_here(CONFIGS[:3], recipe, store=store, keep="fp16")
    assert all(run.has_weights for run in runs)
    attempts = {seed: len(lines) for seed, lines in notes_of(tmp_path / "notes").items()}
    assert attempts == {0: 2, 1: 2, 2: 1}
    run_here(CONFIGS[:3], never, store=store, keep="fp32")


def test_a_failure_stops_no_other_run_and_is_named(store, tmp_path):
    recipe = partial(fails, notes=tmp_path / "notes", bad=(0, 2))
    with pytest.raises(SweepError) as caught:
        run_here(CONFIGS, recipe, store=store)
    message = str(caught.value)
    assert "2 of 4 runs failed, the others are stored" in message
    for config in CONFIGS:
        stored = config.seed in (1, 3)
        assert (store.find(config) is not None) == stored
        assert (config.name in message) != stored
        assert (f"ValueError: seed {config.seed} is unlucky" in message) != stored


def test_one_thread_and_afterwards_as_many_as_before(store, tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        recipe = partial(fails, notes=tmp_path / "notes", bad=(1,))
        with pytest.raises(SweepError):
            run_here(CONFIGS[:2], recipe, store=store)
        assert store.load(BASE).metrics["threads"] == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("progress", [True, False])
def test_progress_counts_what_is_stored_already(store, tmp_path, progress, capsys):
    recipe = partial(simple, notes=tmp_path / "notes")
    load_or_train(CONFIGS[0], recipe, store=store, progress=False)
    run_sweep(CONFIGS, recipe, store=store, n_jobs=1, progress=progress)
    shown = capsys.readouterr().err
    if not progress:
        assert shown == ""
        return
    assert "1/4" in shown and "4/4" in shown and "run" in shown
    assert any(config.name in shown for config in CONFIGS[1:])


def test_ctrl_c_ends_the_sweep(store, tmp_path):
    def interrupted(config, *, checkpoint, **handed):
        if config.seed == 2:
            raise KeyboardInterrupt
        return trained(config, tmp_path / "notes", checkpoint)

    with pytest.raises(KeyboardInterrupt):
        run_here(CONFIGS, interrupted, store=store)
    assert len(store.scan()[0]) < 4
    runs = run_here(CONFIGS, partial(simple, notes=tmp_path / "notes"), store=store)
    assert len(runs) == 4


def test_only_deaths_in_a_row_end_a_sweep(store, tmp_path, monkeypatch, capsys):
    """Each attempt brings one run to its end before it dies: slow, but it goes on."""
    rounds = []

    def one_then_death(attempt, configs):
        rounds.append(len(configs))
        yield attempt(configs[0])
        raise TerminatedWorkerError("killed")

    monkeypatch.setattr(sweep, "_side_by_side", one_then_death)
    configs = [replace(BASE, seed=seed) for seed in range(6)]
    runs = run_here(configs, partial(simple, notes=tmp_path / "notes"), store=store)
    assert rounds == [6, 5, 4, 3, 2, 1] and len(runs) == 6
    assert "5 runs go on from their last epoch" in capsys.readouterr().out

    def death(*args):
        rounds.append("death")
        raise TerminatedWorkerError("killed")
        yield

    rounds.clear()
    monkeypatch.setattr(sweep, "_side_by_side", death)
    with pytest.raises(SweepError, match="died 3 times.*fewer jobs; 1 runs are left: .*-s7-"):
        run_here([*configs, replace(BASE, seed=7)], never, store=store)
    assert rounds == ["death"] * 3


# In processes


@pytest.mark.parametrize("n_jobs", [None, 3])
def test_a_process_for_each_core_unless_told(store, n_jobs):
    with sweep._workers(never, store, n_jobs, None):
        assert joblib.Parallel().n_jobs == (n_jobs or joblib.cpu_count())


def test_processes_side_by_side_and_a_death_costs_one_attempt(store, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # which a worker must not take over
    notes, before = tmp_path / "notes", signal.getsignal(signal.SIGINT)
    first = [store.folder / CONFIGS[0].name]
    recipe = partial(dies, notes=notes, bad=(1,), times=1, after=first)
    runs = run_sweep(CONFIGS, recipe, store=store, n_jobs=2, progress=False)
    assert [run.config for run in runs] == CONFIGS
    attempts = notes_of(notes)
    assert attempts[1][-1]["resumed"], "it goes on from its checkpoint"
    assert sorted(attempts) == [0, 1, 2, 3] and len(attempts[0]) == 1, "what is stored stays"
    assert os.getpid() not in {line["pid"] for lines in attempts.values() for line in lines}
    for run in runs:
        assert run.metrics["threads"] == 1 and run.metrics["environment"] == "1"
        assert run.metrics["ctrl_c"] == str(signal.SIG_IGN)
    assert signal.getsignal(signal.SIGINT) == before, "this process listens as before"
    assert (tmp_path / "deaths-1").read_text() == "1"
    assert not any(path.is_dir() for path in store.scratch.iterdir()), "no checkpoint is left"


ORPHAN = """
import os, sys, time
from pathlib import Path
from labutils.config.classifier import RunConfig
from labutils.runs.store import Store
from labutils.runs.sweep import run_sweep

folder = Path(sys.argv[1])

def endless(config, **handed):
    (folder / "worker").write_text(str(os.getpid()))
    time.sleep(300)

config = RunConfig(data="digits", depth=2, width=4, epochs=1)
run_sweep([config], endless, store=Store(folder / "runs", folder / "scratch"), n_jobs=2)
"""


@pytest.mark.slow
def test_workers_end_with_the_sweep_that_started_them(tmp_path):
    main = subprocess.Popen([sys.executable, "-c", ORPHAN, str(tmp_path)])
    try:
        worker = int(wait_for(tmp_path / "worker"))
    finally:
        main.kill()
        main.wait()
    deadline = time.monotonic() + 30
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    if is_running(worker):
        os.kill(worker, signal.SIGKILL)
        pytest.fail("the worker goes on without its sweep")


def wait_for(path):
    deadline = time.monotonic() + 120
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, f"{path} does not come"
        time.sleep(0.1)
    return path.read_text()


def is_running(pid):
    """Whether a process is there, and no zombie that waits to be counted."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        if Path("/proc").exists():
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        os.kill(pid, 0)
        return True
    return False


def test_a_run_that_always_kills_its_worker_is_named(store, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "ATTEMPTS", 2)
    others = [store.folder / CONFIGS[seed].name for seed in (0, 2)]
    recipe = partial(dies, notes=tmp_path / "notes", bad=(1,), times=99, after=others)
    with pytest.raises(SweepError, match=f"died 2 times in a row.*{CONFIGS[1].name}"):
        run_sweep(CONFIGS[:3], recipe, store=store, n_jobs=2, progress=False)
    assert [run.config.seed for run in store.scan()[0]] == [0, 2]


# On a Dask cluster


def test_without_dask_the_error_says_what_to_install(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ClusterError, match="pip install"):
        run_sweep(CONFIGS, never, store=store, cluster="tcp://127.0.0.1:8786")


needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="distributed is not installed"
)


@pytest.fixture
def cluster():
    """One worker with two threads, in this process."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
    ) as local:
        yield local


def clients_of(cluster):
    """Clients that the scheduler knows of; it hears of a close a moment later."""
    for _ in range(200):
        open_clients = [name for name in cluster.scheduler.clients if name.startswith("Client")]
        if not open_clients:
            break
        time.sleep(0.02)
    return open_clients


@pytest.mark.slow
@needs_dask
def test_dask_trains_one_at_a_time_in_a_worker(store, tmp_path, cluster):
    """Random numbers belong to a process: two runs in two of its threads would share them."""
    address = cluster.scheduler_address
    recipe = partial(fails, notes=tmp_path / "notes", bad=(3,))
    with pytest.raises(SweepError, match="seed 3 is unlucky"):
        run_sweep(CONFIGS, recipe, store=store, cluster=address, progress=False)
    assert not clients_of(cluster), "the connection is closed"
    runs = run_sweep(CONFIGS[:3], never, store=store, cluster=address)
    assert [run.config for run in runs] == CONFIGS[:3]
    during = sorted(run.metrics["during"] for run in runs)
    for (_, end), (start, _) in zip(during, during[1:], strict=False):
        assert end <= start
    assert {run.metrics["threads"] for run in runs} == {1}


@pytest.mark.slow
@needs_dask
def test_dask_names_a_run_that_always_kills_its_worker(store, tmp_path):
    """joblib's Dask backend would wait for it forever."""
    import dask
    from distributed import LocalCluster

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as local,
    ):
        address = local.scheduler_address
        # what waits in the worker that dies would be blamed as well: nothing waits by then
        others = [store.folder / CONFIGS[1].name]
        recipe = partial(dies, notes=tmp_path / "notes", bad=(0,), times=99, after=others)
        with pytest.raises(SweepError, match="1 of 2 runs failed.*KilledWorker") as caught:
            run_sweep(CONFIGS[:2], recipe, store=store, cluster=address, progress=False)
    assert CONFIGS[0].name in str(caught.value)
    assert [run.config.seed for run in store.scan()[0]] == [1]
