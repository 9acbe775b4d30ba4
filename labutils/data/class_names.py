"""What the classes of a data set are called, without its images."""

import json

from safetensors import safe_open

from labutils.config.data_sets import DATA_SETS, DataName
from labutils.data.sets import data_root, is_here
from labutils.data.shapes import CLASS_NAMES

DIGITS = tuple("0123456789")
CIFAR10 = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"
)  # fmt: skip
NAMES: dict[DataName, tuple[str, ...]] = {
    "mnist": DIGITS, "digits": DIGITS, "cifar10": CIFAR10, **CLASS_NAMES
}  # fmt: skip


def class_names(name: DataName) -> tuple[str, ...]:
    """Names of the classes in their order; of CIFAR-100 numbers, where its file is not there."""
    name = DATA_SETS[name].made_from or name
    if name in NAMES:
        return NAMES[name]
    if is_here(name):
        with safe_open(data_root() / f"{name}.safetensors", "numpy") as file:
            return tuple(json.loads(file.metadata()["class_names"]))
    return tuple(str(number) for number in range(DATA_SETS[name].classes))
