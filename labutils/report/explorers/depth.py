"""Curves and gradients of stored runs, by family, depth and skip."""

from collections.abc import Sequence

import ipywidgets

from labutils.config import DATA_SETS
from labutils.report.explorers.drawing import SLIDER, WIDE, Explorer, draw
from labutils.report.explorers.figures import explorer_view
from labutils.report.names import count_of, family_name
from labutils.report.statistics import accuracy, select, train_loss
from labutils.runs.store import Run


class DepthExplorer(Explorer):
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
            **SLIDER,
            layout={"width": "26em"},
        )
        self.residual = ipywidgets.Checkbox(
            value=False, description="Residual (skip connections)", indent=False
        )
        super().__init__(self.grid, [self.grid, self.depth, self.residual])

    def _depths(self) -> list[int]:
        return sorted({run.config.depth for run in self.grids[self.grid.value]})

    def adapt(self) -> None:
        """Offer the depths of the chosen grid, and stay at the nearest one."""
        before, depths = self.depth.value, self._depths()
        self.depth.options = depths
        self.depth.value = min(depths, key=lambda depth: abs(depth - before))

    def look(self) -> tuple[str, bytes | None]:
        """The runs at this position, or what is missing."""
        grid, depth, residual = self.grid.value, self.depth.value, self.residual.value
        runs = select(self.grids[grid], depth=depth, residual=residual)
        if runs:
            return _sentence(runs), draw(explorer_view, runs)
        if depth == 2 and residual:
            return "At depth 2 there is no block to put a skip around: look at it plain.", None
        kind = "residual" if residual else "plain"
        return f"No {kind} run of depth {depth} of {grid} was given to this explorer.", None


def _grid_title(runs: Sequence[Run]) -> str:
    """For example `ConvNet, CIFAR-10`."""
    config = runs[0].config
    norm = ", batch norm" if config.norm == "batch" else ""
    return f"{family_name(config)}{norm}, {DATA_SETS[config.data].title}"


def _sentence(runs: Sequence[Run]) -> str:
    """Final numbers of the seeds shown."""
    diverged = sum(run.metrics["status"] == "diverged" for run in runs)
    text = (
        f"{count_of(runs)}, test accuracy: {accuracy(runs)}, "
        f"training loss: {train_loss(runs)}, {runs[0].metrics['parameters']:,} parameters"
    )
    return text + (f", {diverged} diverged." if diverged else ".")
