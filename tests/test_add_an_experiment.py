"""The worked example of docs/add-an-experiment.md: its steps are taken, in a copy."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "add-an-experiment.md").read_text()
STEPS = re.findall(r"Append to `([\w/.]+)`:\n\n```python\n(.*?)```", PAGE, re.DOTALL)
CELLS = re.findall(r"```python\n(runs = .*?|save_figure.*?)```", PAGE, re.DOTALL)
ADDRESSES = re.findall(r'readme\.table\("(\w+)\.(\w+)", "([\w-]+)"\)', PAGE)
FIRST_CELL = """
from labutils.report import experiments, mlps
from labutils.report.images import save_figure
from labutils.report.rendering import show
TRAIN_MISSING = False
"""


@pytest.fixture
def repository(tmp_path):
    """A copy of the package, with what the page appends to its files."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "labutils", tmp_path / "labutils", ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, code in STEPS:
        with (tmp_path / name).open("a") as file:
            file.write(f"\n\n{code}")
    return tmp_path


def run(repository, *arguments, profile="quick"):
    environment = os.environ | {"LAB_PROFILE": profile, "PYTHONPATH": str(repository)}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=repository,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_touches_one_chapter_alone():
    assert len(STEPS) == 3 and len(CELLS) == 2 and len(ADDRESSES) == 1
    assert {Path(name).parent.as_posix() for name, _ in STEPS} == {"labutils/report/mlps"}


@pytest.mark.slow
def test_an_experiment_is_added_trained_tabulated_and_drawn(repository):
    sweep, listed = (
        re.search(rf"python -m (labutils {command} .*)", PAGE)[1].split()
        for command in ("sweep", "runs")
    )
    assert "0 of 9 runs stored" in run(repository, "-m", *sweep, "--dry-run", profile="full")
    run(repository, "-m", *sweep)
    assert run(repository, "-m", *listed).count("digits-mlp2-plain-s0") == 3
    run(repository, "-c", FIRST_CELL + "\n".join(CELLS))
    assert (repository / "build" / "quick" / "images" / "mlps-dropout.png").stat().st_size > 5_000
    chapter, function, name = ADDRESSES[0]
    table = run(
        repository,
        "-c",
        f"from labutils.report import experiments, {chapter}\n"
        f"from labutils.report.rendering import markdown\n"
        f"print(markdown({chapter}.tables.{function}(experiments.load({name!r}))))",
    )
    assert len(table.splitlines()) == 2 + 3  # head, rule, a row a share
    linted = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--config", ROOT / "pyproject.toml", "labutils"],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert linted.returncode == 0, linted.stdout
