"""The committed notebooks, looked at without running them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

pytestmark = pytest.mark.notebooks

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted(ROOT.glob("*.ipynb"))
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
PRIVATE = re.compile(r"(?<![\w.:/-])/(home|Users|root|work|workspace|tmp|mnt)/\w")


def test_the_report_has_notebooks():
    """Without this, a report without notebooks would pass: the tests below would be empty."""
    names = [path.name for path in NOTEBOOKS]
    assert "Lab1.ipynb" in names, f"Lab1.ipynb is missing from {ROOT}; it has {names}"


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.name)
def path(request) -> Path:
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook) -> list:
    return [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]


def outputs(notebook) -> list:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def texts(node) -> Iterator[str]:
    """All strings of a notebook but pictures, whose base64 may spell anything."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for key, value in node.items():
            if not key.startswith("image/") and key != "buffers":
                yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)


def test_is_valid(notebook):
    nbformat.validate(notebook)
    assert code_cells(notebook)
    assert notebook.metadata.kernelspec.name == "python3"


def test_was_run_from_top_to_bottom(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "run it: make full"
    assert outputs(notebook), "no cell has an output"


def test_has_no_errors_and_nothing_on_stderr(notebook):
    errors = [o.ename for o in outputs(notebook) if o.output_type == "error"]
    assert not errors
    stderr = [o.text for o in outputs(notebook) if o.get("name") == "stderr"]
    assert not stderr, "warnings and progress bars do not belong into the saved report"


def test_cells_are_short(notebook):
    lengths = {cell.execution_count: len(cell.source.splitlines()) for cell in code_cells(notebook)}
    assert {n: lines for n, lines in lengths.items() if lines > 15} == {}


def test_file_is_small(path):
    assert path.stat().st_size < 3_000_000


def test_widgets_have_their_state(notebook):
    views = [o.data[WIDGET_VIEW] for o in outputs(notebook) if WIDGET_VIEW in o.get("data", {})]
    widgets = notebook.metadata.get("widgets", {WIDGET_STATE: {"state": {}}})
    assert {view["model_id"] for view in views} <= set(widgets[WIDGET_STATE]["state"])


def test_names_no_folder_of_a_machine(notebook):
    found = [text[:200] for text in texts(notebook) if PRIVATE.search(text) or f"{ROOT}/" in text]
    assert not found


def test_every_section_has_a_cell_to_play_with(notebook):
    sections = []
    for cell in notebook.cells:
        if cell.source.startswith("## "):
            sections.append("")
        if sections:
            sections[-1] += cell.source
    without = {section.splitlines()[0] for section in sections if "our turn" not in section}
    assert without <= {"## Explore it", "## The report in one picture"}
