"""`runs`: what is stored, by experiment, data and model, and what is damaged."""

from __future__ import annotations

import json

import pytest
from command_line import REPOSITORY, SHORT

from labutils.cli.main import main
from labutils.config import profiles
from labutils.config.classifier import RunConfig
from labutils.config.profiles import profile
from labutils.report.experiments import configs
from labutils.runs.store import Run


def test_runs_says_that_nothing_is_stored(capsys, store):
    assert main(["runs"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"No run is stored in {store.folder}.")
    assert "python -m labutils sweep EXPERIMENT" in said


@pytest.fixture
def stored(store) -> list[Run]:
    """Three runs, written without a training: finished, of convolutions, and diverged."""
    configs = [SHORT, RunConfig(data="cifar10", model="cnn"), RunConfig(data="digits", seed=7)]
    statuses = ("finished", "stopped_early", "diverged")
    outcomes = [
        {"status": status, "epochs": 2, "best_epoch": 1, "seconds": 3723.0}
        | dict.fromkeys(("val_loss", "val_accuracy", "test_loss"), 0.125)
        | {"test_accuracy": None if status == "diverged" else 0.975, "weights_sha256": "0" * 64}
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


def test_the_runs_of_experiments_are_listed(capsys, stored, add_experiment):
    add_experiment("first", [stored[0].config, RunConfig(depth=30)])
    add_experiment("third", [stored[2].config])
    assert main("runs --experiment first".split()) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert names == [stored[0].folder.name], "those of it that are stored"
    assert main("runs --experiment first third --data digits".split()) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert names == sorted([stored[0].folder.name, stored[2].folder.name])
    assert main("runs --experiment rescue".split()) == 0
    assert capsys.readouterr().out.startswith("None of the 3 runs in ")


def test_the_command_below_a_table_lists_its_runs(capsys, monkeypatch):
    monkeypatch.setattr(profiles, "ROOT", REPOSITORY)
    assert main("runs --experiment convnet-head".split()) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert names == sorted(config.name for config in configs("convnet-head", profile("full")))


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
