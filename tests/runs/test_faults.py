"""Runs and measures under faults: bits flip, processes are killed, disks fill, files are bombs."""

import hashlib
import json
import pickle
import random
import shutil
import time
from dataclasses import replace

import pytest
import torch
from fakes import fake_outcome
from faults import Bomb, files_below, files_of_at_most, flipped, in_child, killed_at, lines_of

from labutils import data
from labutils.config.classifier import RunConfig
from labutils.data.whole_files import Unwritable, write_file
from labutils.models.networks import build_model
from labutils.runs.load import load_or_measure, load_or_train
from labutils.runs.store import RunError, Store
from labutils.runs.sweep import run_sweep
from labutils.training import classifiers

CONFIG = RunConfig(data="digits", depth=2, width=8, epochs=1)
LONGER = replace(CONFIG, epochs=4, crop_padding=1)
STATISTICS = (torch.tensor([0.2]), torch.tensor([0.3]))
MODULES = ("runs/store", "runs/load", "runs/files", "data/whole_files")
FILES = ["SHA256SUMS", "config.json", "history.json", "layers.json.gz", "metrics.json"]
WEIGHTS, MEASURE = "weights.safetensors", "measures/lesion-905915e0.json"
TIMES = {"seconds", "test_seconds"}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "trained_models", tmp_path / "build" / "runs")


def recipe(config, *, checkpoint, **handed):
    """What a training leaves and returns, at once."""
    write_file(checkpoint, b"epoch 1")
    return fake_outcome(config)._replace(model=build_model(config, (1, 28, 28), 10, STATISTICS))


def never(*given, **handed):
    raise AssertionError("it is stored")


def train(store, keep="none"):
    return load_or_train(CONFIG, recipe, store=store, keep=keep, progress=False)


def measure(run, function=lambda: {"curve": [0.1, 0.25, 1 / 3]}):
    return load_or_measure(run, "lesion", {"images": 500}, function)


def everything(store):
    """All that is read of a run and of its measure, as text."""
    run = store.load(CONFIG)
    weights = {name: value.tolist() for name, value in run.model().state_dict().items()}
    measured = measure(run, never)
    return json.dumps([run.config.to_dict(), run.history, run.metrics, weights, measured])


@pytest.mark.parametrize("name", [*FILES, WEIGHTS, MEASURE])
def test_no_flipped_bit_goes_unseen(store, name):
    """200 of them: another result is never returned, and each refusal names the file."""
    run = train(store, "fp16")
    measure(run)
    path, good, refused = run.folder / name, everything(store), 0
    for content in flipped(path.read_bytes(), 200):
        path.write_bytes(content)
        try:
            assert everything(store) == good
        except RunError as error:
            refused += 1
            assert path.name in str(error) and "missing or damaged" in str(error)
    assert refused > 150


def new_run(store):
    train(store, "fp32")


def weights_added(store):
    train(store, "fp32")


def measured(store):
    measure(store.load(CONFIG))


@pytest.mark.parametrize("action", [new_run, weights_added, measured])
def test_a_process_may_be_killed_at_every_line(store, tmp_path, action):
    """What was there can be read at once; the same call makes good what is missing."""

    def prepare():
        shutil.rmtree(tmp_path)
        if action is not new_run:
            run = train(store)
            if action is weights_added:
                measure(run)

    prepare()
    lines = lines_of(lambda: action(store), MODULES)
    wanted = files_below(tmp_path)
    assert len(lines) > 30 and f"trained_models/{CONFIG.name}/SHA256SUMS" in wanted
    for line in lines:
        prepare()
        assert killed_at(line, lambda: action(store), MODULES) == -9
        runs, unreadable = store.scan()
        assert unreadable == [] and len(runs) == (action is not new_run or len(runs)), line
        if action is weights_added:
            assert measure(runs[0], never)
        action(store)
        assert files_below(tmp_path) == wanted, line


def numbers(run):
    """All of a run but what the clock says."""
    metrics = {name: value for name, value in run.metrics.items() if name not in TIMES}
    history = {name: value for name, value in run.history.items() if name not in TIMES}
    return run.config, history, metrics


def train_one(store):
    return [load_or_train(LONGER, store=store, progress=False)]


def train_three(store):
    configs = [replace(LONGER, seed=seed, epochs=2) for seed in range(3)]
    return run_sweep(configs, classifiers.train, store=store, keep="fp16", n_jobs=1, progress=False)


@pytest.mark.parametrize("action", [train_one, train_three])
def test_25_kills_at_random_moments_lose_nothing(tmp_path, action):
    data.load("digits")  # once, for all children
    action(Store(tmp_path / "warm" / "trained_models", tmp_path / "warm" / "build"))
    started = time.monotonic()
    whole = [numbers(run) for run in action(Store(tmp_path / "whole", tmp_path / "scratch"))]
    seconds = time.monotonic() - started
    rng, kills, attempt = random.Random(0), 0, 0
    while kills < 25:
        root = tmp_path / f"attempt{attempt}"
        store = Store(root / "trained_models", root / "build")
        kills += in_child(lambda: action(store), rng.uniform(0, seconds)) == -9  # noqa: B023
        runs, unreadable = store.scan()
        assert unreadable == [] and all(numbers(run) in whole for run in runs)
        if len(runs) == len(whole) or kills == 25:
            assert [numbers(run) for run in action(store)] == whole
            left = [name for name in files_below(root) if not name.startswith("trained_models/d")]
            assert left == []
            attempt += 1


@pytest.mark.parametrize("action", [new_run, measured])
def test_a_full_disk_is_said_and_leaves_nothing_behind(store, tmp_path, action):
    """At 20 levels; what fits in the end is whole."""
    if action is measured:
        train(store)
    before = files_below(tmp_path)
    largest, said = (2_000 if action is measured else 40_000), []
    for level in range(20):
        with files_of_at_most(largest * level // 20):
            try:
                action(store)
            except Unwritable as error:
                said.append(str(error))
                left = [name for name in files_below(tmp_path) if "checkpoint" not in name]
                assert left == before
    assert 1 < len(said) < 20
    assert all("File too large" in text and "make room" in text for text in said)
    assert all(str(tmp_path) in text for text in said)
    run = train(store, "fp32")
    assert run.model() and measure(run)


@pytest.mark.parametrize("name", [*FILES, WEIGHTS, MEASURE])
@pytest.mark.parametrize("pack", [pickle.dump, torch.save])
def test_a_pickle_is_never_executed(store, tmp_path, name, pack):
    run = train(store, "fp32")
    measure(run)
    bomb, path = tmp_path / "executed", run.folder / name
    with path.open("wb") as file:
        pack(Bomb(bomb), file)
    if name in (*FILES[1:], WEIGHTS):  # as one who makes it would: with its checksum
        lines = (run.folder / FILES[0]).read_text().splitlines(keepends=True)
        mine = f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n"
        rest = [line for line in lines if not line.endswith(f"  {name}\n")]
        (run.folder / FILES[0]).write_text("".join([*rest, mine]))
    with pytest.raises(RunError, match="missing or damaged"):
        everything(store)
    assert not bomb.exists()
    assert pickle.loads(pickle.dumps(Bomb(bomb))) is None and bomb.exists(), "it is a live one"


def test_a_store_that_cannot_be_listed_is_not_empty(store):
    store.folder.parent.mkdir(exist_ok=True)
    store.folder.write_text("a file in place of the folder")
    for look in (store.scan, lambda: store.load(CONFIG), lambda: store.missing([CONFIG])):
        with pytest.raises(RunError, match="trained_models cannot be read .*it may be whole"):
            look()
