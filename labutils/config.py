"""Frozen dataclasses that say everything that decides a result, and the ids made from them."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal, NamedTuple, Self

DataName = Literal["mnist", "cifar10", "cifar100", "digits", "shapes10", "shapes20"]
ModelName = Literal["mlp", "convnet", "small-cnn", "cnn", "resnet", "strong"]


class ConfigError(ValueError):
    """A configuration that cannot be run; the message says what to change."""


class Family(NamedTuple):
    """What a model family takes where the configuration leaves a field open, and what it knows."""

    depth: int
    width: int
    norm: str
    dropout: float
    options: frozenset[str]
    fixed_depth: bool = False


FAMILIES: dict[str, Family] = {
    "mlp": Family(4, 128, "none", 0.0, frozenset({"residual", "norm", "init", "dropout"})),
    "convnet": Family(
        10, 32, "none", 0.0, frozenset({"residual", "norm", "init", "head", "stem_stride"})
    ),
    "small-cnn": Family(
        4, 32, "none", 0.0, frozenset({"norm", "init", "dropout", "unpadded"}), True
    ),
    "cnn": Family(8, 64, "batch", 0.5, frozenset({"norm", "init", "dropout"}), True),
    "resnet": Family(20, 16, "batch", 0.0, frozenset({"residual", "norm", "init", "stages"})),
    "strong": Family(9, 64, "batch", 0.0, frozenset({"residual", "init"}), True),
}

# What only some families take.
MODEL_OPTIONS = (
    "residual", "norm", "init", "head", "stem_stride", "unpadded", "stages", "dropout"
)  # fmt: skip
# What only some optimisers take, and the value where it is left out.
MUON_OPTIONS = {"momentum": 0.9, "bias_learning_rate": 0.0, "head_learning_rate": 0.0}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Base of every configuration: validation, identity, and the way to and from JSON.

    `recipe` is raised by hand when code changes what a configuration of this class computes:
    then every id changes, and no stored run is mistaken for a new one.
    """

    recipe: ClassVar[int] = 1
    kind: ClassVar[str] = "config"

    def __post_init__(self) -> None:
        for field in fields(self):
            value, kind = getattr(self, field.name), str(field.type)
            if kind.startswith("float") and isinstance(value, int) and not isinstance(value, bool):
                object.__setattr__(self, field.name, float(value))
            if kind.startswith("tuple") and isinstance(value, list):  # as JSON has it
                object.__setattr__(self, field.name, tuple(value))
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{field.name} is {value}: give a finite number")
            if kind == "bool" and not isinstance(value, bool):  # 1 would make another id than True
                raise ConfigError(f"{field.name} is {value!r}: give True or False")

    @property
    def id(self) -> str:
        """Eight hexadecimal digits: the hash of the recipe and all fields that are not default.

        A field that is added later, with a default that means "as before", changes no id.
        """
        changed = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }
        text = json.dumps(
            {"kind": self.kind, "recipe": self.recipe, "fields": changed}, sort_keys=True
        )
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def label(self) -> str:
        """The part of a run's folder name that is for people; subclasses say more."""
        return self.kind

    @property
    def name(self) -> str:
        """Folder name of the run: `label-id`."""
        return f"{self.label}-{self.id}"

    def to_dict(self) -> dict[str, Any]:
        """All fields, with `kind`, `id` and `recipe`, ready for JSON."""
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return {"kind": self.kind, "id": self.id, "recipe": self.recipe, **values}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read what `to_dict` wrote. Fields that are missing take their defaults.

        Raises:
            ConfigError: a field is unknown, or the values were written by another recipe.
        """
        values = dict(values)
        kind, recipe = values.pop("kind", cls.kind), values.pop("recipe", cls.recipe)
        values.pop("id", None)
        if kind != cls.kind:
            raise ConfigError(f"this is a configuration of kind {kind!r}, not {cls.kind!r}")
        if recipe != cls.recipe:
            raise ConfigError(f"written by recipe {recipe}; this version has recipe {cls.recipe}")
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ConfigError(f"unknown fields {unknown}: written by a newer version of labutils?")
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class FitConfig(Config):
    """How a network is trained: optimiser, schedule, epochs, augmentation, precision, seed."""

    kind: ClassVar[str] = "fit"

    optimizer: Literal["adam", "adamw", "sgd", "muon"] = "adam"
    """sgd is with Nesterov momentum; muon trains filters, and such an sgd all other weights."""
    learning_rate: float = 1e-3
    """The highest learning rate of the schedule."""
    schedule: Literal["constant", "linear", "cosine", "one-cycle"] = "constant"
    """linear and cosine fall to zero; one-cycle rises first (Smith and Topin 2018)."""
    momentum: float = 0.9
    """For sgd, and for muon's filters."""
    bias_learning_rate: float = 0.0
    """muon: highest rate of the sgd that trains biases and norms."""
    head_learning_rate: float = 0.0
    """muon: highest rate of the sgd that trains the head."""
    weight_decay: float = 0.0
    """Decoupled for adamw, an L2 term of the gradient for adam and sgd."""
    batch_size: int = 128
    """The last, smaller batch of an epoch is used too."""
    epochs: int = 20
    """The most epochs; fewer where early stopping ends the run."""
    patience: int | None = None
    """Stop after so many epochs without lower validation loss, restore the best. Default: never."""
    label_smoothing: float = 0.0
    """Share of the target spread over all classes; recorded losses are never smoothed."""
    flip: bool = False
    """Mirror each training image with probability one half."""
    alternating_flip: bool = False
    """With flip: mirror each image in every second epoch instead (Jordan 2024)."""
    crop_padding: int = 0
    """Pad training images by so many black pixels and cut each back at a random place."""
    cutout: int = 0
    """Side in pixels of a square blanked at a random place of each training image."""
    small_epochs: int = 0
    """Train so many epochs at first on images shrunk to `small_size`; crops shrink with them."""
    small_size: int = 0
    """Side in pixels of the training images of the first `small_epochs` epochs."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 is autocast: weights stay in fp32."""
    gradient_epochs: tuple[int, ...] = ()
    """Epochs after which the first layer's gradient is kept in the history; 0: before training."""
    seed: int = 0
    """Draws initial weights, data order and augmentation; never the split."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _choice("optimizer", self.optimizer, ("adam", "adamw", "sgd", "muon"))
        _choice("schedule", self.schedule, ("constant", "linear", "cosine", "one-cycle"))
        _choice("precision", self.precision, ("fp32", "bf16"))
        _at_least("learning_rate", self.learning_rate, 0.0, strict=True)
        _at_least("weight_decay", self.weight_decay, 0.0)
        _at_least("epochs", self.epochs, 1)
        _at_least("batch_size", self.batch_size, 1)
        _at_least("crop_padding", self.crop_padding, 0)
        _at_least("cutout", self.cutout, 0)
        _at_least("small_epochs", self.small_epochs, 0)
        _at_least("small_size", self.small_size, 0)
        _at_least("bias_learning_rate", self.bias_learning_rate, 0.0)
        _at_least("head_learning_rate", self.head_learning_rate, 0.0)
        _at_least("seed", self.seed, 0)
        _below_one("momentum", self.momentum)
        _below_one("label_smoothing", self.label_smoothing)
        if self.patience is not None:
            _at_least("patience", self.patience, 1)
        for epoch in self.gradient_epochs:
            _at_least("gradient_epochs", epoch, 0)
            if epoch > self.epochs:
                raise ConfigError(f"gradient_epochs has {epoch}: give epochs up to {self.epochs}")
        self._check_optimizer()
        if self.alternating_flip and not self.flip:
            raise ConfigError("alternating_flip says how to mirror: give flip too, or leave it out")
        if bool(self.small_epochs) != bool(self.small_size) or self.small_epochs > self.epochs:
            raise ConfigError(
                f"small_epochs {self.small_epochs}, small_size {self.small_size}: give both or "
                f"neither, and no more small epochs than epochs ({self.epochs})"
            )

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


@dataclass(frozen=True, kw_only=True)
class RunConfig(FitConfig):
    """A classifier's whole run: data set, network, and how it is trained.

    Raises:
        ConfigError: a value is out of range, or the model family has no such option.
    """

    kind: ClassVar[str] = "classifier"

    data: DataName = "mnist"
    """Data set; digits, shapes10 and shapes20 are built in, the others are downloaded."""
    model: ModelName = "mlp"
    """Model family."""
    depth: int | None = None
    """Weight layers, first and head included. Default: mlp 4, convnet 10, resnet 20."""
    width: int | None = None
    """Units of a hidden layer, or filters of the first. Default: mlp 128, convnet 32, resnet 16."""
    residual: bool = False
    """Add the block's input to its output (He et al. 2015); the weights stay the same."""
    norm: Literal["none", "batch"] | None = None
    """Normalisation after each hidden weight layer. Default: batch for cnn and resnet."""
    init: Literal["default", "he", "zero-residual", "partial-identity"] = "default"
    """PyTorch's, He's, He's with each residual block's last layer at zero, or filters of which as
    many as there are input channels pass these on (PyTorch's for the others)."""
    head: Literal["flatten", "fully-convolutional"] = "flatten"
    """convnet: linear after flatten, or a 1x1 convolution and global average pooling."""
    stem_stride: int = 1
    """convnet: stride of the first convolution."""
    unpadded: bool = False
    """small-cnn: convolutions without zeros around their maps, which then shrink."""
    stages: int = 3
    """resnet: stages of equal resolution; depth = 2 x stages x blocks a stage + 2."""
    dropout: float | None = None
    """Share of hidden units dropped before the head. Default: 0.5 for cnn, 0 for the rest."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _choice("data", self.data, DataName.__args__)
        _choice("model", self.model, ModelName.__args__)
        family = FAMILIES[self.model]
        for name in ("depth", "width", "norm", "dropout"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, getattr(family, name))
        _choice("norm", self.norm, ("none", "batch"))
        _choice("init", self.init, ("default", "he", "zero-residual", "partial-identity"))
        _choice("head", self.head, ("flatten", "fully-convolutional"))
        _at_least("depth", self.depth, 2)
        _at_least("width", self.width, 1)
        _at_least("stem_stride", self.stem_stride, 1)
        _at_least("stages", self.stages, 1)
        _below_one("dropout", self.dropout)
        self._check_options(family)
        self._check_depth(family)
        if self.norm == "batch" and self.batch_size == 1:
            raise ConfigError("batch normalisation needs a batch_size of 2 or more (given 1)")

    def _check_options(self, family: Family) -> None:
        """Refuse an option that the family would silently ignore."""
        for field in fields(RunConfig):
            name = field.name
            if name not in MODEL_OPTIONS:
                continue
            neutral = getattr(family, name, field.default)
            if name not in family.options and getattr(self, name) != neutral:
                having = sorted(m for m, f in FAMILIES.items() if name in f.options)
                raise ConfigError(
                    f"{self.model} has no option {name} (given {getattr(self, name)!r}): "
                    f"leave it out, or take one of {', '.join(having)}"
                )
        if self.init == "zero-residual" and not self.residual:
            raise ConfigError("init zero-residual needs residual: a plain network would output 0")
        if self.init == "zero-residual" and self.model == "strong":
            raise ConfigError("init zero-residual: the norms of strong have no scale to start at 0")
        if self.init == "partial-identity" and self.model == "mlp":
            raise ConfigError("init partial-identity is for convolutions: mlp has none")

    def _check_depth(self, family: Family) -> None:
        depth = self.depth
        if family.fixed_depth:
            if depth != family.depth:
                raise ConfigError(f"{self.model} has depth {family.depth}, not {depth}: leave out")
            return
        step = 2 * self.stages if self.model == "resnet" else 2
        if (depth - 2) % step:
            near = [2 + step * blocks for blocks in range(1, 4)]
            raise ConfigError(
                f"depth {depth} is not 2 + {step} x blocks for {self.model}: "
                f"take for example {near[0]}, {near[1]} or {near[2]}"
            )
        if depth == 2 and (self.residual or self.model == "resnet"):
            raise ConfigError("depth 2 has no block to put a skip around: give a larger depth")

    @property
    def label(self) -> str:
        """For example `cifar10-convnet16-residual-s0`."""
        plain = "residual" if self.residual else "plain"
        middle = f"-{plain}" if "residual" in FAMILIES[self.model].options else ""
        return f"{self.data}-{self.model}{self.depth}{middle}-s{self.seed}"


def _choice(name: str, value: object, choices: tuple) -> None:
    if value not in choices:
        raise ConfigError(f"{name} is {value!r}: choose one of {', '.join(map(str, choices))}")


def _at_least(name: str, value: float, lowest: float, *, strict: bool = False) -> None:
    whole = isinstance(lowest, int)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise ConfigError(f"{name} is {value!r}: give a{' whole' if whole else ''} number")
    if value < lowest or (strict and value == lowest):
        raise ConfigError(
            f"{name} is {value}: give {'more than' if strict else 'at least'} {lowest}"
        )


def _below_one(name: str, value: float) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value < 1:
        raise ConfigError(f"{name} is {value!r}: give a share of at least 0 and below 1")
