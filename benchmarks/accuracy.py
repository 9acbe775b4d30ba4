"""Time to an accuracy on CIFAR-10: the settings of a published speed record, and our own.

All train the record's network on all 50,000 training images, and are tested once at the end,
without test-time augmentation. `record` has the settings of airbench94_muon. Two things differ
from it: the biases and the head do not decay, and the biases of the whitening learn to the end.
What accuracy.json has of the same settings is not measured again.

Source: github.com/KellerJordan/cifar10-airbench; Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds".
"""

import itertools
import json
import math
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input, conv2d_weight

from benchmarks.timing import RESULTS, compare, keep
from labutils import data
from labutils.config import FitConfig
from labutils.models.blocks import Whitening
from labutils.models.costs import multiply_adds
from labutils.models.initialization import initialize
from labutils.models.networks import Classifier, fit_to_images
from labutils.report.rendering import markdown
from labutils.report.statistics import percents, spread
from labutils.training import evaluate
from labutils.training.classifiers import Classification, labelled
from labutils.training.execution import software_and_hardware
from labutils.training.loop import run_epochs

SEEDS = range(3)
WIDTHS = (64, 256, 256)
SIDE = 4_096  # of the matrices whose product says what the processor can do
ROW, SMALL = 64, 9  # columns: maps up to SMALL wide are laid side by side to at most ROW
WATCHED = 500  # images after each epoch, whose accuracy is not used
FOUND = RESULTS.parent / "accuracy.json"  # beside the ratios


class Settings(NamedTuple):
    """A training, and how it saves work.

    Attributes:
        sides: of the images in each epoch, in pixels.
        kept: share of the training images in each epoch: those of the highest losses.
    """

    config: FitConfig
    sides: tuple[int, ...] = 8 * (32,)
    kept: tuple[float, ...] = 8 * (1.0,)


RECORD = FitConfig(
    optimizer="muon", learning_rate=0.24, momentum=0.6, schedule="linear",
    bias_learning_rate=106.0, head_learning_rate=1_340.0,  # theirs are of a sum over 2,000 images
    batch_size=2_000, epochs=8, label_smoothing=0.2,
    flip=True, alternating_flip=True, crop_padding=2, padding_mode="reflect", precision="bf16",
)  # fmt: skip


def with_batches_of(count: int, epochs: int) -> FitConfig:
    """The record's settings with other batches, for so many epochs.

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


def saving(shrunk: int) -> Settings:
    """So many epochs with shrunk images, four without the images that are known, and a full one."""
    return Settings(
        with_batches_of(1_000, epochs=shrunk + 5),
        sides=shrunk * (24,) + 5 * (32,),
        kept=shrunk * (1.0,) + 4 * (0.65,) + (1.0,),
    )


SETTINGS = {"record": Settings(RECORD), "strong-fast": saving(5), "strong-faster": saving(3)}


def network(images: data.DataSet, seed: int) -> Classifier:
    """Whitening, three stages of two convolutions, the first of each pooled, and a head."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        whitening, stages = Whitening(3), []
        for inputs, outputs in zip((whitening.outputs, *WIDTHS), WIDTHS, strict=False):
            stages += [Conv(inputs, outputs), nn.MaxPool2d(2), _norm(outputs), nn.GELU()]
            stages += [Conv(outputs, outputs), _norm(outputs), nn.GELU()]
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


class Conv(nn.Conv2d):
    """A convolution of 3x3 that keeps the size of a map, and differentiates small maps faster.

    The gradient of the weights is a product along the rows of the maps, and short rows leave most
    of a matrix unit idle. So maps are laid side by side, a column of zeros between them, which
    changes no sum.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return _Convolution.apply(x, self.weight)


class _Convolution(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, padding=1)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor]:
        x, weight = ctx.saved_tensors
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = conv2d_input(x.shape, weight, gradient, padding=1)
        wide = side_by_side(x), weight.shape, side_by_side(gradient)
        return of_x, conv2d_weight(*wide, padding=1)


def side_by_side(maps: Tensor) -> Tensor:
    """Small maps as fewer wide ones of at most ROW columns, a column of zeros after each."""
    count, channels, height, width = maps.shape
    many = next(n for n in range(max(1, ROW // (width + 1)), 0, -1) if count % n == 0)
    if width > SMALL or many == 1:
        return maps
    wide = maps.new_empty(count // many, height, many, width + 1, channels)
    wide[..., width, :] = 0
    rows = maps.permute(0, 2, 3, 1).reshape(-1, many, height, width, channels)
    wide[..., :width, :] = rows.transpose(1, 2)
    return wide.flatten(2, 3).permute(0, 3, 1, 2)


def _norm(width: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(width, momentum=0.4, eps=1e-12)
    norm.weight.requires_grad_(False)
    return norm


class Saving(Classification):
    """Training on shrunk images first, and later without those that the network knows.

    The convolutions learn from shrunk images at less cost ("progressive resizing", Howard 2018,
    fast.ai's entry to DAWNBench). An image of a low loss changes the weights little ("selective
    backprop", Jiang et al. 2019, "Accelerating Deep Learning by Focusing on the Biggest Losers");
    here the loss of the last epoch that saw the image counts, and no pass is spent to choose.

    Attributes:
        seen: number of images of each size that were trained on.
    """

    def __init__(self, settings: Settings, seed: int, *parts: tuple[Any, ...]) -> None:
        super().__init__(*parts, replace(settings.config, seed=seed))
        self.settings, self.losses = settings, torch.full((self.examples,), math.inf)
        self.seen: Counter[int] = Counter()

    def start_epoch(self, epoch: int, generator: torch.Generator) -> Tensor:
        """A new order of the images of the highest losses."""
        order = super().start_epoch(epoch, generator)
        count = round(self.settings.kept[epoch] * len(order))
        return order[self.losses[order].topk(count).indices.sort().values]

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Augmented images of the size of this epoch, and labels."""
        images, labels = super().batch(indices)
        side = self.settings.sides[self.epoch]
        self.seen[side] += len(images)
        if side < images.shape[-1]:
            images = F.interpolate(images, size=2 * (side,), mode="bilinear", antialias=True)
        return images, labels

    def loss(self, indices: Tensor) -> Tensor:
        """Mean cross-entropy of a batch; that of each image is kept."""
        images, labels = self.batch(indices)
        smoothing = self.config.label_smoothing
        logits = self.logits(images)
        losses = F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
        self.losses[indices] = losses.detach()
        return losses.mean()

    def measure(self) -> dict[str, float]:
        """Little, since it is timed: the losses as they were in training, and on watched images."""
        watched = evaluate(self.model, *self.val, execution=self.execution)
        seen = self.losses[self.losses < math.inf]
        return {"train_loss": seen.mean().item()} | watched.named("val")

    def measure_layers(self) -> None:
        """Nothing, for the same reason."""


def training(pipe: Connection, settings: Settings, seed: int) -> None:
    """One training on all images, in a process of its own: an epoch for each message it gets.

    It answers with None after an epoch, and last with its test accuracy and operations.
    """
    images = data.load("cifar10")
    both = tuple(map(torch.cat, zip(*labelled(images), strict=True)))

    def wait(*_: object) -> None:
        pipe.send(None)
        pipe.recv()

    wait()
    watched = images.val.images[:WATCHED], images.val.labels[:WATCHED]
    task = Saving(settings, seed, network(images, seed), both, watched)
    run_epochs(task, on_epoch=wait, progress=False)
    model, sizes = task.model, task.seen.items()
    forward = sum(count * multiply_adds(model, (3, side, side)) for side, count in sizes)
    found = {
        "test_accuracy": evaluate(model, images.test.images, images.test.labels).accuracy,
        "operations": 2 * 3 * forward,  # 3: with both gradients
    }
    pipe.send(found)


def timed(seed: int) -> list[dict[str, object]]:
    """A training with each of the settings, which take turns after every epoch.

    So a machine that slows down slows all.
    """
    best, context, processes = peak(), multiprocessing.get_context("spawn"), []
    pipes, seconds, found = {}, dict.fromkeys(SETTINGS, 0.0), {}
    for name, settings in SETTINGS.items():
        pipes[name], theirs = context.Pipe()
        arguments = theirs, settings, seed
        processes.append(context.Process(target=training, args=arguments, daemon=True))
        processes[-1].start()
        theirs.close()
        pipes[name].recv()  # its images are loaded
    while len(found) < len(SETTINGS):
        for name in [name for name in SETTINGS if name not in found]:
            started = time.perf_counter()
            pipes[name].send(None)
            answer = pipes[name].recv()
            if answer:
                found[name] = answer
            else:
                seconds[name] += time.perf_counter() - started
    for process in processes:
        process.join()  # or its end would slow what is measured next
    return [
        {
            "name": name,
            "settings": str(settings),
            "seed": seed,
            "seconds": seconds[name],
            **found[name],
            "peak": best,
            **software_and_hardware(torch.device("cpu")),
        }
        for name, settings in SETTINGS.items()
    ]


def peak() -> float:
    """Operations a second of the fastest of ten products of matrices in bf16."""
    matrix, seconds = torch.randn(SIDE, SIDE).bfloat16(), []
    for _ in range(10):
        started = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - started)
    return 2 * SIDE**3 / min(seconds)


def compare_gradients(side: int) -> None:
    """Time the gradient of the weights for maps of such a side, apart and side by side."""
    channels = WIDTHS[-1]
    maps, towards = (
        torch.randn(500, channels, side, side)
        .bfloat16()
        .contiguous(memory_format=torch.channels_last)
        for _ in range(2)
    )
    shape = channels, channels, 3, 3
    name = f"Gradient of the weights, 500 maps of {side}x{side} in {channels} channels"
    compare(
        f"gradient-{side}",
        f"{name}, apart / side by side",
        lambda: conv2d_weight(maps, shape, towards, padding=1),
        lambda: conv2d_weight(side_by_side(maps), shape, side_by_side(towards), padding=1),
    )


def main() -> None:
    for side in (7, 3):
        compare_gradients(side)
    kept = json.loads(FOUND.read_text()) if FOUND.exists() else []
    found = [one for one in kept if one["settings"] == str(SETTINGS.get(one["name"]))]
    whole = {seed for seed in SEEDS if sum(one["seed"] == seed for one in found) == len(SETTINGS)}
    found = [one for one in found if one["seed"] in whole]
    for seed in SEEDS:
        if seed not in whole:
            found += timed(seed)
            FOUND.write_text(json.dumps(found, indent=1) + "\n")
            _keep_ratios(pd.DataFrame(found))


def _keep_ratios(found: pd.DataFrame) -> None:
    """A row for each of our settings: the record's seconds / its own, a ratio a seed."""
    groups = {name: group.set_index("seed") for name, group in found.groupby("name")}
    record = groups["record"]
    for name in [name for name in SETTINGS if name != "record"]:
        ours = groups[name]
        theirs, reached = (percents(list(one["test_accuracy"])) for one in (record, ours))
        question = (
            f"Training on CIFAR\u201110, settings of a speed record ({theirs}) / {name} ({reached})"
        )
        keep(f"accuracy-{name}", question, list(record["seconds"] / ours["seconds"]))


def table() -> str:
    """The Markdown table: a row a setting, of the trainings that there are."""
    found, rows = pd.DataFrame(json.loads(FOUND.read_text())), []
    best = found["peak"].max()  # the machine is not equally fast at all times
    for name, group in found.groupby("name", sort=False):
        config, sides, kept = SETTINGS[name]
        rows.append(
            {
                "settings": name,
                "trainings": len(group),
                "batch": f"{config.batch_size:,}",
                "epochs x pixels": _in_turn(sides),
                "epochs x % of the images": _in_turn(f"{100 * share:.0f}" for share in kept),
                "seconds": spread(list(group["seconds"]), 0),
                "test accuracy": percents(list(group["test_accuracy"])),
                "operations": f"{group['operations'].mean():.2g}",
                "share of the peak": percents(list(group["operations"] / group["seconds"] / best)),
            }
        )
    return markdown(pd.DataFrame(rows))


def _in_turn(of_epochs: Iterable[object]) -> str:
    """What is so in each epoch, equal ones together."""
    equal = itertools.groupby(of_epochs)
    return ", ".join(f"{len(list(epochs))} x {value}" for value, epochs in equal)


if __name__ == "__main__":
    main()
