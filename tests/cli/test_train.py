"""`train`: what it stores and says, resumes and logs."""

from __future__ import annotations

import re
import signal
import subprocess
import time

import pytest
import torch
from command_line import SHORT, TRAIN_SHORT, start
from filelock import FileLock

from labutils.cli import train as command
from labutils.cli.loggers import LoggerError
from labutils.cli.main import main
from labutils.config.classifier import RunConfig
from labutils.runs.load import load_or_train
from labutils.runs.store import RunError

SLOW = """
import contextlib, time, types, labutils.cli.train
logger = types.SimpleNamespace(log=lambda *_: time.sleep(0.5))
labutils.cli.train.open_loggers = lambda *_, **__: contextlib.nullcontext(logger)
"""


def test_train_stores_the_run_and_says_how_it_went(capsys, store):
    assert main(TRAIN_SHORT) == 0
    run = store.load(SHORT)
    line = capsys.readouterr().out.strip()
    assert line.startswith(f"{run.folder}: finished after 2 epochs; validation loss ")
    assert f"test loss {run.metrics['test_loss']:.4f}, " in line
    assert f"accuracy {100 * run.metrics['test_accuracy']:.2f} %" in line
    assert line.endswith("(trained from the beginning)")
    assert not run.has_weights


def test_a_stored_run_is_not_trained_again(capsys, store, no_training):
    load_or_train(SHORT, store=store, progress=False)
    no_training()
    assert main(TRAIN_SHORT) == 0
    assert "(it was stored already, nothing was trained)" in capsys.readouterr().out


def test_a_run_that_is_stored_without_weights_is_trained_for_them(capsys, store):
    load_or_train(SHORT, store=store, progress=False)
    assert main([*TRAIN_SHORT, "--keep", "fp16"]) == 0
    assert "(trained from the beginning)" in capsys.readouterr().out
    assert store.load(SHORT).has_weights


def test_options_become_the_configuration(monkeypatch):
    """In the quick profile too, the data set is the one that is named."""
    monkeypatch.setenv("LAB_PROFILE", "quick")
    given = []

    def note(config, *_, **__):
        given.append(config)
        raise RunError("enough")

    monkeypatch.setattr("labutils.runs.load.load_or_train", note)
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

    monkeypatch.setattr(command, "open_loggers", open_loggers)
    assert main([*TRAIN_SHORT, "--log", "tensorboard", "wandb-offline"]) == 0
    [(names, options)] = opened
    assert names == ("tensorboard", "wandb-offline")
    assert options == {
        "run_name": SHORT.name,
        "config": SHORT.to_dict(),
        "folder": root / "build" / "logs",
        "first_epoch": 0,
    }
    assert [epoch for epoch, _ in logged] == [1, 2]
    assert "val_loss" in logged[0][1]


def test_a_logger_that_cannot_start_is_explained(capsys, monkeypatch, store):
    def open_loggers(names, **_):
        raise LoggerError("tensorboard is not installed")

    monkeypatch.setattr(command, "open_loggers", open_loggers)
    assert main([*TRAIN_SHORT, "--log", "tensorboard"]) == 1
    assert capsys.readouterr().err == "tensorboard is not installed\n"
    assert store.find(SHORT) is None


def test_a_word_while_another_process_trains(store, root):
    store.scratch.mkdir(parents=True)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with FileLock(store.scratch / f"{SHORT.id}.lock") as lock:
        with start(*TRAIN_SHORT, root=root, **pipes) as process:
            said = process.stderr.readline()
            lock.release()
            process.communicate(timeout=120)
    assert said == f"{SHORT.name} is trained by another process: waiting for it.\n"
    assert process.returncode == 0 and store.find(SHORT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_goes_on(capsys, root, store, monkeypatch, number):
    config = RunConfig(data="digits", depth=2, width=8, epochs=20)
    arguments = "train --data digits --depth 2 --width 8 --epochs 20".split()
    checkpoint = store.scratch / config.id / "checkpoint.pt"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with start(*arguments, root=root, patch=SLOW, **pipes) as process:
        while not checkpoint.exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(number)
        said, complained = process.communicate(timeout=60)
    assert process.returncode == 130, complained
    assert "Interrupted; nothing is broken. Give the same command again" in complained
    assert "Traceback" not in complained and said == ""
    assert store.find(config) is None

    opened = []
    open_loggers = command.open_loggers

    def note(names, **options):
        opened.append(options["first_epoch"])
        return open_loggers(names, **options)

    monkeypatch.setattr(command, "open_loggers", note)
    assert main(arguments) == 0
    resumed = re.search(r"\(resumed after epoch (\d+)\)", capsys.readouterr().out)
    assert 1 <= int(resumed[1]) < 20
    assert opened == [int(resumed[1]) + 1]
    assert store.load(config).metrics["epochs"] == 20
    assert not checkpoint.exists()


def test_a_checkpoint_that_is_damaged_counts_no_epochs(capsys, store):
    checkpoint = store.scratch / SHORT.id / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True)
    torch.save({"weights": torch.zeros(1_000)}, checkpoint)
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    with pytest.warns(UserWarning, match="training starts from the beginning"):
        assert main(TRAIN_SHORT) == 0
    assert "(trained from the beginning)" in capsys.readouterr().out


def test_a_file_that_is_no_checkpoint_is_left_alone(capsys, store):
    checkpoint = store.scratch / SHORT.id / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"my notes")
    assert main(TRAIN_SHORT) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"{checkpoint} is no checkpoint") and not said.out
    assert checkpoint.read_bytes() == b"my notes" and store.find(SHORT) is None
