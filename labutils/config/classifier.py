"""RunConfig: a classifier's whole run, and what each model family takes."""

from dataclasses import dataclass, fields
from typing import Annotated, ClassVar, Literal, NamedTuple

from labutils.config.base import ConfigError, Share, Within
from labutils.config.data_sets import DATA_SETS, DataName
from labutils.config.fit import FitConfig

Initial = Literal[
    "default", "he", "zero-residual", "partial-identity", "orthogonal", "lsuv", "looks-linear"
]
ModelName = Literal["mlp", "convnet", "small-cnn", "cnn", "resnet", "strong"]
MADE_FOR_PLAIN = ("orthogonal", "lsuv", "looks-linear")
LEAKY_SLOPE = 0.8
MOST_WEIGHTS = 200_000_000  # with gradients and Adam's averages 3.2 GB


class Family(NamedTuple):
    """A model family: its title, what it takes where a field is left open, and its options."""

    title: str
    depth: int
    width: int
    options: tuple[str, ...]
    norm: str = "none"
    dropout: float = 0.0
    fixed_depth: bool = False


FAMILIES: dict[str, Family] = {
    "mlp": Family("MLP", 4, 128, ("residual", "norm", "init", "activation", "dropout")),
    "convnet": Family(
        "ConvNet", 10, 32, ("residual", "norm", "init", "activation", "head", "stem_stride")
    ),
    "small-cnn": Family(
        "SmallCNN", 4, 32, ("norm", "init", "dropout", "unpadded"), fixed_depth=True
    ),
    "cnn": Family("CNN", 8, 64, ("norm", "init", "dropout"), "batch", 0.5, fixed_depth=True),
    "resnet": Family(
        "ResNet", 20, 16, ("residual", "norm", "init", "stem_stride", "stages"), "batch"
    ),
    "strong": Family("strong network", 9, 64, ("residual", "init"), "batch", fixed_depth=True),
}


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
    depth: Annotated[int, Within(2, 10_000)] | None = None
    """Weight layers, first and head included. Default: mlp 4, convnet 10, resnet 20."""
    width: Annotated[int, Within(1, 2**14)] | None = None
    """Units of a hidden layer, or filters of the first. Default: mlp 128, convnet 32, resnet 16."""
    residual: bool = False
    """Add the block's input to its output (He et al. 2015); the weights stay the same."""
    norm: Literal["none", "batch"] | None = None
    """Normalisation after each hidden weight layer. Default: batch for cnn and resnet."""
    init: Initial = "default"
    """PyTorch's, He's, He's with each residual block's last layer at zero, filters of which as
    many as there are input channels pass these on (PyTorch's for the others), or one of those made
    for deep plain networks: `models.initialization` describes each."""
    activation: Literal["relu", "leaky", "crelu"] = "relu"
    """mlp, convnet: max(x, 0), max(x, 0.8 x), or both max(x, 0) and max(-x, 0)."""
    head: Literal["flatten", "fully-convolutional"] = "flatten"
    """convnet: linear after flatten, or a 1x1 convolution and global average pooling."""
    stem_stride: Annotated[int, Within(1, 64)] = 1
    """convnet, resnet: stride of the first convolution."""
    unpadded: bool = False
    """small-cnn: convolutions without zeros around their maps, which then shrink."""
    stages: Annotated[int, Within(1, 8)] = 3
    """resnet: stages of equal resolution; depth = 2 x stages x blocks a stage + 2."""
    dropout: Share | None = None
    """Share of hidden units dropped before the head. Default: 0.5 for cnn, 0 for the rest."""

    def __post_init__(self) -> None:
        super().__post_init__()
        family = FAMILIES[self.model]
        for name in ("depth", "width", "norm", "dropout"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, getattr(family, name))
        self._check_options(family)
        self._check_depth(family)
        self._check_sizes()
        if self.norm == "batch" and self.batch_size == 1:
            raise ConfigError("batch normalisation needs a batch_size of 2 or more (given 1)")

    def _check_options(self, family: Family) -> None:
        """Refuse an option that the family would silently ignore."""
        for field in fields(RunConfig):
            name, value = field.name, getattr(self, field.name)
            having = sorted(m for m, f in FAMILIES.items() if name in f.options)
            neutral = getattr(family, name, field.default)
            if having and self.model not in having and value != neutral:
                raise ConfigError(
                    f"{self.model} has no option {name} (given {value!r}): leave it out, or take "
                    f"one of {', '.join(having)}"
                )
        if self.init == "zero-residual" and not self.residual:
            raise ConfigError("init zero-residual needs residual: a plain network would output 0")
        if self.init == "zero-residual" and self.model == "strong":
            raise ConfigError("init zero-residual: the norms of strong have no scale to start at 0")
        if self.init == "partial-identity" and self.model == "mlp":
            raise ConfigError("init partial-identity is for convolutions: mlp has none")
        if self.activation == "crelu" and self.residual:
            raise ConfigError("crelu doubles the channels within a block, a skip cannot be added")
        if self.init == "looks-linear" and self.activation != "crelu":
            raise ConfigError("init looks-linear mirrors the weights of crelu: give that too")
        if self.init in MADE_FOR_PLAIN and "activation" not in family.options:
            having = " or ".join(name for name, f in FAMILIES.items() if "activation" in f.options)
            raise ConfigError(f"init {self.init} is for {having} (given {self.model})")

    def _check_depth(self, family: Family) -> None:
        depth = self.depth
        if family.fixed_depth:
            if depth != family.depth:
                raise ConfigError(f"{self.model} has depth {family.depth}, not {depth}: leave out")
            return
        step = 2 * self.stages if self.model == "resnet" else 2
        if (depth - 2) % step:
            raise ConfigError(
                f"depth {depth} is not 2 + {step} x blocks for {self.model}: "
                f"take for example {2 + step}, {2 + 2 * step} or {2 + 3 * step}"
            )
        if depth == 2 and (self.residual or self.model == "resnet"):
            raise ConfigError("depth 2 has no block to put a skip around: give a larger depth")

    def _check_sizes(self) -> None:
        """Refuse what does not fit on the images, or into memory."""
        side = DATA_SETS[self.data].image_shape[1]
        for name in ("cutout", "crop_padding"):
            Within(0, side)(f"of images of {side} pixels, {name}", getattr(self, name))
        flat = self.model in ("mlp", "convnet")  # else each stage is twice as wide
        widest = self.width * (1 if flat else 2 ** (self.stages - 1))
        weights = self.depth * widest**2 * (1 if self.model == "mlp" else 9)
        if weights > MOST_WEIGHTS:
            raise ConfigError(
                f"depth {self.depth} and width {self.width} make up to {weights:,} weights: "
                f"give {MOST_WEIGHTS:,} at most"
            )

    @property
    def label(self) -> str:
        """For example `cifar10-convnet16-residual-s0`."""
        plain = "residual" if self.residual else "plain"
        middle = f"-{plain}" if "residual" in FAMILIES[self.model].options else ""
        return f"{self.data}-{self.model}{self.depth}{middle}-s{self.seed}"

    @property
    def training_images(self) -> int:
        """How many images an epoch has."""
        spec = DATA_SETS[self.data]
        return spec.train - spec.val
