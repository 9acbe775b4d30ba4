"""Every figure of the report, drawn from stored runs, and the one way to save them."""

from labutils.figures.blocks import lesions
from labutils.figures.depth import (
    depth_accuracy,
    depth_curves,
    depth_differences,
    early_stopping,
    rescue_curves,
    width_curves,
)
from labutils.figures.detection import (
    accuracy_by_distance,
    answers_on_black,
    canvas_sheet,
    condition_scores,
    dense_map,
    detections_sheet,
    detector_curves,
    detector_view,
    failure_sheet,
)
from labutils.figures.explorers import depth_overview, explorer_view, gradient_view, live_curves
from labutils.figures.gradients import (
    ablation,
    first_layer_gradient,
    gradient_by_layer,
    gradient_maps,
    signal_by_layer,
    untrained_overview,
)
from labutils.figures.networks import (
    confusion,
    cost,
    mistakes,
    protocol_curves,
    schedule_curves,
    training_curves,
)
from labutils.figures.saving import report, save_figure

__all__ = [
    "ablation",
    "accuracy_by_distance",
    "answers_on_black",
    "canvas_sheet",
    "condition_scores",
    "confusion",
    "cost",
    "dense_map",
    "depth_accuracy",
    "depth_curves",
    "depth_differences",
    "depth_overview",
    "detections_sheet",
    "detector_curves",
    "detector_view",
    "early_stopping",
    "explorer_view",
    "failure_sheet",
    "first_layer_gradient",
    "gradient_by_layer",
    "gradient_maps",
    "gradient_view",
    "lesions",
    "live_curves",
    "mistakes",
    "protocol_curves",
    "report",
    "rescue_curves",
    "save_figure",
    "schedule_curves",
    "signal_by_layer",
    "training_curves",
    "untrained_overview",
    "width_curves",
]
