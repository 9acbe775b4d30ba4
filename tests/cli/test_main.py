"""The command line: what it says, what it stores, and how it ends."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from safetensors.numpy import save_file

import labutils.cli.main as command_line
from labutils import data, experiments, profiles, runs, sweep, training
from labutils.cli.loggers import LoggerError
from labutils.config.classifier import FAMILIES, RunConfig
from labutils.config.fcn import FCNConfig
from labutils.fcn.networks import classifier_config
from labutils.report.detector.experiments import BEST_HEAD
from labutils.report.notebooks import main

REPOSITORY = Path(__file__).resolve().parents[2]
COMMANDS = ("train", "sweep", "runs", "data", "detect", "describe")
SHORT = RunConfig(data="digits", depth=2, width=8, epochs=2)
TRAIN_SHORT = "train --data digits --depth 2 --width 8 --epochs 2".split()


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch) -> Path:
    """A repository of the test's own; what it stores is that of the quick profile."""
    monkeypatch.setattr(profiles, "ROOT", tmp_path)
    monkeypatch.setenv("LAB_PROFILE", "quick")
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture
def store(root) -> runs.Store:
    return runs.default_store()


@pytest.fixture
def tiny(monkeypatch) -> list[RunConfig]:
    """An experiment of two runs."""
    configs = [SHORT, RunConfig(data="digits", depth=2, width=16, epochs=2)]
    monkeypatch.setitem(experiments.EXPERIMENTS, "tiny", lambda which: configs)
    return configs


def forbid_training(monkeypatch) -> None:
    def refuse(*_, **__):
        raise AssertionError("trained")

    monkeypatch.setattr(training, "train", refuse)


def usage_error(capsys, *arguments: str) -> str:
    """What the command line says to arguments that it cannot understand."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    return plain(capsys.readouterr().err)


@functools.cache
def help_of(*command: str) -> str:
    page = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(page), pytest.raises(SystemExit) as end:
        main([*command, "-h"])
    assert end.value.code == 0
    page.seek(0)
    return page.read()


def plain(text: str) -> str:
    """The words of a help page, without its boxes and line breaks."""
    return " ".join(re.sub("[╭╮╰╯─│]", " ", text).split())


SLOW = """
import contextlib, time, types, labutils.cli.main
logger = types.SimpleNamespace(log=lambda *_: time.sleep(0.5))
labutils.cli.main.open_loggers = lambda *_, **__: contextlib.nullcontext(logger)
"""


def start(*arguments: str, root: Path, patch: str = "", **options) -> subprocess.Popen:
    """The command line as a process of its own, in a repository of its own."""
    code = (
        # a shell that started the tests in the background has made Ctrl-C ignored
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import sys; from pathlib import Path; from labutils.config import profiles\n"
        f"profiles.ROOT = Path({str(root)!r})\n"
        f"{patch}\n"
        "from labutils.cli.main import main; sys.exit(main())"
    )
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.Popen(command, cwd=REPOSITORY, text=True, **options)


# Help


def test_help_names_every_command():
    assert all(re.search(rf"• {command} +[A-Z]", help_of()) for command in COMMANDS)


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_is_readable(command):
    page = help_of(*command)
    assert max(map(len, page.splitlines())) <= 80
    assert "\x1b" not in page
    assert not re.search(r"None|True|False|\(default: \)", page)


DEFAULTS = {
    "gradient_epochs": "none",
    "depth": ", ".join(f"{name} {FAMILIES[name].depth}" for name in ("mlp", "convnet", "resnet")),
    "width": ", ".join(f"{name} {FAMILIES[name].width}" for name in ("mlp", "convnet", "resnet")),
    "norm": "batch for cnn and resnet",
    "dropout": f"{FAMILIES['cnn'].dropout} for cnn, 0 for the rest",
    "patience": "never",
}


@pytest.mark.parametrize("field", fields(RunConfig), ids=lambda field: field.name)
def test_every_option_of_a_run_is_explained_with_its_default(field):
    option = "--" + field.name.replace("_", "-")
    page = plain(help_of("train"))
    found = re.search(rf"{option} (\S+ )?([A-Za-z].+?) \(default: (.+?)\)( --|$| training)", page)
    assert found, f"{option} is not explained"
    plainly = "off" if field.default is False else str(field.default)
    assert found[3] == DEFAULTS.get(field.name, plainly)


def test_help_names_the_experiments():
    assert all(name in plain(help_of("sweep")) for name in experiments.EXPERIMENTS)


def test_help_comes_without_torch(root):
    code = (
        "import sys; from labutils.cli.main import main\n"
        "for command in ([], ['train'], ['data']):\n"
        "    try: main([*command, '-h'])\n"
        "    except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_keep_is_what_runs_knows():
    assert command_line.Keep == runs.Keep


# Arguments that cannot be understood, and errors


def test_a_misspelt_option_is_corrected(capsys):
    assert "Perhaps you meant: --depth INT" in usage_error(capsys, "train", "--deth", "5")


@pytest.mark.parametrize(
    ("arguments", "choices"),
    [
        ("", COMMANDS),
        ("trian", COMMANDS),
        ("train --model vgg", FAMILIES),
        ("train --data imagenet", data.SPECS),
        ("train --keep int8", ("none", "fp32", "fp16")),
        ("train --log comet", ("tensorboard", "wandb", "wandb-offline")),
        ("sweep mnist-dept", experiments.EXPERIMENTS),
        ("data imagenet", data.SPECS),
        ("runs --model vgg", FAMILIES),
    ],
)
def test_an_unknown_name_lists_the_choices(capsys, arguments, choices):
    message = usage_error(capsys, *arguments.split())
    assert all(choice in message for choice in choices)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["sweep"], "Name an experiment: mnist-width, "), (["sweep", "--jobs", "0", "tiny"], "jobs")],
)
def test_sweep_says_what_it_lacks(capsys, tiny, arguments, message):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_configuration_that_cannot_be_run_is_explained(capsys):
    assert main(["train", "--depth", "5"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("depth 5 is not 2 + 2 x blocks for mlp")
    assert said.err.count("\n") == 1 and not said.out


@pytest.mark.parametrize("command", ["train", "sweep mnist-depth", "runs"])
def test_an_unknown_profile_is_explained(capsys, monkeypatch, command):
    monkeypatch.setenv("LAB_PROFILE", "fast")
    assert main(command.split()) == 1
    assert capsys.readouterr().err == (
        "LAB_PROFILE is 'fast': set it to full (the default) or quick\n"
    )


@pytest.mark.parametrize(
    "error",
    [
        data.DataError("no network"),
        runs.RunError("damaged"),
        training.TrainingError("no images"),
        PermissionError(13, "Permission denied", "/trained_models"),
    ],
)
def test_an_error_is_its_message_alone(capsys, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(runs, "load_or_train", fail)
    assert main(TRAIN_SHORT) == 1
    assert capsys.readouterr().err == f"{error}\n"


def test_a_mistake_in_the_program_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(runs, "load_or_train", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(TRAIN_SHORT)


def test_a_closed_pipe_is_no_error(root):
    reader, writer = os.pipe()
    os.close(reader)
    with start("runs", "-h", root=root, stdout=writer, stderr=subprocess.PIPE) as process:
        os.close(writer)
        assert (process.stderr.read(), process.wait()) == ("", 141)


# train


def test_train_stores_the_run_and_says_how_it_went(capsys, store):
    assert main(TRAIN_SHORT) == 0
    run = store.load(SHORT)
    line = capsys.readouterr().out.strip()
    assert line.startswith(f"{run.folder}: finished after 2 epochs; validation loss ")
    assert f"test loss {run.metrics['test_loss']:.4f}, " in line
    assert f"accuracy {100 * run.metrics['test_accuracy']:.2f} %" in line
    assert line.endswith("(trained from the beginning)")
    assert not run.has_weights


def test_a_stored_run_is_not_trained_again(capsys, store, monkeypatch):
    runs.load_or_train(SHORT, store=store, progress=False)
    forbid_training(monkeypatch)
    assert main(TRAIN_SHORT) == 0
    assert "(it was stored already, nothing was trained)" in capsys.readouterr().out


def test_a_run_that_is_stored_without_weights_is_trained_for_them(capsys, store):
    runs.load_or_train(SHORT, store=store, progress=False)
    assert main([*TRAIN_SHORT, "--keep", "fp16"]) == 0
    assert "(trained from the beginning)" in capsys.readouterr().out
    assert store.load(SHORT).has_weights


def test_options_become_the_configuration(monkeypatch):
    """In the quick profile too, the data set is the one that is named."""
    given = []

    def note(config, *_, **__):
        given.append(config)
        raise runs.RunError("enough")

    monkeypatch.setattr(runs, "load_or_train", note)
    main(["train"])
    main("train --data mnist --model resnet --depth 14 --residual --patience 3 --flip".split())
    main("train --model cnn --norm none --learning-rate 1 --optimizer sgd --dropout 0".split())
    assert given == [
        RunConfig(),
        RunConfig(model="resnet", depth=14, residual=True, patience=3, flip=True),
        RunConfig(model="cnn", norm="none", learning_rate=1.0, optimizer="sgd", dropout=0.0),
    ]


def test_a_diverged_run_is_a_result(capsys, store):
    assert main([*TRAIN_SHORT, "--optimizer", "sgd", "--learning-rate", "1e30"]) == 0
    assert "diverged in epoch 1, weights of epoch 0; validation loss" in capsys.readouterr().out


def test_a_run_that_stops_early_says_so(capsys):
    arguments = "--patience 1 --learning-rate 0.2 --epochs 60".split()
    assert main([*TRAIN_SHORT, *arguments]) == 0
    assert re.search(r"stopped early after \d+ epochs, the best is \d+; ", capsys.readouterr().out)


def test_loggers_are_opened_for_a_training(monkeypatch, root):
    opened, logged = [], []

    class Recorder:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def log(self, epoch, scalars):
            logged.append((epoch, sorted(scalars)))

    def open_loggers(names, **options):
        opened.append((names, options))
        return Recorder()

    monkeypatch.setattr(command_line, "open_loggers", open_loggers)
    assert main([*TRAIN_SHORT, "--log", "tensorboard", "wandb-offline"]) == 0
    [(names, options)] = opened
    assert names == ("tensorboard", "wandb-offline")
    assert options == {
        "run_name": SHORT.name,
        "config": SHORT.to_dict(),
        "folder": root / "build" / "quick" / "logs",
        "first_epoch": 0,
    }
    assert [epoch for epoch, _ in logged] == [1, 2]
    assert "val_loss" in logged[0][1]


def test_a_logger_that_cannot_start_is_explained(capsys, monkeypatch, store):
    def open_loggers(names, **_):
        raise LoggerError("tensorboard is not installed")

    monkeypatch.setattr(command_line, "open_loggers", open_loggers)
    assert main([*TRAIN_SHORT, "--log", "tensorboard"]) == 1
    assert capsys.readouterr().err == "tensorboard is not installed\n"
    assert store.find(SHORT) is None


def test_an_interrupted_training_goes_on(capsys, root, store, monkeypatch):
    config = RunConfig(data="digits", depth=2, width=8, epochs=20)
    arguments = "train --data digits --depth 2 --width 8 --epochs 20".split()
    checkpoint = store.scratch / config.id / "checkpoint.pt"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with start(*arguments, root=root, patch=SLOW, **pipes) as process:
        while not checkpoint.exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said, complained = process.communicate(timeout=60)
    assert process.returncode == 130, complained
    assert "Interrupted; nothing is broken. Give the same command again" in complained
    assert "Traceback" not in complained and said == ""
    assert store.find(config) is None

    opened = []
    open_loggers = command_line.open_loggers

    def note(names, **options):
        opened.append(options["first_epoch"])
        return open_loggers(names, **options)

    monkeypatch.setattr(command_line, "open_loggers", note)
    assert main(arguments) == 0
    resumed = re.search(r"\(resumed after epoch (\d+)\)", capsys.readouterr().out)
    assert 1 <= int(resumed[1]) < 20
    assert opened == [int(resumed[1]) + 1]
    assert store.load(config).metrics["epochs"] == 20
    assert not checkpoint.exists()


def test_a_checkpoint_that_is_damaged_counts_no_epochs(capsys, store):
    checkpoint = store.scratch / SHORT.id / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"half a file")
    with pytest.warns(UserWarning, match="training starts from the beginning"):
        assert main(TRAIN_SHORT) == 0
    assert "(trained from the beginning)" in capsys.readouterr().out


# sweep


def test_sweep_trains_what_is_missing(capsys, store, tiny, monkeypatch):
    runs.load_or_train(tiny[0], store=store, progress=False)
    assert main(["sweep", "--jobs", "1", "tiny"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("1 of 2 runs stored, 1 missing: about ")
    assert all(re.search(rf"^{config.name} +finished +2 ", said, re.M) for config in tiny)

    forbid_training(monkeypatch)
    assert main(["sweep", "tiny", "tiny"]) == 0
    assert capsys.readouterr().out.startswith("2 of 2 runs stored, 0 missing.\n")


def test_dry_run_lists_and_trains_nothing(capsys, store, tiny, monkeypatch):
    runs.load_or_train(tiny[0], store=store, progress=False)
    forbid_training(monkeypatch)
    assert main(["sweep", "tiny", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert re.search(rf"^{tiny[0].name} +stored +-$", said, re.M)
    assert re.search(rf"^{tiny[1].name} +missing +\d+ s$", said, re.M)
    assert "1 of 2 runs stored, 1 missing: about " in said

    assert main(["sweep", "tiny", "--dry-run", "--keep", "fp32"]) == 0
    assert "0 of 2 runs stored, 2 missing: about " in capsys.readouterr().out


def test_sweep_keeps_the_weights_that_later_exercises_load(capsys, store, tiny, monkeypatch):
    monkeypatch.setitem(experiments.EXPERIMENTS, "first", lambda which: tiny[:1])
    monkeypatch.setitem(experiments.KEEP, "first", "fp16")
    assert main(["sweep", "--jobs", "1", "--keep", "none", "tiny"]) == 0
    assert not store.load(tiny[0]).has_weights
    capsys.readouterr()
    assert main(["sweep", "--jobs", "1", "tiny"]) == 0  # one of them once more, for its weights
    assert "1 of 2 runs stored, 1 missing" in capsys.readouterr().out
    assert store.load(tiny[0]).has_weights and not store.load(tiny[1]).has_weights


@pytest.fixture
def detector(monkeypatch) -> FCNConfig:
    """An experiment of one detector, which starts from a classifier of another."""
    config = FCNConfig(head=BEST_HEAD, data="digits", width=4, canvases=20, size=40, epochs=1)
    config = replace(config, batch_size=10)
    source = replace(classifier_config(config), epochs=1)
    config = replace(config, classifier=source.id)
    monkeypatch.setitem(experiments.EXPERIMENTS, "detector-classifier", lambda which: [source])
    monkeypatch.setitem(experiments.EXPERIMENTS, "detector", lambda which: [config])
    return config


def test_sweep_trains_first_what_others_start_from(capsys, store, detector):
    assert main(["sweep", "--jobs", "1", "detector"]) == 0
    said = capsys.readouterr().out
    assert "0 of 2 runs stored, 2 missing" in said
    assert store.load(detector).has_weights and store.load_id(detector.classifier).has_weights


def test_what_others_start_from_keeps_its_weights_whatever_is_asked_for(store, detector):
    assert main(["sweep", "--jobs", "1", "--keep", "none", "detector"]) == 0
    assert store.load_id(detector.classifier).has_weights
    assert not store.load(detector).has_weights


def test_detect_reads_a_picture_with_the_stored_detector(capsys, store, detector, tmp_path):
    page = np.zeros((60, 90), np.uint8)
    page[10:38, 20:48] = data.load("digits").test.images[0, 0].numpy()
    PIL.Image.fromarray(page).save(tmp_path / "page.png")
    assert main(["detect", str(tmp_path / "page.png"), "--output", str(tmp_path / "out")]) == 0
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["page-digits.json", "page-digits.png"]
    assert "page.png: " in capsys.readouterr().out
    assert main(["detect", str(tmp_path / "gone.png"), "--output", str(tmp_path / "out")]) == 1
    assert "gone.png: there is no such file" in capsys.readouterr().err
    assert main(["detect"]) == 2
    assert "Name a picture" in capsys.readouterr().err


def test_sweep_uses_the_stand_ins_of_the_quick_profile(capsys):
    assert main(["sweep", "rescue", "convnet-head", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "digits-mlp" in said and "shapes10-convnet" in said
    assert "mnist" not in said and "cifar" not in said


def test_sweep_passes_its_options_on(monkeypatch, tiny, capsys):
    given = {}

    def run_sweep(configs, **options):
        given.update(options, configs=configs)
        raise sweep.SweepError("1 of 2 runs failed")

    monkeypatch.setattr(sweep, "run_sweep", run_sweep)
    options = "--jobs 3 --cluster tcp://localhost:8786 --keep fp16".split()
    assert main(["sweep", "tiny", *options]) == 1
    assert capsys.readouterr().err == "1 of 2 runs failed\n"
    assert given.pop("store") == runs.default_store()
    assert given == {
        "configs": tiny,
        "n_jobs": 3,
        "cluster": "tcp://localhost:8786",
        "keep": "fp16",
    }


# runs


def test_runs_says_that_nothing_is_stored(capsys, store):
    assert main(["runs"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"No run is stored in {store.folder}.")
    assert "python -m labutils sweep EXPERIMENT" in said


@pytest.fixture
def stored(store) -> list[runs.Run]:
    """Three runs, written without a training: finished, of convolutions, and diverged."""
    configs = [SHORT, RunConfig(data="cifar10", model="cnn"), RunConfig(data="digits", seed=7)]
    statuses = ("finished", "stopped_early", "diverged")
    outcomes = [
        {"status": status, "epochs": 2, "best_epoch": 1, "seconds": 3723.0}
        | dict.fromkeys(("val_loss", "val_accuracy", "test_loss"), 0.125)
        | {"test_accuracy": None if status == "diverged" else 0.975}
        for status in statuses
    ]
    for config, metrics in zip(configs, outcomes, strict=True):
        folder = store.folder / config.name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config.to_dict()))
        (folder / "history.json").write_text("{}")
        (folder / "metrics.json").write_text(json.dumps(metrics))
    (store.folder / configs[0].name / "weights.safetensors").write_bytes(bytes(2_340_000))
    (store.folder / ".mnist-mlp4-plain-s0-00000000.part1").mkdir()
    return [store.load(config) for config in configs]


def test_runs_lists_what_is_stored_by_name(capsys, stored):
    assert main(["runs"]) == 0
    head, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head == ["run", "status", "epochs", "val", "%", "test", "%", "time", "weights"]
    assert [row[0] for row in rows] == sorted(run.folder.name for run in stored)
    by_name = {name: rest for name, *rest in rows}
    finished, early, diverged = (by_name[run.folder.name] for run in stored)
    assert finished == ["finished", "2", "12.50", "97.50", "62", "min", "2.3", "MB"]
    assert early[0] == "stopped_early" and early[-1] == "-"
    assert diverged == ["diverged", "2", "12.50", "-", "62", "min", "-"]


def test_runs_can_be_chosen(capsys, stored):
    assert main("runs --data digits --model mlp".split()) == 0
    said = capsys.readouterr().out
    assert said.count("digits-mlp") == 2 and "cifar10" not in said
    assert main("runs --data shapes20".split()) == 0
    assert capsys.readouterr().out.startswith("None of the 3 runs in ")


@pytest.mark.parametrize("name", ["config", "history", "metrics"])
def test_a_damaged_run_is_named_and_the_others_listed(capsys, stored, name):
    path = stored[0].folder / f"{name}.json"
    path.write_text("{")
    assert main(["runs"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"{path} is missing or damaged")
    assert stored[0].folder.name not in said.out
    assert all(run.folder.name in said.out for run in stored[1:])


def test_a_run_without_its_configuration_is_damaged(capsys, stored):
    (stored[0].folder / "config.json").unlink()
    assert main(["runs"]) == 1
    assert "config.json is missing or damaged" in capsys.readouterr().err


# data, describe


@pytest.fixture
def small_mnist(monkeypatch, tmp_path) -> Path:
    """A data folder with an MNIST of sixty images."""
    monkeypatch.setitem(data.SPECS, "mnist", data.Spec(40, 20, (28, 28, 1), 2))
    monkeypatch.setenv("LAB_DATA", str(tmp_path))
    drawn = np.random.default_rng(0)
    arrays = {
        f"{part}_{key}": drawn.integers(high, size=shape, dtype=np.uint8)
        for part, count in (("train", 40), ("test", 20))
        for key, high, shape in (("images", 255, (count, 28, 28, 1)), ("labels", 2, (count,)))
    }
    path = tmp_path / "mnist.safetensors"
    save_file(arrays, path, {"class_names": '["no", "yes"]', "source": "drawn"})
    return path


def test_data_says_what_is_in_a_set(capsys, small_mnist):
    assert main(["data", "mnist", "digits"]) == 0
    said = capsys.readouterr().out
    assert f"mnist: {small_mnist}\n  images   36 training, 4 validation, 20 test\n" in said
    assert "classes  2: no, yes\n" in said
    mean, std = (float(re.search(rf"{name} +([\d.]+)\n", said)[1]) for name in ("mean", "std"))
    assert (mean, std) == pytest.approx((0.5, 0.29), abs=0.02)
    assert "digits: built in\n" in said
    assert "shape    1 x 28 x 28 (channels x height x width)\n" in said


def test_one_damaged_set_does_not_stop_the_others(capsys, small_mnist):
    small_mnist.write_bytes(small_mnist.read_bytes()[:-1])
    assert main(["data", "mnist", "digits"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"{small_mnist} cannot be read")
    assert said.err.count("\n") == 1
    assert said.out.startswith("digits: built in")


def test_data_means_the_real_sets_where_none_is_named(monkeypatch):
    asked = []

    def load(name):
        asked.append(name)
        raise data.DataError("no network")

    monkeypatch.setattr(data, "load", load)
    assert main(["data"]) == 1
    assert asked == ["mnist", "cifar10", "cifar100"]


def test_describe_shows_layers_and_totals(capsys):
    assert main("describe --data digits --depth 4 --width 10".split()) == 0
    head, *rows, total = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head == ["layer", "kind", "output", "parameters", "multiply-adds"]
    assert [row[1:] for row in rows] == [
        ["Linear", "10", "7,850", "7,840"],
        ["Linear", "10", "110", "100"],
        ["Linear", "10", "110", "100"],
        ["Linear", "10", "110", "100"],
    ]
    assert total == ["total", "8,180", "8,140"]
