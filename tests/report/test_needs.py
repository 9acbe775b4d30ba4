"""`%%needs`: without a data set, a cell shows the figures that it saved before."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from labutils.config.data_sets import DATA_SETS
from labutils.report import needs as module
from labutils.report.needs import SAVED, needs

ROOT = Path(__file__).resolve().parents[2]
CELL = """save_figure(
    figures.depth_curves(runs),
    "mlps-depth",
    alt="Deep networks learn, "
    "all of them",
)
save_figure(
    figures.depth_accuracy(runs),
    "mlps-depth-accuracy",
    alt="Test accuracy of all",
);"""


@pytest.fixture
def notebook(monkeypatch):
    """What becomes of a cell: it is run, or figures are shown."""
    happened = []

    def run_cell(cell, store_history):
        happened.append(cell)
        return SimpleNamespace(raise_error=lambda: happened.append("errors raised"))

    monkeypatch.setattr(module, "get_ipython", lambda: SimpleNamespace(run_cell=run_cell))
    monkeypatch.setattr(module, "show_saved", happened.append)
    return happened


def test_a_cell_whose_data_are_here_is_run_and_its_errors_are_errors(notebook):
    needs("digits", CELL)
    assert notebook == [CELL, "errors raised"]


def test_without_the_data_the_figures_are_shown_that_the_cell_saves(
    notebook, monkeypatch, tmp_path
):
    monkeypatch.setenv("LAB_DATA", str(tmp_path))
    needs("mnist", CELL)
    assert notebook == ["mlps-depth", "mlps-depth-accuracy"]


def test_in_the_quick_profile_the_stand_in_is_meant(notebook, monkeypatch, tmp_path):
    monkeypatch.setenv("LAB_DATA", str(tmp_path))
    monkeypatch.setenv("LAB_PROFILE", "quick")
    needs("mnist", CELL)
    assert notebook == [CELL, "errors raised"]


def test_all_figures_of_such_cells_are_found_and_stored():
    cells = [
        "".join(cell["source"])
        for path in ROOT.glob("*.ipynb")
        for cell in json.loads(path.read_text())["cells"]
        if cell["source"] and cell["source"][0].startswith("%%needs")
    ]
    assert cells
    for cell in cells:
        assert re.match(r"%%needs (\w+)\n", cell)[1] in DATA_SETS
        names = SAVED.findall(cell)
        assert len(names) == cell.count("save_figure("), cell
        assert all((ROOT / "images" / f"{name}.png").exists() for name in names), names
