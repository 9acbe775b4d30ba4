"""How the package is built: who may import whom, and that every room says what it is."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "labutils"
# Each storey stands on those before it. The rooms of one storey do not know of one another.
STOREYS = (
    {"config"},
    {"data"},
    {"models"},
    {"training"},
    {"runs"},
    {"fcn", "cam", "transfer", "analysis"},
    {"report"},
    {"cli"},
    {"__main__"},
)
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
CHAPTERS = {path.parent.name for path in PACKAGE.glob("report/*/experiments.py")}


def imported(source: str, package: str) -> set[str]:
    """Full names of all that a module of `package` imports, inside of functions too.

    Of `from labutils import data` both labutils and labutils.data: a name may be a module.
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) + 1 - node.level] if node.level else []
            origin = ".".join([*above, *filter(None, [node.module])])
            found |= {origin, *(f"{origin}.{alias.name}" for alias in node.names)}
    return found


def imports_of(path: Path) -> set[str]:
    """Those of a file of the package."""
    return imported(path.read_text(), ".".join(path.relative_to(ROOT).parent.parts))


def too_high(room: str, names: set[str]) -> set[str]:
    """The rooms that a module in `room` must not know, of those that it imports."""
    height = next(height for height, rooms in enumerate(STOREYS) if room in rooms)
    allowed = set.union({room}, *STOREYS[:height])
    return {name.split(".")[1] for name in names if name.startswith("labutils.")} - allowed


def of_chapters(path: Path) -> set[str]:
    """The tables and figures that a module imports, of chapters that it does not stand in."""
    private = {
        f"labutils.report.{chapter}.{file}"
        for chapter in CHAPTERS - {path.parent.name}
        for file in ("tables", "figures")
    }
    return {name for name in imports_of(path) if name.startswith(tuple(private))}


def test_the_rules_see_every_kind_of_import():
    written = """
import labutils.report.style
from labutils import cli
from labutils.data import sets
from ..models import blocks
from . import loop
from .loop import Task
def later():
    from labutils.fcn.networks import dense
"""
    names = imported(written, "labutils.training")
    assert too_high("training", names) == {"report", "cli", "fcn"}
    assert too_high("report", names) == {"cli"} and too_high("cli", names) == set()
    assert too_high("analysis", names) == {"fcn", "report", "cli"}, "rooms side by side"
    assert too_high("config", names) == {"training", "models", "data", "report", "cli", "fcn"}
    assert CHAPTERS >= {"mlps", "convnets", "families", "strong", "residuals", "detector"}


def test_a_module_imports_only_what_stands_below_it():
    for path in MODULES:
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        assert too_high(room, imports_of(path)) == set(), path.relative_to(ROOT)
    assert imports_of(PACKAGE / "__init__.py") == set()


def test_a_chapter_knows_nothing_of_other_chapters_but_their_experiments():
    """Tables and figures of one may change without a look at the others."""
    for path in PACKAGE.glob("report/*/*.py"):
        if path.parent.name in CHAPTERS:
            assert of_chapters(path) == set(), path.relative_to(ROOT)
    for path in PACKAGE.glob("report/*.py"):  # what chapters share is below them
        assert of_chapters(path) == set(), path.relative_to(ROOT)


def test_widgets_are_in_the_explorers_alone():
    users = [p for p in MODULES if any(name.startswith("ipywidgets") for name in imports_of(p))]
    assert {path.parent for path in users} == {PACKAGE / "report" / "explorers"}


def test_every_room_says_in_a_sentence_what_it_is():
    for folder in {path.parent for path in MODULES}:
        said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
        sentence = said.endswith(".") and "\n" not in said and ". " not in said
        assert sentence, f"{folder.relative_to(ROOT)} says {said!r}"


def test_every_module_says_what_it_is():
    for path in MODULES:
        assert ast.get_docstring(ast.parse(path.read_text())), path.relative_to(ROOT)


def test_the_page_on_the_house_says_of_each_room_what_its_docstring_says():
    page = (ROOT / "docs" / "architecture.md").read_text()
    for folder in sorted({path.parent for path in MODULES} - {PACKAGE}):
        said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
        assert f"- `{folder.relative_to(ROOT).as_posix()}`: {said}\n" in page
