"""Curves and gradients of stored runs, by family, depth and skip."""

from collections.abc import Sequence

import ipywidgets

from labutils.config import DATA_SETS
from labutils.report.explorers.drawing import SLIDER, WIDE, Explorer, draw
from labutils.report.explorers.figures import explorer_view
from labutils.report.names import count_of, family_name, kind_name
from labutils.report.statistics import accuracy, learned, percent, select, some_learned, train_loss
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
            value=self._opening(),
            description="Depth (weight layers)",
            **SLIDER,
            layout={"width": "40em"},
        )
        self.residual = ipywidgets.Checkbox(
            value=False, description="Residual (skip connections)", indent=False
        )
        super().__init__(self.grid, [self.grid, self.depth, self.residual])

    def _depths(self) -> list[int]:
        return sorted({run.config.depth for run in self.grids[self.grid.value]})

    def _opening(self) -> int:
        """The least depth at which some plain network does not learn, else the least of all."""
        failed = {
            r.config.depth
            for r in select(self.grids[self.grid.value], residual=False)
            if not learned(r)
        }
        return min(failed or self._depths())

    def adapt(self) -> None:
        """Offer the depths of the chosen grid, and stay at the nearest one."""
        before, depths = self.depth.value, self._depths()
        self.depth.options = depths
        self.depth.value = min(depths, key=lambda depth: abs(depth - before))

    def look(self) -> tuple[str, bytes | None]:
        """The runs at this position, or what is missing."""
        grid, depth, residual = self.grid.value, self.depth.value, self.residual.value
        runs, twins = (
            select(self.grids[grid], depth=depth, residual=kind)
            for kind in (residual, not residual)
        )
        if runs:
            return _sentence(runs, twins), draw(explorer_view, runs, twins)
        if depth == 2 and residual:
            return "At depth 2 there is no block to put a skip around: look at it plain.", None
        kind = "residual" if residual else "plain"
        return f"No {kind} run of depth {depth} of {grid} was given to this explorer.", None


def _grid_title(runs: Sequence[Run]) -> str:
    """For example `ConvNet, CIFAR-10`."""
    config = runs[0].config
    norm = ", batch norm" if config.norm == "batch" else ""
    return f"{family_name(config)}{norm}, {DATA_SETS[config.data].title}"


def _sentence(runs: Sequence[Run], twins: Sequence[Run]) -> str:
    """What is seen of the seeds shown, and of their twins, which are drawn faintly."""
    parameters = f"{runs[0].metrics['parameters']:,} parameters"
    text = f"{_learning(runs).capitalize()} (training loss {train_loss(runs)}, {parameters})."
    return f"{text} Faintly: {_learning(twins)}." if twins else text


def _learning(runs: Sequence[Run]) -> str:
    """For example `plain, depth 22: 1 of 3 seeds learns, test accuracy 11.35 %, 87.00 %, …`."""
    config, count = runs[0].config, sum(map(learned, runs))
    learn = f"{count} of {count_of(runs)} {'learns' if count == 1 else 'learn'}"
    diverged = sum(run.metrics["status"] == "diverged" for run in runs)
    each = [percent(run.metrics["test_accuracy"]) for run in runs]
    shares = each if some_learned(runs) else [accuracy(runs)]
    return (
        f"{kind_name(config)}, depth {config.depth}: {learn}, "
        + (f"{diverged} diverged, " if diverged else "")
        + f"test accuracy {', '.join(shares)}"
    )
