"""FCNConfig: a digit detector's whole run, the canvases that it is trained on included."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from labutils.config.base import ConfigError, NotNegative, Positive, Share, Within
from labutils.config.fit import FitConfig

DIGIT_SIDE = 28  # pixels of a picture of one digit
Few = Annotated[int, Within(0, 100)]
# What FitConfig has and a detector has not: its variety comes from canvases drawn anew.
REFUSED = (
    "patience", "label_smoothing", "flip", "alternating_flip", "crop_padding", "cutout",
    "padding_mode", "gradient_epochs",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FCNConfig(FitConfig):
    """A digit detector's whole run: where it starts, what it is shown, how it is trained.

    An epoch is `canvases` canvases, drawn anew each time from the training digits.

    Raises:
        ConfigError: a value is out of range, or it is an option that detectors do not have.
    """

    kind: ClassVar[str] = "fcn"
    source_field: ClassVar[str] = "classifier"

    data: Literal["mnist", "digits"] = "mnist"
    """Where digits come from; digits is built in."""
    classifier: str = ""
    """Id of the stored classifier whose weights it starts from. Default: drawn from the seed."""
    model: Literal["small-cnn", "cnn"] = "cnn"
    """The classifier's family; small-cnn is without padding here, cnn with batch norm."""
    width: Annotated[int, Within(1, 1024)] = 32
    """Filters of the first convolution, as of the classifier, and of learned upsampling."""
    head: Literal["sliding", "deconvolution", "skip"] = "sliding"
    """The classifier's own, its coarse map interpolated; or that and details that transposed
    convolutions learn to add; or that and scores of finer feature maps (cnn)."""
    background: bool = True
    """An eleventh class where no digit is; without it the digit labels its whole canvas."""
    background_weight: Positive = 1.0
    """Weight of a background pixel in the loss, that of a digit's pixel being 1. The answers
    are those of unweighted pixels all the same: see `training.weighted_cross_entropy`."""
    canvases: Annotated[int, Within(1, 10**6)] = 20_000
    """Canvases an epoch."""
    size: Annotated[int, Within(DIGIT_SIDE, 1024)] = 64
    """Height and width of a canvas in pixels."""
    number: tuple[Few, Few] = (1, 1)
    """The fewest and the most digits on a canvas."""
    scale: tuple[Positive, Positive] = (1.0, 1.0)
    """Smallest and largest digit, 1 being the size of the data set's."""
    touching: Share = 0.0
    """Share of canvases that ask for two digits or more, each touching the one before; where no
    place is found there are fewer."""
    clutter: Share = 0.0
    """Share of canvases with noise, strokes or pieces of letters behind the digits."""
    rotation: NotNegative = 0.0
    """Turn each digit that it trains on by up to so many degrees, either way."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("number", "scale"):
            pair = getattr(self, name)
            if not isinstance(pair, tuple) or len(pair) != 2 or pair[0] > pair[1]:
                raise ConfigError(f"{name} is {pair!r}: give two numbers, the smaller first")
        if self.size < DIGIT_SIDE * self.scale[1]:
            raise ConfigError(
                f"a digit of scale {self.scale[1]:g} does not fit on {self.size} pixels: give a "
                f"size of at least {math.ceil(DIGIT_SIDE * self.scale[1])}, or a smaller scale"
            )
        if self.touching and self.number[1] < 2:
            raise ConfigError("touching needs two digits or more: give number, for example (1, 3)")
        if self.head == "skip" and self.model != "cnn":
            raise ConfigError(
                f"head skip adds maps that double up to the canvas's size, {self.model} has maps "
                "that shrink: take model cnn, or another head"
            )
        single = self.number == (1, 1) and not self.clutter and self.background_weight == 1
        if not self.background and not single:
            raise ConfigError(
                "without background a canvas has the label of its one digit: leave number (1, 1), "
                "clutter 0 and background_weight 1"
            )
        if self.optimizer == "muon":
            raise ConfigError("muon trains classifiers alone: take adam, adamw or sgd")
        for name in REFUSED:
            if getattr(self, name) != getattr(FitConfig, name):
                raise ConfigError(
                    f"a detector has no option {name} (given {getattr(self, name)!r}): leave it out"
                )

    @property
    def label(self) -> str:
        """For example `mnist-fcn-cnn-sliding-s0`."""
        labels = "" if self.background else "-no-background"
        return f"{self.data}-fcn-{self.model}-{self.head}{labels}-s{self.seed}"
