"""`make page`: docs/index.html, which needs no kernel and no network, and notebooks as HTML."""

import html
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import altair as alt
import matplotlib.colors
import nbformat
import numpy as np
import vl_convert
from nbconvert import HTMLExporter

from labutils import data
from labutils.config.profiles import ROOT, profile
from labutils.data.class_names import class_names
from labutils.data.files import DataError, write_file
from labutils.data.sets import is_here
from labutils.report import style
from labutils.report.experiments import load
from labutils.report.explorers.depth import depths_of, grid_title, opening_depth, position
from labutils.report.gallery import gallery
from labutils.report.names import kind_name
from labutils.report.notebooks import report_notebooks
from labutils.report.statistics import accuracy, some_learned
from labutils.runs.store import Run

PAGE = ROOT / "docs" / "index.html"
NOTEBOOK_PAGES = ROOT / "build" / "page"
GRIDS = ("mnist-depth", "cifar10-depth", "convnet-depth", "convnet-head", "resnet-depth")
LOOKED_AT = 200  # first test images, of which the gallery shows some
WIDGET = "application/vnd.jupyter.widget-view+json"
WIDGET_NOTE = "*In the notebook a widget is here. It needs a kernel: `make jupyter`.*"
# Scripts of nbconvert's own template come from the network, and the notebooks need none of them.
OFFLINE = "{% extends 'lab/index.html.j2' %}" + "".join(
    f"{{% block {name} %}}{{% endblock %}}"
    for name in ("html_head_js", "html_head_js_mathjax", "html_head_js_mermaidjs")
)
# How charts tell networks apart.
COLORS = [matplotlib.colors.to_hex(color) for color in style.KIND_COLORS.values()]
KIND = alt.Color("kind:N", legend=None).scale(domain=list(style.KIND_COLORS), range=COLORS)
FAINT = alt.Opacity("faint:O", legend=None).scale(domain=[False, True], range=[0.9, 0.25])
TIME = alt.StrokeDash("time:N", legend=None).scale(
    domain=["trained", "untrained"], range=[[1, 0], [2, 3]]
)


def page(library: str, images: Mapping[str, Any]) -> str:
    """The page, from the stored runs and from two parts that take a while.

    Args:
        library: the JavaScript that draws the charts: Vega, Vega-Lite and Vega-Embed.
        images: what `images_for` returns.
    """
    parts = {
        "library": library,
        "curves": _json([curves(load(name, profile("full"))) for name in GRIDS]),
        "charts": _json(charts()),
        "gallery": _json(images),
    }
    template = (files("labutils.report") / "page.html").read_text("utf-8")
    return re.sub(r"\{\{ (\w+) \}\}", lambda found: parts[found[1]], template)


def part_of(written: str, name: str) -> str:
    """A part of a written page: the content of its script of this name."""
    return re.search(rf'<script id="{name}"[^>]*>(.*?)</script>', written, re.DOTALL)[1]


def _json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("</", r"<\/")  # or a script would end there


def curves(grid: Sequence[Run]) -> dict[str, Any]:
    """What the page shows of a depth grid: its runs, and by depth and kind what is said of them.

    `accuracy` are the cells of the tables in README.md; `means` has none where only some learned.
    """
    depths, said, accuracies, means = depths_of(grid), {}, {}, {}
    for depth, (residual, kind, _) in itertools.product(depths, style.PLAIN_AND_RESIDUAL):
        place, here = f"{depth} {kind}", position(grid, depth, residual)
        said[place] = here.said
        if here.runs:
            shares = [run.metrics["test_accuracy"] for run in here.runs]
            accuracies[place] = accuracy(here.runs)
            means[place] = None if some_learned(here.runs) else np.mean(shares)
    return {
        "title": grid_title(grid),
        "depths": depths,
        "opening": opening_depth(grid),
        "said": said,
        "accuracy": accuracies,
        "means": means,
        "runs": [_curves_of(run) for run in grid],
    }


def _curves_of(run: Run) -> dict[str, Any]:
    """One run; its lines are rounded to what a reader can see."""
    gradients = run.history["layers"]["activation_gradient_norm"]
    before, after = style.no_zeros(gradients[0]), style.no_zeros(gradients[-1])
    lines = {
        "train_loss": run.history["train_loss"],
        "val_accuracy": run.history["val_accuracy"],
        "untrained": before / before[-1],
        "trained": after / after[-1],
    }
    return {
        "name": run.folder.name,
        "depth": run.config.depth,
        "kind": kind_name(run.config),
        "test_accuracy": run.metrics["test_accuracy"],
    } | {name: list(map(_rounded, values)) for name, values in lines.items()}


def _rounded(value: float | None) -> float | None:
    """To four digits; what cannot be drawn on a logarithmic axis is a gap."""
    return None if value is None or not np.isfinite(value) else float(f"{value:.4g}")


def charts() -> dict[str, Any]:
    """The four charts as Vega-Lite; the page gives them their rows and limits."""
    low, high = alt.param(name="low", value=0.1), alt.param(name="high", value=1)
    logarithmic = alt.Scale(type="log", domainMin=low, domainMax=high, nice=False)
    depth = _numbers("depth", "depth (weight layers)")
    share = _values(".0%", alt.Scale(domain=[0, 1]))
    rows, means, here = (alt.Chart(alt.NamedData(name)) for name in ("rows", "means", "here"))

    def lines(x: str, y: alt.Y) -> alt.Chart:
        marks = rows.mark_line(clip=True, aria=False)
        return marks.encode(_numbers("x", x), y, TIME, KIND, FAINT, detail="name:N")

    final = alt.layer(
        here.mark_rule(color="gray", aria=False).encode(depth),
        means.mark_line(aria=False).encode(depth, share, KIND),
        rows.mark_point(filled=True, size=45, aria=False).encode(depth, share, KIND, FAINT),
    )
    made = {
        "train_loss": lines("epoch", _values("~g", logarithmic)).add_params(low, high),
        "val_accuracy": lines("epoch", share),
        "gradient": lines("layer", _values(".0e", logarithmic)).add_params(low, high),
        "test_accuracy": final,
    }
    return {name: _spec(chart) for name, chart in made.items()}


def _numbers(name: str, title: str) -> alt.X:
    axis = alt.Axis(format="d", tickMinStep=1, tickCount=8)
    return alt.X(f"{name}:Q", title=title, axis=axis).scale(zero=False, nice=False, padding=6)


def _values(form: str, scale: alt.Scale) -> alt.Y:
    # as wide for all numbers, so that charts stand still while they change
    axis = alt.Axis(format=form, tickCount=6, gridOpacity=0.4, minExtent=42)
    return alt.Y("value:Q", title=None, axis=axis, scale=scale)


def _spec(chart: alt.Chart | alt.LayerChart) -> dict[str, Any]:
    """As wide as the page lets it be; without the address of its schema."""
    sized = chart.properties(width="container", height=200)
    spec = sized.configure_axis(labelFontSize=12, titleFontSize=12, titleFontWeight="normal")
    return {key: value for key, value in spec.to_dict().items() if key != "$schema"}


def notebook_page(path: Path) -> str:
    """A notebook as HTML that needs no network: figures inside, a note in place of each widget."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace("](docs/", "](../../docs/")
        for output in cell.get("outputs", []):
            shown = output.get("data", {})
            if WIDGET in shown:
                output.data = nbformat.from_dict({"text/markdown": WIDGET_NOTE})
            elif "image/png" in shown:  # nbconvert's own template drops the alternative text
                said = html.escape(output.metadata["image/png"]["alt"])
                source = f"data:image/png;base64,{shown['image/png'].strip()}"
                output.data["text/html"] = f'<img alt="{said}" src="{source}">'
                del output.data["image/png"]
    exporter = HTMLExporter(raw_template=OFFLINE, embed_images=True)
    return exporter.from_notebook_node(notebook, {"metadata": {"name": path.stem}})[0]


def images_for(target: Path, network: Run) -> dict[str, Any]:
    """The gallery of a network, with the digest of its weights.

    Without the data set it is the one that the page `target` has.

    Raises:
        DataError: the data set is not there, and the page has no gallery of this network.
    """
    name, weights = network.config.data, network.metrics["weights_sha256"]
    if is_here(name):
        images = data.load(name).test.take(slice(LOOKED_AT))
        return {"weights": weights, **gallery(network.model(), images, class_names(name))}
    kept = json.loads(part_of(target.read_text("utf-8"), "gallery")) if target.exists() else {}
    if kept.get("weights") != weights:
        raise DataError(
            f"{target} has no images of {network.folder.name}, and {name} is not here to make "
            f"them. Download it with `python -m labutils data {name}`, then run `make page` again"
        )
    return kept


def write() -> None:
    """Write the page and the notebooks.

    Raises:
        DataError: as `images_for` does.
    """
    images = images_for(PAGE, load("strong", profile("full"))[0])
    write_file(PAGE, page(vl_convert.javascript_bundle(), images).encode())
    NOTEBOOK_PAGES.mkdir(parents=True, exist_ok=True)
    for path in report_notebooks():
        write_file(NOTEBOOK_PAGES / f"{path.stem}.html", notebook_page(path).encode())
    print(f"{PAGE.relative_to(ROOT)}, {NOTEBOOK_PAGES.relative_to(ROOT)}/")


if __name__ == "__main__":
    write()
