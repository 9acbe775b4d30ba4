"""docs/index.html is what the stored runs make of it, small, and complete in itself."""

import gzip
import json
import re
from pathlib import Path

import nbformat
import pytest
from fakes import fake_runs
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from labutils.config.classifier import RunConfig
from labutils.data.files import DataError
from labutils.report import page
from labutils.report.experiments import load
from labutils.report.rendering import NO_BREAK
from labutils.report.statistics import accuracy, learned

ROOT = Path(__file__).resolve().parents[2]
HTML = (ROOT / "docs" / "index.html").read_text("utf-8")
GRIDS, IMAGES = (json.loads(page.part_of(HTML, name)) for name in ("curves", "gallery"))
README = (ROOT / "README.md").read_text("utf-8").replace(NO_BREAK, " ")
ADDRESS = re.compile(
    r"""(?:\b(?:src|href|action)\s*=\s*["']?|url\(|@import|\bfetch\()(?!#|data:)\S+"""
)
OTHERS = "https://example.org/a.js"


def test_it_is_what_make_page_would_write():
    """All of it but the library, which depends on the version, and the images, on a data set."""
    again = page.page(page.part_of(HTML, "library"), IMAGES)
    same = again == HTML  # no comparison of a million letters is shown
    assert same, "docs/index.html is stale: run `make page` and commit it"


@pytest.mark.parametrize("grid", GRIDS, ids=page.GRIDS)
def test_its_numbers_are_those_of_the_stored_runs(grid):
    for run in grid["runs"]:
        folder = ROOT / "trained_models" / run["name"]
        config, metrics, history = (
            json.loads((folder / f"{name}.json").read_text())
            for name in ("config", "metrics", "history")
        )
        assert config.get("depth") == run["depth"]
        assert run["kind"] == ("residual" if config.get("residual") else "plain")
        assert run["test_accuracy"] == metrics["test_accuracy"]
        for line in ("train_loss", "val_accuracy"):
            assert run[line] == pytest.approx(history[line], rel=1e-3)
        layers = json.loads(gzip.decompress((folder / history["layers"]).read_bytes()))
        norms = layers["activation_gradient_norm"]
        for line, at in (("untrained", norms[0]), ("trained", norms[-1])):
            drawn = [0 if value is None else value for value in run[line]]  # zero is a gap
            assert drawn == pytest.approx([norm / at[-1] for norm in at], rel=1e-3, abs=0)


@pytest.mark.parametrize(
    ("name", "grid"), [pair for pair in zip(page.GRIDS, GRIDS, strict=True) if pair[0] in README]
)
def test_its_table_has_the_cells_of_the_readme(name, grid):
    rows = [f"| {depth} | {grid['accuracy'][f'{depth} plain']} |" for depth in grid["depths"]]
    assert [row for row in rows if row not in README] == []


def test_it_opens_where_plain_networks_fail():
    first, runs = GRIDS[0], load(page.GRIDS[0])
    opening = [run for run in runs if run.config.depth == first["opening"]]
    assert not all(learned(run) for run in opening if not run.config.residual)
    assert all(learned(run) for run in opening if run.config.residual)
    assert "Faintly: residual" in first["said"][f"{first['opening']} plain"]


def test_depths_where_only_some_learn_have_no_mean_and_a_zero_gradient_is_a_gap(tmp_path):
    same = [RunConfig(depth=4, seed=seed) for seed in (0, 1)]
    runs = fake_runs(tmp_path, same[:1]) + fake_runs(tmp_path, same[1:], train_accuracy=0.1)
    runs[1].history["layers"]["activation_gradient_norm"][-1] = [0.0, 1.0, 2.0, 4.0]
    found = page.curves(runs)
    assert found["means"] == {"4 plain": None} and accuracy(runs) in found["accuracy"].values()
    assert page.curves(runs[:1])["means"] == {"4 plain": 0.9}
    assert found["runs"][1]["trained"] == [None, 0.25, 0.5, 1.0]


def test_it_is_small_and_asks_for_nothing():
    assert len(HTML.encode()) < 3_000_000
    assert ADDRESS.findall(f"<script src='{OTHERS}'></script>") and ADDRESS.findall(
        f"url({OTHERS})"
    )
    own = HTML.replace(page.part_of(HTML, "library"), "")
    assert not ADDRESS.search(own) and "http" not in own


def test_its_images_are_of_the_network_that_is_stored():
    assert IMAGES["weights"] == load("strong")[0].metrics["weights_sha256"]


@pytest.mark.slow
@pytest.mark.real_data("cifar10")
def test_its_images_are_those_of_the_data_set(tmp_path):
    again = page.images_for(tmp_path / "none.html", load("strong")[0])

    def told(images):
        return [(one["number"], one["label"], one["picture"]) for one in images["images"]]

    assert told(again) == told(IMAGES) and again["counts"] == IMAGES["counts"]


def test_without_the_data_set_it_keeps_its_images(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_DATA", str(tmp_path))
    [run, *others] = load("strong")
    assert page.images_for(page.PAGE, run) == IMAGES
    for target, network in ((page.PAGE, others[0]), (tmp_path / "none.html", run)):
        with pytest.raises(DataError, match="no images of .*labutils data cifar10.*make page"):
            page.images_for(target, network)


def test_a_notebook_becomes_a_page_that_needs_no_network(tmp_path):
    picture = {"image/png": "aGk=", "text/plain": "a figure"}
    outputs = [
        new_output("display_data", picture, metadata={"image/png": {"alt": "what it shows"}}),
        new_output("display_data", {page.WIDGET: {"model_id": "1"}, "text/plain": "Slider()"}),
    ]
    cells = [
        new_markdown_cell("# Tiny\n[a page](docs/speed.md)"),
        new_code_cell("1 + 1", outputs=outputs),
    ]
    notebook = new_notebook(cells=cells, metadata={"widgets": {"state": {}}})
    nbformat.write(notebook, tmp_path / "Tiny.ipynb")
    html = page.notebook_page(tmp_path / "Tiny.ipynb")
    assert "data:image/png;base64,aGk=" in html and 'alt="what it shows"' in html
    assert "Slider()" not in html and "It needs a kernel" in html
    assert 'href="../../docs/speed.md"' in html and "<title>Tiny</title>" in html
    assert re.findall(r"(?:src|href)=[\"']?(?:https?:)?//[^\"']+", html) == []
    assert re.findall(r"<script[^>]*\bsrc|\bimport\s+\w+\s+from|requirejs|@import", html) == []
