"""`transfer`: probes, fine-tuning and distillation of a stored network."""

from __future__ import annotations

import re

import pytest
from fakes import fake_outcome
from small_sets import small_set

from labutils import data
from labutils.cli.main import main
from labutils.config import DistillConfig, RunConfig, TransferConfig
from labutils.config.fcn import FCNConfig
from labutils.models.networks import build_model
from labutils.transfer import probes

NETWORK = {"model": "strong", "width": 4, "residual": True, "init": "partial-identity"}
SOURCE = RunConfig(data="shapes10", **NETWORK)
NO_WEIGHTS = RunConfig(data="shapes10", seed=6, **NETWORK)
MLP = RunConfig(data="shapes10", depth=4, width=8)


@pytest.fixture(autouse=True)
def sets(monkeypatch):
    """Sets of noise in the place of the built-in ones, which take seconds to draw."""
    small = {name: small_set(name, int(name[-2:])) for name in ("shapes10", "shapes20")}
    monkeypatch.setattr(data, "load", small.__getitem__)


@pytest.fixture(autouse=True)
def stored(store, monkeypatch, tmp_path):
    """A network with weights, one without, an MLP, and a detector."""
    monkeypatch.setattr(probes, "FOLDER", tmp_path / "features")
    for config in (SOURCE, MLP):
        model = build_model(config, (3, 32, 32), 10)
        store.save(config, fake_outcome(config)._replace(model=model), "fp32")
    store.save(NO_WEIGHTS, fake_outcome(NO_WEIGHTS))
    detector = FCNConfig()
    store.save(detector, fake_outcome(detector), "fp32")
    return detector


def transfer(task, *arguments, source=SOURCE.id):
    return main(["transfer", task, "--source", source, *arguments])


PROBE = ("--onto", "shapes20", "--kind", "ridge")


def test_a_probe_is_fitted_once_and_said_in_a_line(capsys, monkeypatch, store):
    assert transfer("probe", *PROBE) == 0
    line = capsys.readouterr().out
    run = store.load(SOURCE)
    assert line.startswith(f"ridge on 16 features of {run.config.label} (trained), 60 images of ")
    assert "shapes20: validation accuracy " in line and line.count("\n") == 1
    monkeypatch.setattr(probes, "probed", None)
    assert transfer("probe", *PROBE) == 0
    assert capsys.readouterr().out == line


def test_options_of_a_probe_decide_what_is_fitted(monkeypatch):
    asked = []

    def note(run, kind, **given):
        asked.append((run.config, kind, given))
        zero = {"val_accuracy": 0.0, "test_accuracy": 0.0}
        return zero | {"features": 1, "images": 1}

    monkeypatch.setattr(probes, "probe", note)
    options = (
        "--of untrained --layers stem blocks.1 --side 2 --labels-per-class 2 --draw 3 --jobs 2"
    )
    transfer("probe", *PROBE, *options.split(), "--jobs", "2")
    transfer("probe", *PROBE, "--of", "pixels")
    (config, kind, given), (_, _, pixels) = asked
    assert (config, kind) == (SOURCE, "ridge")
    assert given == {
        "onto": "shapes20", "of": "untrained", "layers": ("stem", "blocks.1"), "side": 2,
        "per_class": 2, "draw": 3, "n_jobs": 2,
    }  # fmt: skip
    assert pixels["of"] == "pixels" and pixels["layers"] == ()


def test_fine_tuning_takes_its_build_from_the_source(capsys, store):
    options = "--onto shapes20 --epochs 1 --trained head --labels-per-class 2 --optimizer sgd"
    assert transfer("fine-tune", *options.split()) == 0
    wanted = TransferConfig(
        data="shapes20", source=SOURCE.id, trained="head", labels_per_class=2, epochs=1,
        optimizer="sgd", model="strong", depth=SOURCE.depth, width=4, residual=True,
        norm=SOURCE.norm,
    )  # fmt: skip
    run = store.load(wanted)
    line = capsys.readouterr().out
    assert line.startswith(f"{run.folder}: finished after 1 epoch; validation loss ")
    assert not run.has_weights


def test_a_student_learns_the_set_of_its_teacher(store):
    options = "--model resnet --depth 8 --width 4 --epochs 1 --batch-size 32 --keep fp16"
    assert transfer("distill", *options.split()) == 0
    student = DistillConfig(
        data="shapes10", teacher=SOURCE.id, model="resnet", depth=8, width=4, epochs=1,
        batch_size=32, temperature=4.0, soft_weight=0.9,
    )  # fmt: skip
    assert store.load(student).has_weights


def test_the_default_source_is_the_strong_network_of_the_report(add_experiment, capsys):
    add_experiment("strong", [SOURCE], keep="fp16")
    assert main(["transfer", "probe", *PROBE]) == 0
    assert SOURCE.label in capsys.readouterr().out


@pytest.mark.parametrize(
    ("task", "source", "arguments", "message"),
    [
        ("probe", "0123abcd", "", "run 0123abcd is not stored in .*labutils runs"),
        ("probe", NO_WEIGHTS.id, "", "stored without its weights: give another id, or train it"),
        ("probe", SOURCE.id, "--layers blocks.9 --onto shapes20", "choose of .*blocks.3"),
        ("probe", MLP.id, "--onto shapes20", "is no map: choose another"),
        ("probe", SOURCE.id, "--onto shapes20 --labels-per-class 9", "class 0 has 3: give fewer"),
        ("fine-tune", SOURCE.id, "--draw 1", "draw says which images are taken"),
        ("distill", SOURCE.id, "--soft-weight 2", "soft_weight is 2.0: give at most 1"),
    ],
)
def test_an_error_says_what_to_do(task, source, arguments, message, capsys):
    assert transfer(task, *arguments.split(), source=source) == 1
    said = capsys.readouterr()
    assert not said.out and "Traceback" not in said.err
    assert re.search(message, said.err.splitlines()[-1])  # behind what the progress bar wrote


def test_a_detector_is_no_source(stored, capsys):
    assert transfer("fine-tune", source=stored.id) == 1
    assert "is no classifier: give the id of one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--jobs", "0", "jobs is 0: give at least 1"),
        ("--jobs", "257", "jobs is 257: give at most 256"),
        ("--labels-per-class", "0", "labels_per_class is 0: give at least 1"),
        ("--draw", "4294967296", "draw is 4294967296: give at most 4294967295"),
    ],
)
def test_numbers_out_of_range_are_refused(capsys, option, value, message):
    assert transfer("probe", option, value) == 1
    assert capsys.readouterr().err == f"{message}\n"
