"""Stored measures: each is found by its key, and the report asks for these and for no others."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from labutils import data
from labutils.analysis.predictions import predictions_on_test as predictions_of
from labutils.config.profiles import profile
from labutils.fcn.conditions import CONDITIONS, condition
from labutils.fcn.examples import example_digits
from labutils.fcn.scores import failures, named_by_distance
from labutils.report import cams, detector, mlps, readme, residuals, transfer
from labutils.report.detector.experiments import BEST_HEAD
from labutils.report.experiments import load
from labutils.report.transfer.measured import compared
from labutils.runs import load as doors

ROOT = Path(__file__).resolve().parents[2]
FULL = profile("full")
FILES = {*FULL.runs.glob("*/measures/*.json"), *FULL.runs.glob("measures/*.json")}
# Tables that a notebook shows and the README does not.
OF_NOTEBOOKS = (
    "mlps.learning_table mnist-learning mnist-fp64",
    "strong.strong_table strong strong-plain",
    "detector.pointing_table detector",
    "detector.alarm_table detector",
    "detector.pyramid_table detector",
    "cams.believed_table cam-shapes cam-canvases strong",
)
TABLES = re.findall(r"readme\.table\((.*?)\)", (ROOT / "README.md").read_text())


def test_each_file_is_named_after_its_key():
    assert FILES
    for path in FILES:
        stored = json.loads(path.read_text())
        assert "result" in stored, path
        key = {name: stored[name] for name in stored.keys() - {"result", "sha256"}}
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        assert path.stem.endswith(f"-{digest[:8]}"), path
        run = path.parents[1] / "metrics.json"
        if run.exists():
            weights = json.loads(run.read_text())["weights_sha256"]
            assert key == {"arguments": key["arguments"], "weights": weights}, path
        else:
            assert key == {"arguments": key["arguments"]}, path


@pytest.fixture
def asked(monkeypatch):
    """The measures that are asked for; what is not stored is an error and not measured."""
    found = set()

    def read(path):
        found.add(path)
        return read_json(path)

    def open_door(folder, name, key, function):
        def refuse():
            raise AssertionError(f"{name} of {folder.parent.name} is not stored for {key}")

        return door(folder, name, key, refuse)

    read_json, door = doors.read_json, doors._load_or_compute
    monkeypatch.setattr(doors, "read_json", read)
    monkeypatch.setattr(doors, "_load_or_compute", open_door)
    return found


def ask_for_what_notebooks_show():
    """Measures that only a cell of a notebook asks for, not a table of the README."""
    for line in OF_NOTEBOOKS:
        readme.table(*line.split())
    kinds = ("ablation-mnist", "deciding-mnist", "ablation-cifar10", "deciding-cifar10")
    residuals.tables.order_table(*(load(name, FULL) for name in kinds))
    predictions_of(load("strong", FULL)[0])
    on_cifar100 = load("transfer", FULL) + load("transfer-scratch", FULL)
    transfer.tables.kin_table(on_cifar100)
    predictions_of(compared(on_cifar100)["fine-tuned"][0])
    masked = load("cam-shapes", FULL), load("cam-canvases", FULL)
    cams.tables.placement_table([*masked[0], *masked[1]])
    cams.tables.resolution_table([*masked[0], *load("cam-resolution", FULL)])
    cams.tables.flattened_table(load("cam-flatten", FULL))
    cams.tables.mark_table(load("cam-marked", FULL))
    for table in ("randomised_table", "steadiness_table", "warning_table"):
        getattr(cams.tables, table)(load("strong", FULL))
    detector.tables.conversion_table(load("window-classifier", FULL)[0])
    reader = load("detector", FULL, head=BEST_HEAD, seed=0)[0]
    example_digits(reader)
    for name in ("one digit", "two or three, touching, on 96 x 96"):
        failures(reader, condition(name))
    for run in load("detector", FULL, seed=0):
        named_by_distance(run, CONDITIONS[0])
    mlps.figures.learning_by_depth(load("mnist-learning", FULL) + load("mnist-fp64", FULL))
    digits = data.load("digits").train
    for networks in residuals.experiments.untrained_networks((10, 20, 40)).values():
        for config in networks:
            residuals.experiments.untrained_statistics(
                config, digits.images[:256], digits.labels[:256]
            )


def test_the_report_asks_for_what_is_stored_and_leaves_nothing_over(asked, monkeypatch):
    monkeypatch.delenv("LAB_PROFILE", raising=False)
    for arguments in TABLES:
        readme.table(*re.findall(r'"([^"]+)"', arguments))
    readme.headline()
    ask_for_what_notebooks_show()
    assert sorted(FILES - asked) == [], "nothing asks for these: delete them, or their key changed"
    assert asked <= FILES
