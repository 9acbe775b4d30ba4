"""FitConfig: how a network is trained."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from labutils.config.base import Config, ConfigError, Count, Natural, NotNegative, Positive, Share

# What only some optimisers take, and the value where it is left out.
MUON_OPTIONS = {"momentum": 0.9, "bias_learning_rate": 0.0, "head_learning_rate": 0.0}


@dataclass(frozen=True, kw_only=True)
class FitConfig(Config):
    """How a network is trained: optimiser, schedule, epochs, augmentation, precision, seed."""

    kind: ClassVar[str] = "fit"

    optimizer: Literal["adam", "adamw", "sgd", "muon"] = "adam"
    """sgd is with Nesterov momentum; muon trains filters, and such an sgd all other weights."""
    learning_rate: Positive = 1e-3
    """The highest learning rate of the schedule."""
    schedule: Literal["constant", "linear", "cosine", "one-cycle"] = "constant"
    """linear and cosine fall to zero; one-cycle rises first (Smith and Topin 2018)."""
    momentum: Share = 0.9
    """For sgd, and for muon's filters."""
    bias_learning_rate: NotNegative = 0.0
    """muon: highest rate of the sgd that trains biases and norms."""
    head_learning_rate: NotNegative = 0.0
    """muon: highest rate of the sgd that trains the head."""
    weight_decay: NotNegative = 0.0
    """Decoupled for adamw, an L2 term of the gradient for adam and sgd."""
    batch_size: Count = 128
    """The last, smaller batch of an epoch is used too."""
    epochs: Count = 20
    """The most epochs; fewer where early stopping ends the run."""
    patience: Count | None = None
    """Stop after so many epochs without lower validation loss, restore the best. Default: never."""
    label_smoothing: Share = 0.0
    """Share of the target spread over all classes; recorded losses are never smoothed."""
    flip: bool = False
    """Mirror each training image with probability one half."""
    alternating_flip: bool = False
    """With flip: mirror each image in every second epoch instead (Jordan 2024)."""
    crop_padding: Natural = 0
    """Pad training images by so many pixels and cut each back at a random place."""
    padding_mode: Literal["constant", "reflect"] = "constant"
    """What crop_padding pads with: black, or the image mirrored at its border."""
    cutout: Natural = 0
    """Side in pixels of a square blanked at a random place of each training image."""
    precision: Literal["fp32", "bf16", "fp64"] = "fp32"
    """bf16 is autocast: weights stay in fp32. fp64: everything, from the same initial numbers."""
    gradient_epochs: tuple[Natural, ...] = ()
    """Epochs after which the first layer's gradient is kept in the history; 0: before training."""
    seed: Natural = 0
    """Draws initial weights, data order and augmentation; never the split."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for epoch in self.gradient_epochs:
            if epoch > self.epochs:
                raise ConfigError(f"gradient_epochs has {epoch}: give epochs up to {self.epochs}")
        self._check_optimizer()
        if self.precision == "fp64" and (self.source_field or self.optimizer == "muon"):
            raise ConfigError(
                "fp64 is for classifiers without a source, trained by adam, adamw or sgd: take fp32"
            )
        if self.padding_mode != "constant" and not self.crop_padding:
            raise ConfigError(
                "padding_mode says what crop_padding pads with: give that too, or leave it out"
            )
        if self.alternating_flip and not self.flip:
            raise ConfigError("alternating_flip says how to mirror: give flip too, or leave it out")

    def _check_optimizer(self) -> None:
        if self.optimizer == "sgd" and self.momentum == 0:
            raise ConfigError("sgd uses Nesterov momentum: give momentum above 0, for example 0.9")
        taken = {"sgd": ("momentum",), "muon": tuple(MUON_OPTIONS)}.get(self.optimizer, ())
        for name, neutral in MUON_OPTIONS.items():
            if name not in taken and getattr(self, name) != neutral:
                raise ConfigError(
                    f"{self.optimizer} has no option {name} (given {getattr(self, name)}): leave "
                    f"it out, or take {'sgd or muon' if name == 'momentum' else 'muon'}"
                )
        if self.optimizer == "muon" and 0 in (self.bias_learning_rate, self.head_learning_rate):
            raise ConfigError(
                "muon trains filters alone: give bias_learning_rate and head_learning_rate, above "
                "0, for example 0.5 and 0.05"
            )
