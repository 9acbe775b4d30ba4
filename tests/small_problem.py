"""A problem that small networks learn in a second, for tests of training."""

import torch

from labutils.config.classifier import RunConfig
from labutils.models.networks import build_model
from labutils.training import fit

SHAPE, CLASSES = (3, 8, 8), 3
MLP = RunConfig(depth=4, width=16, epochs=3, batch_size=16)
EVERYTHING = RunConfig(  # dropout, batch norm, augmentation
    model="cnn", width=4, epochs=3, batch_size=16, flip=True, crop_padding=1, cutout=3
)


def problem(count=60, *, seed=0, shape=SHAPE, noise=False):
    """Noise and, unless it is to be learned by heart, a row of pixels that tells the class."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 200, (count, *shape), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (count,), generator=generator)
    if not noise:
        images[torch.arange(count), :, labels] = 255
    return images, labels


TRAIN, VAL, TEST = problem(60), problem(30, seed=1), problem(20, seed=2)
NOISE_TRAIN, NOISE_VAL = problem(40, noise=True), problem(30, seed=1, noise=True)


def build(config, shape=SHAPE):
    return build_model(config, shape, CLASSES)


def trained(config, train=TRAIN, val=VAL, **options):
    model = build(config)
    return model, fit(model, train, val, config, progress=False, **options)


def same_weights(model, other):
    mine, others = model.state_dict(), other.state_dict()
    return mine.keys() == others.keys() and all(torch.equal(mine[k], others[k]) for k in mine)


def measured(history):
    """All of a history but the clock's time."""
    return {name: value for name, value in history.to_dict().items() if name != "seconds"}


class Interrupted(Exception):
    pass


def interrupt_after(last):
    def on_epoch(epoch, scalars):
        if epoch == last:
            raise Interrupted

    return on_epoch


MUON = RunConfig(
    model="strong", width=4, residual=True, init="partial-identity", optimizer="muon",
    learning_rate=0.2, momentum=0.6, bias_learning_rate=0.1, head_learning_rate=0.05,
    schedule="linear", flip=True, alternating_flip=True, crop_padding=2, epochs=4,
    padding_mode="reflect", batch_size=16, precision="bf16",
)  # fmt: skip
