"""ipywidgets for the notebooks: nothing else imports ipywidgets."""

from labutils.report.explorers.depth import DepthExplorer
from labutils.report.explorers.detector import DetectorExplorer
from labutils.report.explorers.gradient import GradientExplorer
from labutils.report.explorers.live import TrainLive
from labutils.report.explorers.maps import MapExplorer

__all__ = ["DepthExplorer", "DetectorExplorer", "GradientExplorer", "MapExplorer", "TrainLive"]
