"""Curves and gradients of stored runs, by family, depth and skip."""

from collections.abc import Sequence
from typing import NamedTuple

import ipywidgets

from labutils.config import DATA_SETS
from labutils.report.explorers.drawing import DEPTH, RESIDUAL, WIDE, Explorer, draw
from labutils.report.explorers.figures import explorer_view
from labutils.report.names import count_of, family_name, kind_name
from labutils.report.statistics import accuracy, learned, percent, select, some_learned, train_loss
from labutils.runs.store import Run


class DepthExplorer(Explorer):
    """Curves, gradient norms and final numbers of stored runs; nothing is trained.

    Args:
        grids: the runs of each depth grid, one family on one data set.

    Raises:
        ValueError: there is no run at all to show.
    """

    def __init__(self, *grids: Sequence[Run]) -> None:
        self.grids = {grid_title(runs): list(runs) for runs in grids if runs}
        if not self.grids:
            raise ValueError("no runs to explore: load a depth grid with experiments.load first")
        titles, first = list(self.grids), next(iter(self.grids.values()))
        self.grid = ipywidgets.Dropdown(options=titles, description="Networks", style=WIDE)
        depths, opening, layout = depths_of(first), opening_depth(first), {"width": "40em"}
        self.depth = ipywidgets.SelectionSlider(
            options=depths, value=opening, layout=layout, **DEPTH
        )
        self.residual = ipywidgets.Checkbox(**RESIDUAL)
        super().__init__(self.grid, [self.grid, self.depth, self.residual])

    def adapt(self) -> None:
        """Offer the depths of the chosen grid, and stay at the nearest one."""
        before, depths = self.depth.value, depths_of(self.grids[self.grid.value])
        self.depth.options = depths
        self.depth.value = min(depths, key=lambda depth: abs(depth - before))

    def look(self) -> tuple[str, bytes | None]:
        """The runs at this position, or what is missing."""
        runs = self.grids[self.grid.value]
        here = position(runs, self.depth.value, self.residual.value)
        return here.said, draw(explorer_view, here.runs, here.twins) if here.runs else None


class Position(NamedTuple):
    """What is seen of a grid at one depth, with skips or without.

    Attributes:
        runs: a seed each.
        twins: those of the other kind, which are drawn faintly.
        said: what one sees, or that there are no runs, in a sentence.
    """

    runs: list[Run]
    twins: list[Run]
    said: str


def position(grid: Sequence[Run], depth: int, residual: bool) -> Position:
    """What a grid has at this position."""
    runs, twins = (select(grid, depth=depth, residual=kind) for kind in (residual, not residual))
    if runs:
        loss = "" if some_learned(runs) else f"training loss {train_loss(runs)}, "
        parameters = f"{runs[0].metrics['parameters']:,} parameters"
        said = f"{_learning(runs).capitalize()} ({loss}{parameters})."
        said += f" Faintly: {_learning(twins)}." if twins else ""
    elif depth == 2 and residual:
        said = "At depth 2 there is no block to put a skip around: look at it plain."
    else:
        kind = "residual" if residual else "plain"
        said = f"No {kind} run of depth {depth} of {grid_title(grid)} was given to this explorer."
    return Position(runs, twins, said)


def depths_of(grid: Sequence[Run]) -> list[int]:
    """The depths of a grid, in rising order."""
    return sorted({run.config.depth for run in grid})


def opening_depth(grid: Sequence[Run]) -> int:
    """The least depth at which some plain network does not learn, else the least of all."""
    failed = [run.config.depth for run in select(grid, residual=False) if not learned(run)]
    return min(failed or depths_of(grid))


def grid_title(runs: Sequence[Run]) -> str:
    """For example `ConvNet, CIFAR-10`."""
    config = runs[0].config
    norm = ", batch norm" if config.norm == "batch" else ""
    return f"{family_name(config)}{norm}, {DATA_SETS[config.data].title}"


def _learning(runs: Sequence[Run]) -> str:
    """For example `plain, depth 22: 1 of 3 seeds learns, test accuracy 11.35 %, 87.00 %, …`."""
    config, count = runs[0].config, sum(map(learned, runs))
    learn = f"{count} of {count_of(runs)} {'learns' if count == 1 else 'learn'}"
    if diverged := sum(run.metrics["status"] == "diverged" for run in runs):
        learn += f", {diverged} diverged"
    each = [percent(run.metrics["test_accuracy"]) for run in runs]
    shares = ", ".join(each) if some_learned(runs) else accuracy(runs)
    return f"{kind_name(config)}, depth {config.depth}: {learn}, test accuracy {shares}"
