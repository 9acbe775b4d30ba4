"""Curves and gradients of stored runs, by family, depth and skip."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets
from IPython.display import HTML, Image, clear_output, display

from labutils.config.data_sets import DATA_SETS
from labutils.report.explorers.drawing import WIDE, draw
from labutils.report.explorers.figures import explorer_view
from labutils.report.names import count_of, family_name
from labutils.report.statistics import accuracy, select, spread
from labutils.runs.store import Run


class DepthExplorer(ipywidgets.VBox):
    """Curves, gradient norms and final numbers of stored runs, by family, depth and skip.

    Nothing is trained: a position shows the runs it finds, in well under 200 ms, and says in a
    sentence what is missing where there are none.

    Args:
        grids: the runs of each depth grid, one family on one data set.

    Raises:
        ValueError: there is no run at all to show.
    """

    def __init__(self, *grids: Sequence[Run]) -> None:
        self.grids = {_grid_title(runs): list(runs) for runs in grids if runs}
        if not self.grids:
            raise ValueError("no runs to explore: load a depth grid with experiments.load first")
        self.grid = ipywidgets.Dropdown(
            options=list(self.grids), description="Networks", style=WIDE
        )
        self.depth = ipywidgets.SelectionSlider(
            options=self._depths(),
            description="Depth (weight layers)",
            continuous_update=False,
            style=WIDE,
            layout={"width": "26em"},
        )
        self.residual = ipywidgets.Checkbox(
            value=False, description="Residual (skip connections)", indent=False
        )
        self.output = ipywidgets.Output()
        self.grid.observe(self._new_grid, "value")
        for control in (self.depth, self.residual):
            control.observe(self._update, "value")
        row = ipywidgets.HBox([self.grid, self.depth, self.residual])
        super().__init__([row, self.output])
        self._update()

    def _depths(self) -> list[int]:
        return sorted({run.config.depth for run in self.grids[self.grid.value]})

    def _new_grid(self, change: object) -> None:
        """Offer the depths of the chosen grid, stay at the nearest one, and draw once."""
        before, depths = self.depth.value, self._depths()
        self.depth.unobserve(self._update, "value")
        self.depth.options = depths
        self.depth.value = min(depths, key=lambda depth: abs(depth - before))
        self.depth.observe(self._update, "value")
        self._update()

    def _update(self, change: object = None) -> None:
        with self.output:
            clear_output(wait=True)
            self._show(self.grid.value, self.depth.value, self.residual.value)

    def _show(self, grid: str, depth: int, residual: bool) -> None:
        runs = select(self.grids[grid], depth=depth, residual=residual)
        if not runs:
            display(HTML(self._missing(grid, depth, residual)))
            return
        display(HTML(f"<p>{_sentence(runs)}</p>"))
        display(Image(data=draw(explorer_view, runs), alt=_sentence(runs)))

    def _missing(self, grid: str, depth: int, residual: bool) -> str:
        kind = "residual" if residual else "plain"
        if depth == 2 and residual:
            return "<p>At depth 2 there is no block to put a skip around: look at it plain.</p>"
        return f"<p>No {kind} run of depth {depth} of {grid} was given to this explorer.</p>"


def _grid_title(runs: Sequence[Run]) -> str:
    """For example `ConvNet, CIFAR-10`."""
    config = runs[0].config
    norm = ", batch norm" if config.norm == "batch" else ""
    return f"{family_name(config)}{norm}, {DATA_SETS[config.data].title}"


def _sentence(runs: Sequence[Run]) -> str:
    """Final numbers of the seeds shown."""
    loss = spread([run.history["train_loss"][-1] for run in runs], 3)
    diverged = sum(run.metrics["status"] == "diverged" for run in runs)
    text = (
        f"{count_of(runs)}: test accuracy {accuracy(runs)}, "
        f"training loss {loss}, {runs[0].metrics['parameters']:,} parameters"
    )
    return text + (f", {diverged} diverged." if diverged else ".")
