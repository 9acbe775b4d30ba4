"""`sweep`: what is missing of experiments is listed, estimated and trained."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time

import pytest
from command_line import start

from labutils.cli.main import main
from labutils.report.experiments import EXPERIMENTS
from labutils.report.training import estimate_seconds
from labutils.runs.load import default_store, load_or_train
from labutils.runs.sweep import SweepError


def test_sweep_alone_lists_the_experiments(capsys):
    assert main(["sweep"]) == 2
    said = capsys.readouterr()
    head, *rows = said.out.splitlines()
    assert head.split() == ["experiment", "what", "it", "is", "runs"]
    for row, record in zip(rows, EXPERIMENTS.values(), strict=True):
        assert row.split()[0] == record.name and record.question in row
        assert int(row.split()[-1]) == len(record.grid())
    assert said.err.startswith("Name one of these experiments, or several.")


def test_jobs_are_neither_none_nor_hundreds(capsys, tiny):
    for jobs in ("0", "257"):
        assert main(["sweep", "--jobs", jobs, "tiny"]) == 2
        assert capsys.readouterr().err.startswith(f"--jobs is {jobs}: give 1 to 256.")


def test_sweep_trains_what_is_missing(capsys, store, tiny, no_training):
    load_or_train(tiny[0], store=store, progress=False)
    assert main(["sweep", "--jobs", "1", "tiny"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("1 of 2 runs stored, 1 missing: about ")
    assert all(re.search(rf"^{config.name} +finished +2 ", said, re.M) for config in tiny)

    no_training()
    assert main(["sweep", "tiny", "tiny"]) == 0
    assert capsys.readouterr().out.startswith("2 of 2 runs stored, 0 missing.\n")


def test_dry_run_lists_and_trains_nothing(capsys, store, tiny, no_training):
    load_or_train(tiny[0], store=store, progress=False)
    no_training()
    assert main(["sweep", "tiny", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert re.search(rf"^{tiny[0].name} +stored +-$", said, re.M)
    assert re.search(rf"^{tiny[1].name} +missing +\d+ s$", said, re.M)
    assert "1 of 2 runs stored, 1 missing: about " in said

    assert main(["sweep", "tiny", "--dry-run", "--keep", "fp32"]) == 0
    assert "0 of 2 runs stored, 2 missing: about " in capsys.readouterr().out


def test_sweep_keeps_the_weights_that_later_exercises_load(capsys, store, tiny, add_experiment):
    add_experiment("first", tiny[:1], keep="fp16")
    assert main(["sweep", "--jobs", "1", "--keep", "none", "tiny"]) == 0
    assert not store.load(tiny[0]).has_weights
    capsys.readouterr()
    assert main(["sweep", "--jobs", "1", "tiny"]) == 0  # one of them once more, for its weights
    assert "1 of 2 runs stored, 1 missing" in capsys.readouterr().out
    assert store.load(tiny[0]).has_weights and not store.load(tiny[1]).has_weights


def test_sweep_trains_first_what_others_start_from(capsys, store, small_detector):
    assert main(["sweep", "--jobs", "1", "detector"]) == 0
    said = capsys.readouterr().out
    assert "0 of 2 runs stored, 2 missing" in said
    assert (
        store.load(small_detector).has_weights
        and store.load_id(small_detector.classifier).has_weights
    )


def test_what_others_start_from_keeps_its_weights_whatever_is_asked_for(store, small_detector):
    assert main(["sweep", "--jobs", "1", "--keep", "none", "detector"]) == 0
    assert store.load_id(small_detector.classifier).has_weights
    assert not store.load(small_detector).has_weights


def test_sweep_uses_the_stand_ins_of_the_quick_profile(capsys, monkeypatch):
    monkeypatch.setenv("LAB_PROFILE", "quick")
    assert main(["sweep", "rescue", "convnet-head", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "digits-mlp" in said and "shapes10-convnet" in said
    assert "mnist" not in said and "cifar" not in said


def test_sweep_passes_its_options_on(monkeypatch, tiny, capsys):
    given = {}

    def run_sweep(configs, recipe, **options):
        given.update(options, configs=configs)
        raise SweepError("1 of 2 runs failed")

    monkeypatch.setattr("labutils.runs.sweep.run_sweep", run_sweep)
    options = "--jobs 3 --cluster tcp://localhost:8786 --keep fp16".split()
    assert main(["sweep", "tiny", *options]) == 1
    assert capsys.readouterr().err == "1 of 2 runs failed\n"
    assert given.pop("store") == default_store()
    assert given == {
        "configs": tiny,
        "seconds": estimate_seconds,
        "n_jobs": 3,
        "cluster": "tcp://localhost:8786",
        "keep": "fp16",
    }


TELLS_OF_WORKERS = """
import labutils.runs.sweep

class Parallel(labutils.runs.sweep.Parallel):
    def __call__(self, work):
        return told(super().__call__(work))

def told(found):
    print("workers start", flush=True)
    yield from found

labutils.runs.sweep.Parallel = Parallel
"""


@pytest.mark.slow
def test_ctrl_c_while_workers_start_is_one_message(root, monkeypatch):
    monkeypatch.setenv("LAB_PROFILE", "quick")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
    arguments = "sweep mnist-width --jobs 2".split()
    with start(*arguments, root=root, patch=TELLS_OF_WORKERS, **pipes) as process:
        while process.stdout.readline() not in ("workers start\n", ""):
            pass
        time.sleep(0.5)  # they import what they need, which takes longer
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
        _, complained = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Interrupted; nothing is broken." in complained and "Traceback" not in complained
    with contextlib.suppress(ProcessLookupError):  # none is left
        for _ in range(600):
            os.killpg(process.pid, 0)
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail("workers go on without their sweep")
