"""The record of an experiment, and the addresses of a chapter's files."""

import subprocess
import sys
from pathlib import Path

from labutils.config.classifier import RunConfig
from labutils.report.experiments import CHAPTERS
from labutils.report.records import experiment, pairs

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
