"""A whole epoch, evaluation included: the loop of a tutorial, and `fit`.

The tutorial's loop takes one PIL image at a time through torchvision's transforms and a
DataLoader, in fp32 and PyTorch's layout, and evaluates on the validation images. `fit` does more:
it evaluates on 5,000 training images, too, and measures every layer. Both start from the same
weights and see the same images; what they have learned after the epoch is kept beside the times.
"""

import copy
import json
import sys
from dataclasses import replace

import pandas as pd
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.timing import RESULTS, compare
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


def tutorial_epoch(
    model: torch.nn.Module, train: DataLoader, val: DataLoader, optimizer: torch.optim.Optimizer
) -> float:
    """One epoch and the validation accuracy after it."""
    model.train()
    for images, labels in train:
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        right = sum((model(images).argmax(1) == labels).sum().item() for images, labels in val)
    return right / len(val.dataset)


def setting(config: RunConfig, count: int) -> tuple[tuple, FitConfig, torch.nn.Module]:
    """Images to train and validate on, how to train for an epoch, and the network."""
    images = data.load(config.data)
    parts = ((part.images[:count], part.labels[:count]) for part in (images.train, images.val))
    colour = config.data == "cifar10"
    precision = "bf16" if colour else "fp32"
    how = FitConfig(epochs=1, precision=precision, flip=colour, crop_padding=4 if colour else 0)
    return tuple(parts), how, untrained(config, images)


def compare_epochs(name: str, workers: int) -> None:
    """Time the epochs of one network, with so many workers of the DataLoader."""
    title, config, count, pairs = NETWORKS[name]
    parts, how, start = setting(config, count)
    augment, accuracies = how.flip, {"tutorial": [], "fit": []}
    loaders = [
        DataLoader(Pictures(*part, augment and train), BATCH, shuffle=train, num_workers=workers)
        for part, train in zip(parts, (True, False), strict=True)
    ]

    def tutorial() -> None:
        model = copy.deepcopy(start)
        del model.normalize  # its images come normalised
        optimizer = torch.optim.Adam(model.parameters())
        accuracies["tutorial"].append(tutorial_epoch(model, *loaders, optimizer))

    def ours() -> None:
        seeded = replace(how, seed=len(accuracies["fit"]))
        history = fit(copy.deepcopy(start), *parts, seeded, progress=False)
        accuracies["fit"] += history.val_accuracy

    question = f"Epoch of a {title}, tutorial with {workers} workers / fit"
    beside = {"title": title, "val_accuracy": accuracies}
    compare(f"epoch-{name}-{workers}", question, tutorial, ours, pairs, beside)


def accuracies() -> str:
    """The Markdown table: validation accuracy after that epoch, in both ways, of all repeats."""
    rows = []
    for name in NETWORKS:
        found = [json.loads(path.read_text()) for path in RESULTS.glob(f"epoch-{name}-*.json")]
        row = {"network": found[0]["title"], "trainings each": 0}
        for how in ("tutorial", "fit"):
            reached = [share for one in found for share in one["val_accuracy"][how]]
            row |= {"trainings each": len(reached), how: percents(reached)}
        rows.append(row)
    return markdown(pd.DataFrame(rows))


def main() -> None:
    for name in sys.argv[1:] or NETWORKS:
        for workers in (0, 2):
            compare_epochs(name, workers)


if __name__ == "__main__":
    main()
