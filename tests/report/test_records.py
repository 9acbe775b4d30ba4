"""The record of an experiment, and the addresses of a chapter's files."""

import json
import subprocess
import sys
from pathlib import Path

from fakes import fake_runs

from labutils.config.classifier import RunConfig
from labutils.report import records
from labutils.report.experiments import CHAPTERS
from labutils.report.records import at_best_rate, at_rates, experiment, pairs, seeded

RATES = (1e-3, 3e-4, 1e-4)  # that validation chooses from
ROOT = Path(__file__).resolve().parents[2]
NAMES = [chapter.__name__.split(".")[-2] for chapter in CHAPTERS]


def test_a_grid_becomes_a_record_whose_question_is_its_first_line():
    @experiment("widths", varies=("width",), keep="fp16")
    def widths() -> list[RunConfig]:
        """Section 1.1: how wide?

        This is said to readers of the code alone.
        """
        return [RunConfig(width=width) for width in (4, 8)]

    assert (widths.name, widths.question) == ("widths", "Section 1.1: how wide?")
    assert [config.width for config in widths.grid()] == [4, 8]
    assert (widths.keep, widths.shipped, widths.compared_with) == ("fp16", True, ())


def test_pairs_differ_in_the_skip_and_depth_two_has_none():
    found = pairs(RunConfig(width=8), (2, 4), seeds=(0, 5))
    assert [(c.depth, c.residual, c.seed) for c in found] == [
        (2, False, 0), (4, False, 0), (4, True, 0), (2, False, 5), (4, False, 5), (4, True, 5)
    ]  # fmt: skip
    assert {config.width for config in found} == {8}


def test_seeds_are_given_to_all_configurations_in_turn():
    found = seeded(RunConfig(depth=depth) for depth in (4, 2))
    assert [(c.seed, c.depth) for c in found] == [(0, 4), (0, 2), (1, 4), (1, 2), (2, 4), (2, 2)]


def test_the_rate_of_the_highest_validation_accuracy_is_taken(tmp_path, private, monkeypatch):
    which = private("full")
    monkeypatch.setattr(records, "profile", lambda name: which)
    kind = RunConfig(depth=6, init="he", seed=2)
    tried = at_rates([RunConfig(depth=6, init="he")], RATES)
    for config, accuracy in zip(tried[:2], (0.8, 0.9), strict=True):
        fake_runs(tmp_path, [config], train_accuracy=accuracy)
    assert at_best_rate(kind, RATES).learning_rate == 1e-3, "one of three is not there yet"
    fake_runs(tmp_path, tried[2:], train_accuracy=0.7)
    best = at_best_rate(kind, RATES)
    assert best.learning_rate == 3e-4 and best.seed == 2 and best.init == "he"
    path = which.runs / tried[2].name / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"val_accuracy": 0.95}))
    assert at_best_rate(kind, RATES).learning_rate == 1e-4


def test_an_address_is_a_path_whose_modules_are_imported_when_used():
    """In a process of its own: where a module was imported before, its package knows it anyway."""
    code = f"""
import sys
from labutils.report import {", ".join(NAMES)}
chapters = ({", ".join(NAMES)})
for chapter in chapters:
    assert chapter.experiments.__name__ == f"{{chapter.__name__}}.experiments"
assert "matplotlib" not in sys.modules and "pandas" not in sys.modules
for chapter in chapters:
    assert chapter.tables.__name__ == f"{{chapter.__name__}}.tables"
    assert chapter.figures.__name__ == f"{{chapter.__name__}}.figures"
    try:
        chapter.nonsense
    except AttributeError as error:
        assert f"{{chapter.__name__!r}} has no attribute 'nonsense'" in str(error)
    else:
        raise AssertionError("nonsense was found")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
