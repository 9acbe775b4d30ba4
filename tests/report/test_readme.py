"""README.md and what it is made from: tables by address, figures, the headline, the sentences."""

import functools
import json
import re
import subprocess
import sys
from pathlib import Path

import PIL.Image
import PIL.PngImagePlugin
import pytest
from fakes import fake_outcome

from labutils.cli.main import main
from labutils.report import readme
from labutils.report.detector.experiments import BEST_HEAD
from labutils.report.experiments import configs, find
from labutils.report.strong import tables as strong_tables
from labutils.runs.store import Store

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
GENERATED = re.compile(r"<!-- \[\[\[cog.*?\[\[\[end\]\]\] -->", re.DOTALL)
MEASURED = re.compile(r"(?<![\w.,-])(\d[\d,]*\.\d+|\d[\d,]*(?= (?:%|points?\b)))(?![\w.]*\d)")
NOTEBOOKS = sorted(path.name for path in ROOT.glob("*.ipynb"))
# the arguments of each table: its address, and the experiments whose runs it shows
TABLES = [
    tuple(re.findall(r'"([^"]+)"', given))
    for given in re.findall(r"readme\.table\((.*?)\)", README)
]
COMMAND = re.compile(r"<sub>The runs: `python -m labutils runs --experiment (.*)`</sub>")
# accuracies of report-d (the first three, and the last two in validation) and of report-b
NOT_OURS = {"69.92", "92.75", "97.35", "43.02", "70.28", "75.37", "82.21", "75.65", "79.18"}
# of transfer: report-d's three, and an SVM and fine-tuning of others
NOT_OURS |= {"19.0", "42.1", "44.9", "34.5", "55"}
GOALS = {"60", "75"}  # of a linear classifier on frozen features, and of fine-tuning
PLACES = {"15.5"}  # pixels between two ways to draw a cell of torchvision's ResNet-18
SETTINGS = {"0.001", "0.1", "0.05", "0.0005", "3.11"}  # learning rates, weight decay, Python
# detectors: scales, weight of the background, overlaps, step of the pyramid, threshold, aim
SETTINGS |= {"0.7", "1.5", "0.8", "1.2", "0.3", "0.5", "0.95", "1.4", "99.75", "0.25", "99.5"}
SETTINGS |= {"1.75"}  # how much more than the residual kind counts as slow


def prose(text: str) -> str:
    """The sentences that people wrote: no generated part, no code."""
    return re.sub(r"```.*?```", "", GENERATED.sub("", text), flags=re.DOTALL)


def paragraphs_on_results(text: str) -> str:
    """Without those that say what was expected before anything was measured."""
    return "\n\n".join(p for p in text.split("\n\n") if not p.startswith("**Expected.**"))


def notebook_prose(path: Path) -> str:
    cells = json.loads(path.read_text())["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def notebook_tables(path: Path) -> list[str]:
    """What the cells of a notebook displayed as Markdown when it was run."""
    cells = json.loads(path.read_text())["cells"]
    data = [output.get("data", {}) for c in cells for output in c.get("outputs", [])]
    return ["".join(shown.get("text/markdown", "")) for shown in data]


@functools.cache
def table(address: str, *names: str) -> str:
    """A table as the README shows it, made once for all tests."""
    return readme.table(address, *names)


@pytest.mark.parametrize("name", ["README.md", *NOTEBOOKS])
def test_numbers_in_sentences_stand_in_a_generated_table(name):
    """A sentence repeats a number of a table, or one of the few that are listed above.

    A notebook shows more tables than the README.
    """
    path = ROOT / name
    tables = notebook_tables(path) if path.suffix == ".ipynb" else []
    own = readme.networks(), readme.headline(), readme.benchmarks()
    generated = "\n".join([*(table(*given) for given in TABLES), *own, *tables])
    shown = set(re.findall(r"\d[\d,]*\.?\d*", generated))
    text = notebook_prose(path) if path.suffix == ".ipynb" else prose(README)
    text = paragraphs_on_results(text)
    text = re.sub(r"(Exercise|[Ss]ection) \d\.\d|\]\([^)]*\)|arXiv [\d.]+", "", text)
    sentences = re.split(r"(?<=[.!?])\s+", text)
    found = [(number, s) for s in sentences for number in MEASURED.findall(s)]
    assert found, "no number at all: does the pattern still find them?"
    strange = [
        (number, s)
        for number, s in found
        if number not in shown | NOT_OURS | GOALS | PLACES | SETTINGS
    ]
    assert not strange, f"in no table: {strange}"


@pytest.mark.parametrize("given", TABLES, ids=" ".join)
def test_every_table_is_made_from_stored_runs_and_says_which(given):
    rows, command = table(*given).split("\n\n")
    lines = rows.splitlines()
    assert len(lines) > 2
    assert len({line.count("|") for line in lines}) == 1
    assert COMMAND.fullmatch(command)[1].split() == list(given[1:])


def test_the_commands_below_the_tables_name_experiments():
    """In the order of the calls that made them, so that no table stands without its own."""
    named = [names.split() for names in COMMAND.findall(README)]
    assert named == [list(names) for _, *names in TABLES]
    for names in named:
        assert all(find(name).grid() for name in names)


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


# What the README is made from


@pytest.fixture
def which(private, monkeypatch):
    """A full report of the test's own."""
    found = private("full")
    monkeypatch.setattr(readme, "profile", lambda name=None: found)
    return found


def save(which, *names, keep="none"):
    for name in names:
        for config in configs(name, which):
            Store.of(which).save(config, fake_outcome(config), keep=keep)


def cells(markdown):
    """The cells of a table's rows, without those of its head."""
    rows = markdown.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip().replace("\xa0", " ") for cell in row.split("|")[1:-1]] for row in rows]


def test_a_table_of_one_experiment_brings_what_it_is_compared_with(which):
    save(which, "schedule", "resnet-depth")
    found = readme.table("families.schedule_table", "schedule")
    assert [row[0] for row in cells(found)] == ["constant", "one-cycle"]
    assert found.endswith("`python -m labutils runs --experiment schedule`</sub>")


def test_a_table_of_several_experiments_shows_the_runs_of_each(which, monkeypatch):
    save(which, "strong", "strong-plain", keep="fp16")
    monkeypatch.setattr(strong_tables, "predictions_on_test", lambda run: {"accuracy": 0.75})
    rows = cells(readme.table("strong.strong_table", "strong", "strong-plain"))
    assert [row[0] for row in rows[:6]] == ["residual"] * 3 + ["plain twin"] * 3
    assert [row[-1] for row in rows] == ["75.00 %"] * 3 + ["-"] * 3 + [""] * 4


def test_a_figure_has_the_alternative_text_of_its_file(which):
    which.images.mkdir()
    text = PIL.PngImagePlugin.PngInfo()
    text.add_itxt("Description", "Deep networks learn")
    PIL.Image.new("L", (2, 2)).save(which.images / "some-figure.png", pnginfo=text)
    assert readme.figure("some-figure") == "![Deep networks learn](images/some-figure.png)"


def test_benchmarks_are_chosen_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    hardware = {"device": "cpu", "processor": "AVX512", "threads": 2}
    for name, ratio in (("windows-1", 22.04), ("sweep", 2.2)):
        ratios = {"median": ratio, "min": 1.26, "max": 30, "pairs": 5}
        result = {"question": f"{name}, slow / fast", "ratio": ratios, "hardware": hardware}
        (tmp_path / "benchmarks" / "results" / f"{name}.json").write_text(json.dumps(result))
    assert cells(readme.benchmarks("windows-*")) == [
        ["windows-1, slow / fast", "22.04", "1.26 to 30.00", "5", "cpu (AVX512)", "2"]
    ]
    assert len(cells(readme.benchmarks())) == 2
    with pytest.raises(FileNotFoundError, match="no result winograd.*make bench"):
        readme.benchmarks("winograd")


def test_networks_are_listed_with_depth_size_and_protocol(which):
    save(which, *(name for _, _, name in readme.NETWORKS), keep="fp16")
    rows = cells(readme.networks(which))
    assert len(rows) == len(readme.NETWORKS)
    by_name = {(row[0], row[2]): row[3:] for row in rows}
    depth, parameters, protocol, seeds = by_name["MLP", "MNIST"]
    assert (depth, protocol, seeds) == ("2 to 40", "Adam, 20 epochs", "3")
    assert parameters.endswith(" M")
    assert by_name["digit detector", "MNIST"][0] == "-"


def test_headline_has_twelve_lines_from_stored_runs(which, monkeypatch):
    names = ("mnist-width", "best-mlp", "mnist-cnn", "mnist-depth", "convnet-depth")
    names += ("resnet-depth", "schedule", "side-by-side-tuned", "strong", "strong-plain")
    names += ("transfer",)
    for number, name in enumerate(names, 1):
        for config in configs(name, which):
            # a share of its own for each experiment, kind, view of the images, and for CNNs
            share = 0.2 + number / 20 + config.residual / 100 + (config.crop_padding > 0) / 1000
            share += (config.model == "cnn") / 20
            share += (getattr(config, "trained", "") == "head") / 20
            share *= (name, config.optimizer) != ("side-by-side-tuned", "adam")  # SGD's are shown
            stuck = name == "mnist-depth" and not config.residual and config.depth > 22
            outcome = fake_outcome(
                config, test_accuracy=share, train_accuracy=0.1 if stuck else share
            )
            Store.of(which).save(config, outcome, keep=find(name).keep)
    save(which, "detector", keep="fp16")
    save(which, "cam-shapes", keep="fp16")
    precision = {"one digit": 0.75, "four digits on 96 x 96": 0.25}

    def scores(run, shown):
        return {"ap_half": precision[shown.name] - (run.config.head != BEST_HEAD)}

    monkeypatch.setattr(readme, "scores", scores)
    monkeypatch.setattr(
        readme,
        "localised",
        lambda run, kinds, count: [
            {"pointing": 0.9 if k.method == "grad-cam" else 0.4} for k in kinds
        ],
    )
    monkeypatch.setattr(readme, "probed", lambda runs, asked: [(asked, {"test_accuracy": 0.125})])
    found = cells(readme.headline(which))
    shares = [re.findall(r"[\d.]+(?= ± 0.00 %)", row[-1]) or [row[-1]] for row in found]
    assert shares == [
        ["25.00", "25.10"], ["31.10", "40.10"], ["26"], ["31.10", "60.10", "65.10"],
        ["45.10", "46.10"], ["50.10", "51.10"], ["60.10", "61.10"], ["56.10", "51.10"],
        ["66.10", "70.10"], ["81.10", "76.10"], ["75.00", "25.00"],
        ["90.00", "40.00"],
    ]  # fmt: skip
    assert found[9][-1].startswith("12.50 % / ")
    assert [row[1] for row in found[2:4]] == ["MNIST", "CIFAR\N{NON-BREAKING HYPHEN}10"]
