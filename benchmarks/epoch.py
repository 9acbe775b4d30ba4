"""A whole epoch, evaluation included: the loop of a tutorial, and `fit`.

The tutorial's loop takes one PIL image at a time through torchvision's transforms and a
DataLoader, in fp32 and PyTorch's layout, and evaluates on the validation images. `fit` does more:
it evaluates on 5,000 training images, too, and measures every layer. Both start from the same
weights and see the same images; what they have learned after the epoch is kept beside the times.
"""

import copy
import functools
import itertools
import json
import sys
from dataclasses import replace

import pandas as pd
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.timing import RESULTS, compare, own_process
from labutils import data
from labutils.config import FitConfig, RunConfig
from labutils.report.rendering import markdown
from labutils.report.statistics import percents
from labutils.training import fit
from labutils.training.classifiers import untrained

BATCH = 128
# name, network, training images of an epoch, pairs
NETWORKS = {
    "mlp": ("MNIST MLP of depth 4", RunConfig(depth=4), 54_000, 3),
    "small-cnn": ("SmallCNN", RunConfig(data="cifar10", model="small-cnn", depth=4), 45_000, 3),
    "resnet20": (
        "ResNet-20, 10,000 images",
        RunConfig(data="cifar10", model="resnet", depth=20, width=16, residual=True),
        10_000,
        3,
    ),
    "resnet18": (
        "ResNet-18, 10,000 images",
        RunConfig(data="cifar10", model="resnet", depth=18, stages=4, width=64, residual=True),
        10_000,
        3,
    ),
}


class Pictures(Dataset):
    """PIL images, one at a time through transforms."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, augment: bool) -> None:
        to_pil = transforms.ToPILImage()
        self.pictures, self.labels = [to_pil(image) for image in images], labels.tolist()
        views = [transforms.RandomHorizontalFlip(), transforms.RandomCrop(32, padding=4)]
        channels = images.shape[1]
        self.transform = transforms.Compose(
            [
                *(views if augment else []),
                transforms.ToTensor(),
                transforms.Normalize((0.5,) * channels, (0.25,) * channels),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.pictures[index]), self.labels[index]


@functools.cache
def setting(config: RunConfig, count: int) -> tuple[tuple, FitConfig, torch.nn.Module]:
    """Images to train and validate on, how to train for an epoch, and the network."""
    images = data.load(config.data)
    parts = ((part.images[:count], part.labels[:count]) for part in (images.train, images.val))
    colour = config.data == "cifar10"
    precision = "bf16" if colour else "fp32"
    how = FitConfig(epochs=1, precision=precision, flip=colour, crop_padding=4 if colour else 0)
    return tuple(parts), how, untrained(config, images)


@functools.cache
def loaders(name: str, workers: int) -> list[DataLoader]:
    """Of the images to train and to validate on."""
    _, config, count, _ = NETWORKS[name]
    parts, how, _ = setting(config, count)
    # a process that was spawned would spawn its workers, which takes longer than to fork them
    options = {"num_workers": workers, "multiprocessing_context": "fork" if workers else None}
    return [
        DataLoader(Pictures(*part, how.flip and train), BATCH, shuffle=train, **options)
        for part, train in zip(parts, (True, False), strict=True)
    ]


def tutorial(name: str, workers: int) -> float:
    """One epoch of a tutorial's loop, and the validation accuracy after it."""
    _, config, count, _ = NETWORKS[name]
    model = copy.deepcopy(setting(config, count)[2])
    del model.normalize  # its images come normalised
    train, val = loaders(name, workers)
    optimizer = torch.optim.Adam(model.parameters())
    model.train()
    for images, labels in train:
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        right = sum((model(images).argmax(1) == labels).sum().item() for images, labels in val)
    return right / len(val.dataset)


def fitted(name: str, seed: int) -> float:
    """One epoch of `fit`, and the validation accuracy after it."""
    _, config, count, _ = NETWORKS[name]
    parts, how, start = setting(config, count)
    history = fit(copy.deepcopy(start), *parts, replace(how, seed=seed), progress=False)
    return history.val_accuracy[-1]


def compare_epochs(name: str, workers: int) -> None:
    """Time the epochs of one network, with so many workers of the DataLoader."""
    title, *_, pairs = NETWORKS[name]
    seeds, accuracies = itertools.count(), {"tutorial": [], "fit": []}
    with own_process() as theirs, own_process() as ours:
        compare(
            f"epoch-{name}-{workers}",
            f"Epoch of a {title}, tutorial with {workers} workers / fit",
            lambda: accuracies["tutorial"].append(theirs.submit(tutorial, name, workers).result()),
            lambda: accuracies["fit"].append(ours.submit(fitted, name, next(seeds)).result()),
            pairs,
            {"title": title, "val_accuracy": accuracies},
        )


def accuracies() -> str:
    """The Markdown table: validation accuracy after that epoch, in both ways, of all repeats.

    The trainings are those of one comparison; `fit` has the same seeds in the other.
    """
    rows = {}
    for name in NETWORKS:
        for path in sorted(RESULTS.glob(f"epoch-{name}-*.json")):
            found = json.loads(path.read_text())
            if "val_accuracy" in found:
                reached = found["val_accuracy"]
                shown = {how: percents(shares) for how, shares in reached.items()}
                count = {"network": found["title"], "trainings each": len(reached["fit"])}
                rows[name] = count | shown
    return markdown(pd.DataFrame(rows.values()))


def sentences() -> str:
    """For the README: the smallest and the largest ratio, and that of the sweep."""
    found = [json.loads(path.read_text()) for path in RESULTS.glob("epoch-*.json")]
    smallest, *_, largest = sorted(one["ratio"]["median"] for one in found)
    sweep = json.loads((RESULTS / "sweep.json").read_text())["ratio"]["median"]
    return (
        f"On two CPU cores an epoch of `fit` is {smallest:.2f} to {largest:.2f} times as fast as "
        "the loop of a tutorial, with evaluation on both sides. A sweep of 48 small networks is "
        f"{sweep:.2f} times as fast as one after the other ([all ratios](docs/speed.md))."
    )


def main() -> None:
    for name in sys.argv[1:] or NETWORKS:
        for workers in (0, 2):
            compare_epochs(name, workers)


if __name__ == "__main__":
    main()
