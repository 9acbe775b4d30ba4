"""Every table of the report, from stored runs, as pandas frames and as Markdown."""

from labutils.tables.ablation import ablation_table, gradient_table, lesion_table, rate_table
from labutils.tables.depth import (
    block_table,
    dead_table,
    depth_table,
    model_table,
    rescue_table,
    width_table,
)
from labutils.tables.detection import (
    alarm_table,
    black_table,
    condition_table,
    conversion_table,
    dense_table,
    detector_table,
    pointing_table,
    pyramid_table,
)
from labutils.tables.networks import (
    augmentation_table,
    head_table,
    protocol_table,
    recipe_table,
    schedule_table,
    side_table,
    size_table,
    strong_table,
)
from labutils.tables.readme import benchmarks, headline, report
from labutils.tables.rendering import markdown, show

__all__ = [
    "ablation_table",
    "alarm_table",
    "augmentation_table",
    "benchmarks",
    "black_table",
    "block_table",
    "condition_table",
    "conversion_table",
    "dead_table",
    "dense_table",
    "depth_table",
    "detector_table",
    "gradient_table",
    "head_table",
    "headline",
    "lesion_table",
    "markdown",
    "model_table",
    "pointing_table",
    "protocol_table",
    "pyramid_table",
    "rate_table",
    "recipe_table",
    "report",
    "rescue_table",
    "schedule_table",
    "show",
    "side_table",
    "size_table",
    "strong_table",
    "width_table",
]
