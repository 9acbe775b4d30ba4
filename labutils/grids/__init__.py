"""The report's grids of runs: one epoch count, optimiser and schedule a block."""

from labutils.grids.convnets import (
    augmentation_grid,
    convnet_grid,
    head_grid,
    lesion_pair,
    mlp_like_convnet_grid,
    mnist_cnn_grid,
    resnet_grid,
    schedule_grid,
    side_by_side,
    side_by_side_sgd,
)
from labutils.grids.detection import (
    BEST_HEAD,
    detector_classifiers,
    detector_grid,
    no_background_grid,
    window_classifier,
)
from labutils.grids.gradients import (
    ablation_grid,
    ablation_rates,
    gradient_grid,
    untrained_networks,
)
from labutils.grids.mlps import (
    STALL_DEPTH,
    best_mlp_grid,
    block_grid,
    depth_grid,
    rescue_grid,
    width_grid,
)
from labutils.grids.strong import strong_brief, strong_grid, strong_plain, strong_recipes

__all__ = [
    "BEST_HEAD",
    "STALL_DEPTH",
    "ablation_grid",
    "ablation_rates",
    "augmentation_grid",
    "best_mlp_grid",
    "block_grid",
    "convnet_grid",
    "depth_grid",
    "detector_classifiers",
    "detector_grid",
    "gradient_grid",
    "head_grid",
    "lesion_pair",
    "mlp_like_convnet_grid",
    "mnist_cnn_grid",
    "no_background_grid",
    "rescue_grid",
    "resnet_grid",
    "schedule_grid",
    "side_by_side",
    "side_by_side_sgd",
    "strong_brief",
    "strong_grid",
    "strong_plain",
    "strong_recipes",
    "untrained_networks",
    "width_grid",
    "window_classifier",
]
