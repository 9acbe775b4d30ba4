"""A whole epoch, evaluation included: the loop of a tutorial, and `fit`.

The tutorial's loop takes one PIL image at a time through torchvision's transforms and a
DataLoader, in fp32 and PyTorch's layout, and evaluates on the validation images. `fit` does more:
it evaluates on 5,000 training images, too, and measures every layer.
"""

import copy
import sys

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.timing import compare
from labutils.config import FitConfig, RunConfig
from labutils.models.networks import build_model
from labutils.training import fit

BATCH, CLASSES = 128, 10
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
    """Random images to train and validate on, how to train for an epoch, and the network."""
    shape = (1, 28, 28) if config.data == "mnist" else (3, 32, 32)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count + 5_000, *shape), generator=generator, dtype=torch.uint8)
    labels = torch.arange(len(images)) % CLASSES
    parts = (images[:count], labels[:count]), (images[count:], labels[count:])
    colour = config.data == "cifar10"
    precision = "bf16" if colour else "fp32"
    how = FitConfig(epochs=1, precision=precision, flip=colour, crop_padding=4 if colour else 0)
    return parts, how, build_model(config, shape, CLASSES)


def compare_epochs(name: str, workers: int) -> None:
    """Time the epochs of one network, with so many workers of the DataLoader."""
    title, config, count, pairs = NETWORKS[name]
    parts, how, start = setting(config, count)
    augment = how.flip
    loaders = [
        DataLoader(Pictures(*part, augment and train), BATCH, shuffle=train, num_workers=workers)
        for part, train in zip(parts, (True, False), strict=True)
    ]

    def tutorial() -> None:
        model = copy.deepcopy(start)
        del model.normalize  # its images come normalised
        tutorial_epoch(model, *loaders, torch.optim.Adam(model.parameters()))

    def ours() -> None:
        fit(copy.deepcopy(start), *parts, how, progress=False)

    question = f"Epoch of a {title}, tutorial with {workers} workers / fit"
    compare(f"epoch-{name}-{workers}", question, tutorial, ours, pairs)


def main() -> None:
    for name in sys.argv[1:] or NETWORKS:
        for workers in (0, 2):
            compare_epochs(name, workers)


if __name__ == "__main__":
    main()
