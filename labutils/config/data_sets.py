"""The data sets by name: one record each, of what its file must hold and how it is called."""

from typing import Literal, NamedTuple

DataName = Literal[
    "mnist", "cifar10", "cifar100", "digits", "shapes10", "shapes20",
    "mnist-canvases", "digits-canvases", "shapes10-marked", "shapes10-marked-evenly",
]  # fmt: skip

MNIST_SHA256 = "6e941530c3b5550d7932592ea1d504fa7b339b9be2df873456fef51aac90bd2c"
VALIDATION_SHARE = 0.1  # of the training images of every set


class DataSpec(NamedTuple):
    """What is known of a data set without its images.

    Attributes:
        title: what the report calls it.
        image_shape: channels, height, width.
        train, test: images of the file; a tenth of `train` is set aside for validation.
        coarse_classes: CIFAR-100's superclasses.
        stand_in: the built-in set that the quick profile takes for it; none for a built-in set.
        made_from: the set whose images it is made from when it is loaded (`data.variants`).
        sha256: `data.files.content_digest`, where torchvision checks none.
    """

    title: str
    image_shape: tuple[int, int, int]
    train: int
    test: int
    classes: int
    coarse_classes: int = 0
    stand_in: DataName | None = None
    made_from: DataName | None = None
    sha256: str | None = None

    @property
    def built_in(self) -> bool:
        """Whether it is made on the spot, without a download."""
        return self.stand_in is None

    @property
    def val(self) -> int:
        """Validation images."""
        return round(self.train * VALIDATION_SHARE)


# The counts of built-in sets decide how they are made; those of the others are checked.
DATA_SETS: dict[DataName, DataSpec] = {
    "mnist": DataSpec("MNIST", (1, 28, 28), 60_000, 10_000, 10, 0, "digits", None, MNIST_SHA256),
    "cifar10": DataSpec("CIFAR-10", (3, 32, 32), 50_000, 10_000, 10, stand_in="shapes10"),
    "cifar100": DataSpec("CIFAR-100", (3, 32, 32), 50_000, 10_000, 100, 20, stand_in="shapes20"),
    "digits": DataSpec("digits (for MNIST)", (1, 28, 28), 1_438, 359, 10),
    "shapes10": DataSpec("shapes10 (for CIFAR-10)", (3, 32, 32), 10_000, 2_000, 10),
    "shapes20": DataSpec("shapes20 (for CIFAR-100)", (3, 32, 32), 10_000, 2_000, 20),
    "mnist-canvases": DataSpec(
        "MNIST canvases", (1, 64, 64), 20_000, 4_000, 10, 0, "digits-canvases", "mnist"
    ),
    "digits-canvases": DataSpec(
        "digits canvases (for MNIST canvases)", (1, 64, 64), 4_000, 400, 10, made_from="digits"
    ),
    "shapes10-marked": DataSpec(
        "shapes10, one class marked", (3, 32, 32), 10_000, 2_000, 10, made_from="shapes10"
    ),
    "shapes10-marked-evenly": DataSpec(
        "shapes10, half of each class marked", (3, 32, 32), 10_000, 2_000, 10, made_from="shapes10"
    ),
}
