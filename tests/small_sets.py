"""Data sets of noise, small enough to be trained on within a second."""

import torch

from labutils import data
from labutils.data.sets import pixel_statistics


def noise(count, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return data.Split(images, torch.arange(count) % classes)


def small_set(name, classes):
    parts = [noise(count, classes, seed) for seed, count in enumerate((3 * classes, 20, 20))]
    names = tuple(f"class {number}" for number in range(classes))
    return data.DataSet(name, names, *parts, *pixel_statistics(parts[0].images))
