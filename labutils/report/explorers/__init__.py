"""ipywidgets explorers for the notebooks; nothing else imports ipywidgets."""

from labutils.widgets.depth import DepthExplorer
from labutils.widgets.detector import DetectorExplorer
from labutils.widgets.gradient import GradientExplorer
from labutils.widgets.live import TrainLive

__all__ = ["DepthExplorer", "DetectorExplorer", "GradientExplorer", "TrainLive"]
