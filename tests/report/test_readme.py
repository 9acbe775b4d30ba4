import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from labutils import tables
from labutils.report.notebooks import main

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
GENERATED = re.compile(r"<!-- \[\[\[cog.*?\[\[\[end\]\]\] -->", re.DOTALL)
MEASURED = re.compile(r"(?<![\w.,-])(\d[\d,]*\.\d+|\d[\d,]*(?= (?:%|points?\b)))(?![\w.]*\d)")
NOTEBOOKS = sorted(path.name for path in ROOT.glob("*.ipynb"))
TABLES = re.findall(r'tables\.report\("([\w-]+)"\)', README)
# accuracies of report-d (the first three, and the last two in validation) and of report-b
NOT_OURS = {"69.92", "92.75", "97.35", "43.02", "70.28", "75.37", "82.21", "75.65", "79.18"}
SETTINGS = {"0.001", "0.1", "0.05", "0.0005", "3.11"}  # learning rates, weight decay, Python
# detectors: scales, weight of the background, overlaps, step of the pyramid, threshold, aim
SETTINGS |= {"0.7", "1.5", "0.8", "1.2", "0.3", "0.5", "0.95", "1.4", "99.75", "0.25", "99.5"}


def prose(text: str) -> str:
    """The sentences that people wrote: no generated part, no code."""
    return re.sub(r"```.*?```", "", GENERATED.sub("", text), flags=re.DOTALL)


def paragraphs_on_results(text: str) -> str:
    """Without those that say what was expected before anything was measured."""
    return "\n\n".join(p for p in text.split("\n\n") if not p.startswith("**Expected.**"))


def notebook_prose(path: Path) -> str:
    cells = json.loads(path.read_text())["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


@pytest.mark.parametrize("name", ["README.md", *NOTEBOOKS])
def test_numbers_in_sentences_stand_in_a_generated_table(name):
    """A sentence repeats a number of a table, or one of the few that are listed above."""
    generated = "\n".join([*map(tables.report, TABLES), tables.benchmarks()])
    shown = set(re.findall(r"\d[\d,]*\.?\d*", generated))
    path = ROOT / name
    text = notebook_prose(path) if path.suffix == ".ipynb" else prose(README)
    text = paragraphs_on_results(text)
    text = re.sub(r"(Exercise|[Ss]ection) \d\.\d|\]\([^)]*\)|arXiv [\d.]+", "", text)
    sentences = re.split(r"(?<=[.!?])\s+", text)
    found = [(number, s) for s in sentences for number in MEASURED.findall(s)]
    assert found, "no number at all: does the pattern still find them?"
    strange = [(number, s) for number, s in found if number not in shown | NOT_OURS | SETTINGS]
    assert not strange, f"in no table: {strange}"


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_made_from_stored_runs(name):
    lines = tables.report(name).splitlines()
    assert len(lines) > 2
    assert len({line.count("|") for line in lines}) == 1


def test_the_example_of_the_readme_learns():
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    assert len([line for line in code.splitlines() if line]) <= 10
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert float(re.search(r"accuracy=([\d.]+)", run.stdout)[1]) > 0.9


def test_make_targets_of_the_readme_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))
    assert {"lab", "test"} <= named <= targets


@pytest.mark.parametrize("line", re.findall(r"^python -m labutils .*?(?= +#|$)", README, re.M))
def test_commands_of_the_readme_are_understood(line, capsys):
    """Their help is printed instead of running them: options and names are parsed all the same."""
    arguments = [word for word in line.split()[3:] if word != "-h"]
    try:
        assert main([*arguments[:1], "-h"]) == 0
    except SystemExit as stop:
        assert stop.code in (0, None)
    said = capsys.readouterr().out
    for option in (word for word in arguments if word.startswith("--")):
        assert option in said


def test_pictures_and_links_of_the_readme_exist():
    targets = re.findall(r"\]\(([^)#:\s]+)\)", README)
    assert any(target.endswith(".png") for target in targets)
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_contents_list_leads_to_headings():
    headings = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    }
    anchors = re.findall(r"\]\(#([^)]+)\)", README)
    assert anchors and set(anchors) <= headings
