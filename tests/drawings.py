"""What is drawn on the axes of a figure."""

from matplotlib.axes import Axes
from matplotlib.lines import Line2D


def lines(ax: Axes) -> list[Line2D]:
    """The lines that have points, without those of legends."""
    return [line for line in ax.get_lines() if len(line.get_xdata())]
