"""Stored runs and measures: whole or not there, trained once, found again, damages named."""

import contextlib
import gzip
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from labutils import data
from labutils.config.classifier import RunConfig
from labutils.config.profiles import profile
from labutils.data.whole_files import Unwritable
from labutils.models.networks import build_model
from labutils.runs.load import default_store, load_or_measure, load_or_train
from labutils.runs.store import MissingRuns, RunError, Store, weights_digest
from labutils.training.classifiers import Outcome, train

ROOT = Path(__file__).parents[2]
CONFIG = RunConfig(data="digits", depth=2, width=8, epochs=1)
STATISTICS = (torch.tensor([0.2]), torch.tensor([0.3]))
FILES = ("SHA256SUMS", "config.json", "history.json", "layers.json.gz", "metrics.json")
METRICS = {"status": "finished", "epochs": 1, "best_epoch": 1, "seconds": 0.5} | dict.fromkeys(
    ("val_loss", "val_accuracy", "test_loss", "test_accuracy"), 0.75
)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "trained_models", tmp_path / "build" / "runs")


def outcome(config=CONFIG, history=None, metrics=None):
    """What a recipe returns, without any training."""
    model = build_model(config, (1, 28, 28), 10, STATISTICS)
    history = {
        "val_loss": [0.5],
        "layers": {"gradient_norm": [[1.0, 2.0], [0.5, 0.25]]},
        **(history or {}),
    }
    return Outcome(model, history, METRICS | (metrics or {}))


class Recipe:
    """Counts how often it trains, and remembers what it was handed."""

    def __init__(self, **changes):
        self.calls, self.changes, self.handed = 0, changes, None

    def __call__(self, config, **handed):
        self.calls += 1
        self.handed = handed
        return outcome(config, **self.changes)


def never(config, **handed):
    raise AssertionError("a stored run is not trained again")


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def strict(path):
    """Parse as a browser would: NaN and Infinity are no JSON."""

    def refuse(name):
        raise AssertionError(f"{path} says {name}")

    return json.loads(path.read_text(), parse_constant=refuse)


def python(code, *arguments):
    """Start another process that can import labutils."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# What is stored


def test_a_run_comes_back_as_it_was_stored(store):
    saved = store.save(CONFIG, outcome())
    loaded = store.load(CONFIG)
    assert loaded == saved and loaded.config == CONFIG
    assert loaded.folder == store.folder / CONFIG.name
    assert loaded.history["val_loss"] == [0.5]
    assert loaded.history["layers"] == {"gradient_norm": [[1.0, 2.0], [0.5, 0.25]]}
    assert loaded.metrics["test_accuracy"] == 0.75
    assert visible(loaded.folder) == sorted(FILES)
    assert [run.config for run in store.scan()[0]] == [CONFIG]


def test_config_file_says_everything(store):
    values = strict(store.save(CONFIG, outcome()).folder / "config.json")
    assert values["id"] == CONFIG.id and values["recipe"] == CONFIG.recipe
    assert values["learning_rate"] == CONFIG.learning_rate, "defaults are written out too"
    assert RunConfig.from_dict(values) == CONFIG


def test_what_is_not_finite_is_null_in_the_file_and_nan_again_when_read(store):
    bad = [1.5, float("nan"), float("inf"), float("-inf")]
    layers = {"gradient_norm": [bad, [1.0] * 4]}
    made = outcome(history={"val_loss": bad, "layers": layers}, metrics={"test_loss": bad[1]})
    run = store.save(CONFIG, made)
    assert strict(run.folder / "history.json")["val_loss"] == [1.5, None, None, None]
    written = gzip.decompress((run.folder / "layers.json.gz").read_bytes())
    assert json.loads(written)["gradient_norm"][0] == [1.5, None, None, None]
    assert strict(run.folder / "metrics.json")["test_loss"] is None
    assert [str(value) for value in run.history["val_loss"]] == ["1.5", "nan", "nan", "nan"]
    assert str(run.history["layers"]["gradient_norm"][0][2]) == "nan"
    assert str(run.metrics["test_loss"]) == "nan"


def test_history_is_rounded_and_metrics_are_not(store):
    exact = 0.123456789123
    layers = {"weight_norm": [[exact, 1234.5678], [1e-9 * exact, 0.0]]}
    history = {"val_loss": [exact, 123456.789], "layers": layers, "layer_names": ["0", "1"]}
    made = outcome(history={"best_epoch": 2, "status": "finished", **history})
    made.metrics["val_loss"] = exact
    run = store.save(CONFIG, made)
    assert run.history["val_loss"] == [0.123457, 123457.0]
    assert run.history["layers"]["weight_norm"] == [[0.123, 1230.0], [1.23e-10, 0.0]]
    assert run.history["best_epoch"] == 2 and run.history["layer_names"] == ["0", "1"]
    assert run.metrics["val_loss"] == exact
    text = (run.folder / "history.json").read_text()
    assert len(text.splitlines()) == len(run.history) + 2, "a line a quantity"


def test_a_history_without_layers_can_be_stored(store):
    assert store.save(CONFIG, outcome(history={"layers": {}})).history["layers"] == {}


@pytest.mark.parametrize(
    ("precision", "device", "processor", "expected"),
    [
        ("fp32", "cpu", "AVX2", "fp32"),
        ("bf16", "cpu", "AVX512", "bf16"),
        ("bf16", "cpu", "AVX2", "bf16 emulated"),
        ("bf16", "cuda", "NVIDIA H200", "bf16"),
    ],
)
def test_the_arithmetic_of_a_run_that_does_not_record_it(
    store, precision, device, processor, expected
):
    config = replace(CONFIG, precision=precision)
    hardware = {"device": device, "processor": processor}
    older = store.save(config, outcome(config, metrics={"hardware": hardware}))
    assert older.arithmetic == expected
    recorded = {"hardware": hardware, "arithmetic": "fp32"}
    assert store.save(config, outcome(config, metrics=recorded)).arithmetic == "fp32"


def test_every_stored_run_knows_its_arithmetic():
    found, _ = Store.of(profile("full")).scan()
    assert found and {run.arithmetic for run in found} <= {"bf16", "bf16 emulated", "fp32", "fp64"}


# Whole or not there


def test_everything_is_on_the_disk_before_the_run_appears(store, monkeypatch):
    order = []

    def noting(name, call):
        return lambda *arguments: (order.append(name), call(*arguments))[1]

    for name in ("fsync", "replace", "rename"):
        monkeypatch.setattr(os, name, noting(name, getattr(os, name)))
    store.save(CONFIG, outcome(), "fp32")
    assert order == ["fsync", "replace"] * (len(FILES) + 1) + ["rename"]


def test_a_run_can_be_read_at_each_moment_while_weights_are_added(store, monkeypatch):
    """A process that is killed between two renames hides nothing."""
    store.save(CONFIG, outcome())
    rename, seen = os.rename, []

    def look(source, target):
        seen.append(store.load(CONFIG).has_weights)
        rename(source, target)
        seen.append(store.load_id(CONFIG.id).has_weights)
        assert [run.config for run in store.scan()[0]] == [CONFIG]

    monkeypatch.setattr(os, "rename", look)
    store.save(CONFIG, outcome(), "fp32")
    assert seen == [False, True, True, True]
    assert os.listdir(store.folder) == [CONFIG.name]


def test_foreign_folders_are_no_runs(store):
    store.save(replace(CONFIG, seed=1), outcome())
    store.save(CONFIG, outcome())
    (store.folder / "notes").mkdir()
    (store.folder / "README.md").write_text("hello")
    shutil.copytree(store.folder / CONFIG.name, store.folder / f".{CONFIG.name}.part")
    assert [run.config.seed for run in store.scan()[0]] == [0, 1]


def test_a_store_that_is_not_there_is_empty(store):
    assert store.scan() == ([], []) and store.find(CONFIG) is None
    with pytest.raises(MissingRuns, match=f"{CONFIG.name} is not stored in {store.folder}"):
        store.load(CONFIG)
    assert not store.folder.exists()


# Found again


def test_the_id_finds_a_run_whose_label_was_another(store):
    store.save(CONFIG, outcome())
    old = store.folder / f"an-older-label-{CONFIG.id}"
    (store.folder / CONFIG.name).rename(old)
    assert store.find(CONFIG) == old
    assert load_or_train(CONFIG, never, store=store).folder == old
    run = load_or_train(CONFIG, Recipe(), store=store, keep="fp32")
    assert run.folder.name == CONFIG.name
    assert os.listdir(store.folder) == [CONFIG.name], "never two folders for one run"


def test_other_configurations_are_other_runs(store):
    store.save(CONFIG, outcome())
    for other in (replace(CONFIG, seed=1), replace(CONFIG, width=9)):
        assert store.find(other) is None


# load_or_train


def test_a_run_is_trained_once_then_loaded(store):
    recipe, seen = Recipe(), []
    first = load_or_train(CONFIG, recipe, store=store, on_epoch=seen.append, progress=False)
    assert recipe.calls == 1
    assert recipe.handed["checkpoint"] == store.scratch / CONFIG.id / "checkpoint.pt"
    assert recipe.handed["on_epoch"] == seen.append and recipe.handed["progress"] is False
    assert load_or_train(CONFIG, never, store=store) == first


def test_real_training_of_a_tiny_network(store):
    run = load_or_train(CONFIG, store=store, progress=False)
    assert run.metrics["status"] == "finished" and run.metrics["epochs"] == 1
    assert 0 < run.metrics["test_accuracy"] <= 1
    assert len(run.history["val_loss"]) == 1 and len(run.history["layers"]["weight_norm"]) == 2
    assert not (store.scratch / CONFIG.id).exists(), "the checkpoint of a finished run goes"
    assert load_or_train(CONFIG, never, store=store) == run
    for name in ("config.json", "history.json", "metrics.json"):
        strict(run.folder / name)


def test_a_recipe_that_fails_stores_nothing_and_keeps_its_checkpoint(store):
    def fails(config, *, checkpoint, **handed):
        checkpoint.parent.mkdir(parents=True)
        checkpoint.write_text("epoch 3")
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        load_or_train(CONFIG, fails, store=store)
    assert store.find(CONFIG) is None
    assert (store.scratch / CONFIG.id / "checkpoint.pt").read_text() == "epoch 3"
    load_or_train(CONFIG, Recipe(), store=store)  # the lock was given back
    assert not (store.scratch / CONFIG.id).exists()


def test_two_processes_train_a_run_once(store):
    code = """
import sys, time
from pathlib import Path
from labutils.config.classifier import RunConfig
from labutils.models.networks import build_model
from labutils.runs.load import load_or_train
from labutils.runs.store import Store
from labutils.training.classifiers import Outcome
root = Path(sys.argv[1])
def recipe(config, **handed):
    with (root / "trained").open("a") as file:
        file.write("once\\n")
    time.sleep(1)
    model = build_model(config, (1, 28, 28), 10)
    return Outcome(model, {"val_loss": [1.0]}, {"status": "finished"})
(root / f"ready{sys.argv[2]}").touch()
while len(list(root.glob("ready*"))) < 2:
    time.sleep(0.01)
config = RunConfig(data="digits", depth=2, width=8, epochs=1)
run = load_or_train(config, recipe, store=Store(root / "trained_models", root / "build" / "runs"))
print(run.metrics["status"])
"""
    processes = [python(code, store.folder.parent, i) for i in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        assert out == "finished\n"
    assert (store.folder.parent / "trained").read_text() == "once\n"
    assert os.listdir(store.folder) == [CONFIG.name]


def test_a_killed_run_goes_on_to_the_numbers_of_an_unbroken_one(store, tmp_path):
    code = """
import os, signal, sys
from pathlib import Path
import torch
from labutils.config.classifier import RunConfig
from labutils.runs.load import load_or_train
from labutils.runs.store import Store
torch.set_num_threads(1)  # as here: with more, sums are taken in another order
root = Path(sys.argv[1])
def die(epoch, scalars):
    if epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)
config = RunConfig(data="digits", depth=2, width=8, epochs=3, crop_padding=1)
store = Store(root / "trained_models", root / "build" / "runs")
load_or_train(config, store=store, on_epoch=die, progress=False)
"""
    process = python(code, tmp_path)
    _, err = process.communicate(timeout=200)
    assert process.returncode == -signal.SIGKILL, err
    config = replace(CONFIG, epochs=3, crop_padding=1)
    assert store.find(config) is None
    assert (store.scratch / config.id / "checkpoint.pt").exists()

    epochs = []
    resumed = load_or_train(
        config, store=store, on_epoch=lambda epoch, scalars: epochs.append(epoch), progress=False
    )
    assert epochs == [3], "epochs 1 and 2 are not trained again"
    assert not (store.scratch / config.id).exists()
    unbroken = Store(tmp_path / "other", tmp_path / "scratch")
    whole = load_or_train(config, store=unbroken, progress=False)
    timings = {"seconds", "test_seconds"}
    for name in ("history", "metrics"):
        one, other = getattr(resumed, name), getattr(whole, name)
        assert one.keys() == other.keys()
        assert {k: one[k] for k in one.keys() - timings} == {
            k: other[k] for k in other.keys() - timings
        }, "the same weights too: their digest is among the metrics"


# Without the right to write, or to read


def everything_in(folder):
    return {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


def test_a_stored_run_is_read_without_writing_anything(store, tmp_path):
    run = store.save(CONFIG, outcome(), "fp32")
    load_or_measure(run, "lesion", {}, lambda: 1)
    before = everything_in(tmp_path)
    assert load_or_train(CONFIG, never, store=store, keep="fp16").model()
    assert load_or_measure(run, "lesion", {}, lambda: 2) == 1
    assert everything_in(tmp_path) == before


@pytest.fixture(params=["trained_models", "build"])
def read_only(request, store, monkeypatch):
    """A folder in which nothing can be written; root, who runs some tests, could write anywhere."""
    folder = store.folder.parent / request.param
    folder.mkdir()
    mkdir, access = Path.mkdir, os.access

    def refuse(path, *arguments, **options):
        if path.is_relative_to(folder) and not path.exists():
            raise PermissionError(13, "Permission denied", str(path))
        mkdir(path, *arguments, **options)

    def may(path, mode):
        return not Path(path).is_relative_to(folder) and access(path, mode)

    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(os, "access", may)
    return folder


def test_nothing_is_trained_that_could_not_be_stored(store, read_only):
    with pytest.raises(Unwritable, match="cannot be written .Permission denied.* a copy") as caught:
        load_or_train(CONFIG, never, store=store)
    assert str(read_only) in str(caught.value)
    assert "delete" not in str(caught.value)


def test_a_measure_that_cannot_be_written_is_not_begun(store):
    run = store.save(CONFIG, outcome())
    (run.folder / "measures").write_text("a file in place of the folder")
    with pytest.raises(Unwritable, match="cannot be written") as caught:
        load_or_measure(run, "lesion", {}, never)
    assert str(run.folder / "measures") in str(caught.value)
    assert "delete" not in str(caught.value)


@pytest.mark.parametrize("name", [*FILES, "weights.safetensors", "measures"])
def test_a_file_that_may_not_be_read_is_not_called_damaged(store, monkeypatch, name):
    run = store.save(CONFIG, outcome(), "fp32")
    load_or_measure(run, "lesion", {}, lambda: 1)
    opened = Path.open

    def refuse(path, *arguments, **options):
        if name in (path.name, path.parent.name):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(RunError, match="cannot be read .*have the right") as caught:
        store.load(CONFIG).model()
        load_or_measure(run, "lesion", {}, lambda: 2)
    message = str(caught.value)
    assert name in message and "damaged" not in message and "delete" not in message


# Weights


@pytest.mark.parametrize("model", ["mlp", "resnet"])
def test_the_trained_model_comes_back_without_its_data(store, model, monkeypatch):
    if model == "mlp":
        config, trained = CONFIG, None
        trained = train(config, progress=False)
    else:
        config = RunConfig(data="shapes10", model="resnet", depth=8, width=4)
        network = build_model(config, (3, 32, 32), 10, tuple(x.expand(3) for x in STATISTICS))
        network(torch.randint(256, (8, 3, 32, 32)).byte())  # batch norm has seen something
        trained = Outcome(network.eval(), {}, METRICS)
    channels, size = (1, 28) if model == "mlp" else (3, 32)
    images = torch.randint(256, (16, channels, size, size), generator=torch.Generator()).byte()
    expected = trained.model(images)

    monkeypatch.setattr(data, "load", None)
    single = store.save(config, trained, "fp32").model()
    assert not single.training
    assert torch.equal(single(images), expected)
    half = store.save(config, trained, "fp16")
    kept = load_file(half.folder / "weights.safetensors").values()
    assert {value.dtype for value in kept} <= {torch.float16, torch.int64}
    logits = half.model()(images)
    assert logits.dtype == torch.float32
    assert (logits - expected).abs().max() < 0.01 * expected.abs().max()
    assert half.metrics["weights_sha256"] == weights_digest(trained.model.state_dict())
    assert not store.save(config, trained, "none").has_weights


def test_a_run_without_weights_says_how_to_have_them(store):
    run = store.save(CONFIG, outcome())
    assert not run.has_weights
    with pytest.raises(RunError, match=f"{CONFIG.name} keeps no weights.*--keep fp32"):
        run.model()


def test_weights_that_are_asked_for_later_are_trained_for(store):
    load_or_train(CONFIG, Recipe(), store=store)
    again = Recipe()
    assert load_or_train(CONFIG, again, store=store, keep="fp16").has_weights
    assert again.calls == 1
    for keep in ("none", "fp16", "fp32"):
        assert load_or_train(CONFIG, never, store=store, keep=keep).has_weights


def test_weights_may_be_read_by_others(store):
    """safetensors' own writer would shut them out of a shared folder."""
    old = os.umask(0o022)
    try:
        run = store.save(CONFIG, outcome(), "fp32")
    finally:
        os.umask(old)
    modes = {path.name: path.stat().st_mode & 0o777 for path in run.folder.iterdir()}
    assert set(modes.values()) == {0o644}, modes


def test_weights_digest_sees_every_tensor():
    model = build_model(replace(CONFIG, model="resnet", depth=8, width=4), (1, 28, 28), 10)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    digests = {weights_digest(weights)}
    assert weights_digest(dict(reversed(weights.items()))) in digests, "the order says nothing"
    for name, value in weights.items():
        changed = value.clone()
        changed.view(-1)[-1] += 1
        digests.add(weights_digest(weights | {name: changed}))
    assert len(digests) == 1 + len(weights)
    first, *_, last = weights
    renamed = {("other" if name == first else name): value for name, value in weights.items()}
    assert weights_digest(renamed) not in digests
    strided = weights | {last: torch.stack([weights[last]] * 2, -1)[..., 0]}
    assert weights_digest(strided) in digests, "only values count, not their layout"


# Damages


def without_checksums(run):
    """The run as an older version stored it."""
    (run.folder / "SHA256SUMS").unlink()
    return run


def damaged(path, how):
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        other = {"truncated": content[:-20], "garbage": b"<<<<<<< HEAD\n", "list": b"[]"}
        path.write_bytes(other[how])


@pytest.mark.parametrize("how", ["missing", "truncated", "garbage", "list"])
@pytest.mark.parametrize("name", FILES[1:])
def test_a_damaged_file_is_named_with_what_to_do(store, name, how):
    run = store.save(CONFIG, outcome())
    damaged(run.folder / name, how)
    with pytest.raises(RunError, match="missing or damaged") as caught:
        store.load(CONFIG)
    message = str(caught.value)
    assert str(run.folder / name) in message and "delete the folder and train" in message
    assert "checkout" not in message, "this folder is in no repository"
    with pytest.raises(RunError):
        load_or_train(CONFIG, never, store=store)
    shutil.rmtree(run.folder)
    assert load_or_train(CONFIG, Recipe(), store=store), "the remedy helps"


@pytest.mark.parametrize(
    "change, words",
    [
        ({"kind": "poem"}, "poem"),
        ({"recipe": 99}, "recipe 99"),
        ({"depht": 4}, "depht"),
        ({"optimizer": "magic"}, "magic"),
        ({"seed": 5}, "that of run"),
    ],
)
def test_a_configuration_that_is_not_this_runs_is_named(store, change, words):
    path = without_checksums(store.save(CONFIG, outcome())).folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RunError, match=words) as caught:
        store.load(CONFIG)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        json.dumps(METRICS),
        json.dumps(METRICS | {"weights_sha256": "", "epochs": "3"}),
        json.dumps(METRICS | {"weights_sha256": "", "seconds": 10**400}),
        '{"seconds": 1' + "0" * 5000 + "}",
    ],
    ids=["lists", "nested", "missing key", "type", "400 digits", "5000 digits"],
)
def test_metrics_of_an_older_version_are_looked_at(store, text):
    other = store.save(replace(CONFIG, seed=1), outcome())
    run = without_checksums(store.save(CONFIG, outcome()))
    assert store.load(CONFIG) == run
    (run.folder / "metrics.json").write_text(text)
    runs, unreadable = store.scan()
    assert runs == [other], "one that is damaged hides no other"
    assert [str(run.folder / "metrics.json") in str(error) for error in unreadable] == [True]


def test_a_folder_whose_name_is_that_of_another_run_is_named(store):
    run, other = store.save(CONFIG, outcome()), replace(CONFIG, seed=1)
    run.folder.rename(store.folder / other.name)
    with pytest.raises(RunError, match=f"it is that of run {CONFIG.id}"):
        store.load(other)


@pytest.mark.parametrize("run_id", ["*", "????????", "[0-9a-f]*", "../x", "", CONFIG.id[:7]])
def test_an_id_is_no_pattern(store, run_id):
    store.save(CONFIG, outcome())
    assert store.load_id(CONFIG.id).config == CONFIG
    with pytest.raises(MissingRuns):
        store.load_id(run_id)


@pytest.mark.parametrize("name", ["../lesion", "a/b", "", ".hidden", "a b", "*"])
def test_a_measure_stays_in_its_folder(store, name):
    run = store.save(CONFIG, outcome())
    with pytest.raises(RunError, match="letters, digits, - and _"):
        load_or_measure(run, name, {}, never)


def test_weights_of_another_run_are_refused(store):
    """Of the same layers, so that nothing but the checksum tells them from its own."""
    configs = [replace(CONFIG, seed=seed) for seed in range(2)]
    run, other = (store.save(config, outcome(config), "fp16") for config in configs)
    shutil.copy(other.folder / "weights.safetensors", run.folder)
    with pytest.raises(RunError, match="weights.safetensors .*not what SHA256SUMS says"):
        run.model()
    assert other.model()


def test_weights_without_a_checksum_are_refused(store):
    run = without_checksums(store.save(CONFIG, outcome(), "fp32"))
    assert store.load(CONFIG).has_weights
    with pytest.raises(RunError, match="weights.safetensors .*SHA256SUMS.* is missing"):
        run.model()


def test_the_checksums_are_those_that_the_program_of_this_name_reads(store):
    folder = store.save(CONFIG, outcome(), "fp32").folder
    if program := shutil.which("sha256sum"):
        subprocess.run([program, "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True)
    lines = dict(
        line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().split("\n")[:-1]
    )
    assert lines == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != "SHA256SUMS"
    }


@pytest.mark.parametrize("how", ["truncated", "pointer", "other layers"])
def test_damaged_weights_are_named(store, how):
    run = store.save(CONFIG, outcome(), "fp32")
    path = run.folder / "weights.safetensors"
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-8])
    elif how == "pointer":
        path.write_text("version https://git-lfs.github.com/spec/v1\n")
    else:
        save_file({"head.weight": torch.zeros(3)}, path)
    with pytest.raises(RunError, match="missing or damaged.*delete the folder") as caught:
        run.model()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", [*FILES, "weights.safetensors", "measures"])
def test_the_git_command_of_the_message_restores_the_file(tmp_path, monkeypatch, name):
    def git(*arguments):
        author = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *author, *arguments], cwd=tmp_path, check=True, capture_output=True)

    monkeypatch.setattr("labutils.config.profiles.ROOT", tmp_path)
    store = default_store()
    assert store.folder == tmp_path / "trained_models"
    run = store.save(CONFIG, outcome(), "fp32")
    load_or_measure(run, "lesion", {}, lambda: 1)

    def use():
        store.load(CONFIG).model()
        return load_or_measure(run, "lesion", {}, lambda: 2)

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "runs")
    path = next(run.folder.glob("measures/*")) if name == "measures" else run.folder / name
    path.write_text("broken")
    with pytest.raises(RunError) as caught:
        use()
    command, folder = re.search("`git (.*)` in (.*), or ", str(caught.value)).groups()
    assert folder == str(tmp_path)
    git(*command.split())
    assert use() == 1


def test_the_quick_profile_has_nothing_in_git(tmp_path, monkeypatch):
    monkeypatch.setattr("labutils.config.profiles.ROOT", tmp_path)
    store = Store.of(profile("quick"))
    run = store.save(CONFIG, outcome())
    (run.folder / "metrics.json").unlink()
    with pytest.raises(RunError, match="metrics.json is missing.*delete the folder") as caught:
        store.load(CONFIG)
    assert "checkout" not in str(caught.value)


# load_or_measure


class Measure:
    def __init__(self, *results):
        self.results, self.calls = list(results), 0

    def __call__(self):
        self.calls += 1
        return self.results.pop(0)


def test_a_measure_is_made_once_for_its_arguments(store):
    run = store.save(CONFIG, outcome())
    measure = Measure([1, 2], {"a": 0.5})
    for _ in range(2):
        assert load_or_measure(run, "lesion", {"layer": 1, "images": 500}, measure) == [1, 2]
        assert load_or_measure(run, "lesion", {"images": 500, "layer": 1}, measure) == [1, 2]
    assert measure.calls == 1
    for _ in range(2):
        assert load_or_measure(run, "lesion", {"layer": 2, "images": 500}, measure) == {"a": 0.5}
    assert measure.calls == 2
    files = sorted((run.folder / "measures").iterdir())
    assert len(files) == 2
    assert all(re.fullmatch(r"lesion-[0-9a-f]{8}\.json", path.name) for path in files)
    stored = [strict(path) for path in files]
    assert {"layer": 1, "images": 500} in [value["arguments"] for value in stored]
    assert {value["weights"] for value in stored} == {run.metrics["weights_sha256"]}


def test_a_measure_belongs_to_its_name_and_to_its_weights(store):
    run = store.save(CONFIG, outcome())
    assert load_or_measure(run, "lesion", {}, Measure(1)) == 1
    assert load_or_measure(run, "localisation", {}, Measure(2)) == 2
    other = replace(run, metrics=run.metrics | {"weights_sha256": "0" * 64})
    assert load_or_measure(other, "lesion", {}, Measure(3)) == 3
    assert load_or_measure(run, "lesion", {}, Measure()) == 1


def test_a_measure_is_the_same_when_made_and_when_read(store):
    run = store.save(CONFIG, outcome())
    made = {"curve": (0.1, float("nan"), 1 / 3), 7: None}
    first = load_or_measure(run, "curve", {}, Measure(made))
    assert first == load_or_measure(run, "curve", {}, Measure())
    assert first == {"curve": [0.1, None, 1 / 3], "7": None}
    strict(next((run.folder / "measures").iterdir()))


@pytest.mark.parametrize("text", ["", '{"arguments"', "[1]", "{}", "[" * 100_000])
def test_a_damaged_measure_is_named(store, text):
    run = store.save(CONFIG, outcome())
    load_or_measure(run, "lesion", {}, Measure(1))
    path = next((run.folder / "measures").iterdir())
    path.write_text(text)
    with pytest.raises(RunError, match="damaged.*delete it and it is measured again") as caught:
        load_or_measure(run, "lesion", {}, Measure())
    assert str(path) in str(caught.value)
    path.unlink()
    assert load_or_measure(run, "lesion", {}, Measure(3)) == 3


def test_a_measure_of_something_else_is_named(store):
    run = store.save(CONFIG, outcome())
    for images in (1, 2):
        load_or_measure(run, "lesion", {"images": images}, Measure(images))
    first, second = sorted((run.folder / "measures").iterdir())
    shutil.copy(first, second)
    with pytest.raises(RunError, match="measure of something else.*delete it"):
        for images in (1, 2):
            load_or_measure(run, "lesion", {"images": images}, never)


def test_a_measure_of_an_older_version_has_no_digest(store):
    run = store.save(CONFIG, outcome())
    for _ in range(2):
        assert load_or_measure(run, "lesion", {2: (1, None), 10: {}}, Measure(1)) == 1
    path = next((run.folder / "measures").iterdir())
    stored = json.loads(path.read_text())
    assert stored.pop("sha256")
    path.write_text(json.dumps(stored))
    assert load_or_measure(run, "lesion", {2: (1, None), 10: {}}, Measure()) == 1


@pytest.mark.parametrize("seed", [0, 1], ids=["the same weights", "other weights"])
def test_a_run_that_is_trained_again_keeps_the_measures_of_its_weights(store, seed):
    run = store.save(CONFIG, outcome())
    load_or_measure(run, "lesion", {}, Measure(1))
    again = outcome(replace(CONFIG, seed=seed))
    gone = pytest.warns(UserWarning, match=f"{CONFIG.name} was trained again.*the 1 measures")
    with gone if seed else contextlib.nullcontext():
        run = store.save(CONFIG, again, "fp32")
    assert load_or_measure(run, "lesion", {}, Measure(2)) == (2 if seed else 1)


def test_a_measure_that_is_no_json_is_refused_and_not_stored(store):
    run = store.save(CONFIG, outcome())
    with pytest.raises(TypeError, match="not JSON serializable"):
        load_or_measure(run, "lesion", {}, lambda: torch.zeros(2))
    assert os.listdir(run.folder / "measures") == []


# Stores


@pytest.mark.parametrize("name", ["full", "quick"])
def test_the_default_store_is_that_of_the_profile(name, monkeypatch):
    monkeypatch.setenv("LAB_PROFILE", name)
    which = profile(name)
    assert default_store() == Store(which.runs, which.scratch)
