"""TransferConfig and DistillConfig: networks that learn with the help of a stored one."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from labutils.config.base import ConfigError, Count, Natural, NotNegative, Positive
from labutils.config.classifier import FAMILIES, RunConfig
from labutils.config.data_sets import DATA_SETS

Trained = Literal["head", "last-block", "last-two", "everything"]
# what of a network must be as in the source for its weights to fit
NETWORK_FIELDS = (
    "model", "depth", "width", "residual", "norm", "head", "stem_stride", "stages"
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TransferConfig(RunConfig):
    """A classifier that starts from the weights of a stored one, or from scratch as its control.

    The layers before the head are those of `source`, its normalisation of pixels included, which
    belongs to its weights; the head is new. From scratch all is as for a `RunConfig`.

    Raises:
        ConfigError: a value is out of range, or the family has no blocks to choose from.
    """

    kind: ClassVar[str] = "transfer"
    source_field: ClassVar[str] = "source"

    source: str = ""
    """Id of the stored classifier whose layers it takes. Default: none, all weights are drawn."""
    trained: Trained = "everything"
    """Which layers are trained: the new head, that and the last block or the last two, or all."""
    labels_per_class: Count | None = None
    """Train on so many images of each class, validate on as large a share. Default: on all."""
    draw: Natural = 0
    """Which draw of those images; of one draw, fewer images are among more."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.draw and self.labels_per_class is None:
            raise ConfigError("draw says which images are taken: give labels_per_class too")
        if "residual" not in FAMILIES[self.model].options:
            raise ConfigError(f"{self.model} has no blocks: transfer needs a model that has")
        if not self.source and self.trained != "everything":
            raise ConfigError(f"trained {self.trained!r} from scratch: give source, or train all")
        if self.trained == "head" and self.optimizer == "muon":
            raise ConfigError("muon trains filters, a head alone has none: take sgd or adam")

    @property
    def label(self) -> str:
        """For example `cifar100-strong9-last-two-s0` or `cifar100-strong9-scratch-22-s0`."""
        budget = f"-{self.labels_per_class}" if self.labels_per_class else ""
        what = self.trained if self.source else "scratch"
        return f"{self.data}-{self.model}{self.depth}-{what}{budget}-s{self.seed}"

    @property
    def training_images(self) -> int:
        """How many images an epoch has: all of the set, or few of each class."""
        if self.labels_per_class is None:
            return super().training_images
        return self.labels_per_class * DATA_SETS[self.data].classes


@dataclass(frozen=True, kw_only=True)
class DistillConfig(RunConfig):
    """A classifier that also learns the probabilities of a stored one: the student of a teacher.

    Source: Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network".

    Raises:
        ConfigError: a value is out of range, or a teacher is given that nothing is learned from.
    """

    kind: ClassVar[str] = "distill"
    source_field: ClassVar[str] = "teacher"

    teacher: str = ""
    """Id of the stored classifier that it learns from. Default: none, hard labels alone."""
    temperature: Positive = 1.0
    """Both networks' logits are divided by it before they are compared."""
    soft_weight: NotNegative = 0.0
    """Weight of the teacher's probabilities in the loss; the labels have the rest to 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.soft_weight > 1:
            raise ConfigError(f"soft_weight is {self.soft_weight}: give at most 1")
        if bool(self.teacher) != bool(self.soft_weight):
            raise ConfigError("teacher and soft_weight go together: give both, or neither")
        if self.temperature != 1 and not self.teacher:
            raise ConfigError("temperature is for a teacher's logits: give teacher, or leave it")

    @property
    def label(self) -> str:
        """For example `cifar10-resnet20-soft-t4-s0`, or `-hard-` without a teacher."""
        what = f"soft-t{self.temperature:g}" if self.teacher else "hard"
        smoothed = "-smoothed" if self.label_smoothing else ""
        return f"{self.data}-{self.model}{self.depth}-{what}{smoothed}-s{self.seed}"
