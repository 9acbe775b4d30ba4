"""Gradients and activations, layer by layer, of networks that are built on the spot."""

import html
import math
from collections.abc import Mapping
from typing import ClassVar

import ipywidgets
from jaxtyping import Int64, UInt8
from torch import Tensor

from labutils.config import ConfigError, RunConfig
from labutils.report.explorers.drawing import DEPTH, RESIDUAL, SLIDER, WIDE, Explorer, draw
from labutils.report.explorers.figures import gradient_view
from labutils.report.names import network_name
from labutils.report.statistics import percent
from labutils.training.statistics import untrained_statistics

INITS = (
    ("PyTorch's default", "default"),
    ("He's normal", "he"),
    ("He's, last of each block zero", "zero-residual"),
)


class GradientExplorer(Explorer):
    """Gradients and activations by layer of a network that is built and never trained.

    Each move draws new initial weights and sends one batch forward and back: in 0.14 s for MLPs
    and 0.18 s for ConvNets of depth 40, on two cores.

    Args:
        images: one batch; ConvNets see the first of it.
        opening: what `untrained_statistics` measures of `OPENING` on all images, where it is
            stored: so a page without a kernel shows the same on every machine.
    """

    OPENING: ClassVar = RunConfig(depth=20, width=64)
    # convolutions cost more: with more of either a move takes visibly longer
    WIDTHS: ClassVar = {"mlp": (4, 8, 16, 32, 64, 128), "convnet": (4, 8, 16)}
    CONVNET_IMAGES = 16

    def __init__(
        self,
        images: UInt8[Tensor, "batch channels height width"],
        labels: Int64[Tensor, " batch"],
        opening: Mapping[str, list[float]] | None = None,
    ) -> None:
        self.images, self.labels, self.opening = images, labels, opening
        self.model = ipywidgets.Dropdown(
            options=[("MLP", "mlp"), ("ConvNet", "convnet")], description="Network"
        )
        depth, width, layout = self.OPENING.depth, self.OPENING.width, {"width": "22em"}
        self.depth = ipywidgets.IntSlider(
            value=depth, min=4, max=40, step=2, layout=layout, **DEPTH
        )
        self.width = ipywidgets.SelectionSlider(
            options=self.WIDTHS["mlp"], value=width, description="Width", layout=layout, **SLIDER
        )
        self.residual = ipywidgets.Checkbox(**RESIDUAL)
        self.norm = ipywidgets.Checkbox(description="Batch norm", indent=False)
        self.init = ipywidgets.Dropdown(options=INITS, description="Initial weights", style=WIDE)
        first, second = (self.model, self.depth, self.width), (self.residual, self.norm, self.init)
        super().__init__(self.model, first, second)

    def config(self) -> RunConfig:
        """The network that the controls describe.

        Raises:
            ConfigError: there is none; the message says what to change.
        """
        return RunConfig(
            model=self.model.value,
            depth=self.depth.value,
            width=self.width.value,
            residual=self.residual.value,
            norm="batch" if self.norm.value else "none",
            init=self.init.value,
            stem_stride=2 if self.model.value == "convnet" else 1,
        )

    def adapt(self) -> None:
        """Offer the widths of the chosen kind of network, and stay at the nearest one."""
        before, widths = self.width.value, self.WIDTHS[self.model.value]
        self.width.options = widths
        self.width.value = min(before, max(widths))

    def look(self) -> tuple[str, bytes | None]:
        """What its layers get and hand on, or why there is no such network."""
        try:
            config = self.config()
        except ConfigError as error:
            return f"There is no such network: {html.escape(str(error))}.", None
        count = self.CONVNET_IMAGES if config.model == "convnet" else len(self.images)
        found = self.opening if config == self.OPENING else None
        found = found or untrained_statistics(config, self.images, self.labels, count)
        return _sentence(config, found, count), draw(gradient_view, found, config.residual)


def _sentence(config: RunConfig, found: Mapping[str, list[float]], images: int) -> str:
    """What the first layer gets and what the last hidden layer still tells apart."""
    gradient = found["activation_gradient_norm"]
    share = gradient[0] / gradient[-1] if gradient[-1] else math.nan
    spread, mean = found["activation_image_std"][-2], abs(found["activation_mean"][-2])
    dead = percent(max(found["dead_units"][:-1]))
    return (
        f"{network_name(config)}, width {config.width}, not trained, on {images} "
        f"images: the gradient at the first layer is {share:.1e} times that at the logits; a "
        f"unit of the last hidden layer deviates by {spread:.1e} across images around {mean:.1e}; "
        f"at most {dead} of a layer's units are dead."
    )
