"""Time to an accuracy on CIFAR-10: the settings of a published speed record, and our own.

Both train the record's network with `fit` on all 50,000 training images, and are tested once at
the end, without test-time augmentation. `record` has the settings of airbench94_muon. Two things
differ from it: the biases and the head do not decay, and the biases of the whitening learn to the
end. `strong-fast` was chosen on the validation split. What accuracy.json has is not measured again.

Source: github.com/KellerJordan/cifar10-airbench; Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds".
"""

import json
import math
import time
from dataclasses import replace
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.timing import RESULTS, keep
from labutils import data
from labutils.config import FitConfig
from labutils.models.blocks import Whitening
from labutils.models.costs import multiply_adds
from labutils.models.initialization import initialize
from labutils.models.networks import Classifier, fit_to_images
from labutils.report.rendering import markdown
from labutils.report.statistics import percents, spread
from labutils.training import evaluate, fit
from labutils.training.classifiers import labelled
from labutils.training.execution import software_and_hardware

SEEDS = range(3)
WIDTHS = (64, 256, 256)
SIDE = 4_096  # of the matrices whose product says what the processor can do
WATCHED = 500  # images after each epoch, whose accuracy is not used
FOUND = RESULTS.parent / "accuracy.json"  # beside the ratios


class Settings(NamedTuple):
    """A training, and the size of its images.

    Attributes:
        shrunk: share of the steps, from the first on, whose images are shrunk.
        side: of shrunk images, in pixels.
    """

    config: FitConfig
    shrunk: float = 0.0
    side: int = 32


RECORD = FitConfig(
    optimizer="muon", learning_rate=0.24, momentum=0.6, schedule="linear",
    bias_learning_rate=106.0, head_learning_rate=1_340.0,  # theirs are of a sum over 2,000 images
    batch_size=2_000, epochs=8, label_smoothing=0.2,
    flip=True, alternating_flip=True, crop_padding=2, padding_mode="reflect", precision="bf16",
)  # fmt: skip


def with_batches_of(count: int, epochs: int) -> FitConfig:
    """The record's settings with other batches.

    The rate of biases and head is in proportion to them, so that a sample moves these as far as
    before; the filters', whose steps have one length, falls with the root.
    """
    share = count / RECORD.batch_size
    return replace(
        RECORD,
        batch_size=count,
        epochs=epochs,
        learning_rate=math.sqrt(share) * RECORD.learning_rate,
        bias_learning_rate=share * RECORD.bias_learning_rate,
        head_learning_rate=share * RECORD.head_learning_rate,
    )


SETTINGS = {
    "record": Settings(RECORD),
    "strong-fast": Settings(with_batches_of(500, epochs=7), shrunk=0.6, side=24),
}


def network(images: data.DataSet, seed: int) -> Classifier:
    """Whitening, three stages of two convolutions, the first of each pooled, and a head."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        whitening, stages = Whitening(3), []
        for inputs, outputs in zip((whitening.outputs, *WIDTHS), WIDTHS, strict=False):
            stages += [_conv(inputs, outputs), nn.MaxPool2d(2), _norm(outputs), nn.GELU()]
            stages += [_conv(outputs, outputs), _norm(outputs), nn.GELU()]
        head = Head(WIDTHS[-1], len(images.class_names))
        model = Classifier((images.mean, images.std), whitening, nn.Sequential(*stages), head)
        initialize(model, "partial-identity")
        head.linear.weight.data /= head.linear.weight.std()
    fit_to_images(model, images.train.images[:5_000], "partial-identity")
    return model


class Head(nn.Module):
    """Logits of the largest values of the last map, divided by their number.

    So its weights are large, and a step of them moves the logits little.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.amax((2, 3))) / self.linear.in_features


class Growing(nn.Module):
    """Shrinks the images of the first training steps, and hands all of them to the stem.

    The convolutions learn from small images at less cost, and last from those of full size
    ("progressive resizing"; Howard 2018, fast.ai's entry to DAWNBench).
    """

    def __init__(self, stem: nn.Module, steps: int, side: int) -> None:
        super().__init__()
        self.stem, self.left, self.side = stem, steps, side

    def forward(self, images: Tensor) -> Tensor:
        if self.training and self.left:
            self.left -= 1
            images = F.interpolate(images, size=2 * (self.side,), mode="bilinear", antialias=True)
        return self.stem(images)


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def _norm(width: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(width, momentum=0.4, eps=1e-12)
    norm.weight.requires_grad_(False)
    return norm


def train(settings: Settings, images: data.DataSet, trained: data.Split, seed: int) -> Classifier:
    """The network after all epochs; its accuracy is watched on some validation images."""
    config = replace(settings.config, seed=seed)
    model = network(images, seed)
    steps = -(-len(trained.labels) // config.batch_size) * config.epochs
    if settings.shrunk:
        model.stem = Growing(model.stem, round(settings.shrunk * steps), settings.side)
    watched = images.val.images[:WATCHED], images.val.labels[:WATCHED]
    fit(model, (trained.images, trained.labels), watched, config)
    return model


def timed(settings: Settings, seed: int) -> dict[str, object]:
    """One training on all images, its seconds, and its test accuracy."""
    images = data.load("cifar10")
    both = data.Split(*map(torch.cat, zip(*labelled(images), strict=True)))
    best = peak()
    started = time.perf_counter()
    model = train(settings, images, both, seed)
    seconds = time.perf_counter() - started
    per_image = [
        multiply_adds(model, (3, side, side)) for side in (settings.side, images.image_shape[1])
    ]
    mean = settings.shrunk * per_image[0] + (1 - settings.shrunk) * per_image[1]
    operations = 2 * 3 * mean * len(both.labels) * settings.config.epochs  # 3: with the gradients
    return {
        "seed": seed,
        "seconds": seconds,
        "test_accuracy": evaluate(model, images.test.images, images.test.labels).accuracy,
        "operations": operations,
        "share_of_peak": operations / seconds / best,
        **software_and_hardware(torch.device("cpu")),
    }


def peak() -> float:
    """Operations a second of the fastest of ten products of matrices in bf16."""
    matrix, seconds = torch.randn(SIDE, SIDE).bfloat16(), []
    for _ in range(10):
        started = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - started)
    return 2 * SIDE**3 / min(seconds)


def main() -> None:
    found = json.loads(FOUND.read_text()) if FOUND.exists() else []
    stored = {(one["name"], one["seed"]) for one in found}
    missing = [(n, seed) for seed in SEEDS for n in SETTINGS if (n, seed) not in stored]
    for name, seed in missing:
        found.append({"name": name, **timed(SETTINGS[name], seed)})
        FOUND.write_text(json.dumps(found, indent=1) + "\n")
        print(found[-1])
    if missing:
        grouped = [[one for one in found if one["name"] == name] for name in SETTINGS]
        pairs = zip(*grouped, strict=True)
        reached = [percents([one["test_accuracy"] for one in group]) for group in grouped]
        question = "Training on CIFAR-10, settings of a speed record ({}) / strong-fast ({})"
        keep("accuracy", question.format(*reached), [a["seconds"] / b["seconds"] for a, b in pairs])


def table() -> str:
    """The Markdown table: a row a setting."""
    rows = []
    for name, group in pd.DataFrame(json.loads(FOUND.read_text())).groupby("name", sort=False):
        config, shrunk, side = SETTINGS[name]
        rows.append(
            {
                "settings": name,
                "epochs": config.epochs,
                "batch": f"{config.batch_size:,}",
                "shrunk": f"{shrunk:.0%} of the steps, to {side} px" if shrunk else "-",
                "seconds": spread(list(group["seconds"]), 0),
                "test accuracy": percents(list(group["test_accuracy"])),
                "operations": f"{group['operations'].mean():.2g}",
                "share of the peak": percents(list(group["share_of_peak"])),
            }
        )
    return markdown(pd.DataFrame(rows))


if __name__ == "__main__":
    main()
