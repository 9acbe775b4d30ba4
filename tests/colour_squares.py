"""Squares of three colours, and a network whose maps are these squares by construction."""

import torch
from torch import nn

from labutils.data import Split
from labutils.models.blocks import GlobalAveragePool
from labutils.models.networks import Classifier


def network_of(stem, blocks, head, channels=3):
    """In eval mode; bytes count as numbers from 0 to 1."""
    return Classifier((torch.zeros(channels), torch.ones(channels)), stem, blocks, head).eval()


def sees_colours(least=0.0):
    """The map of a class is where its colour is: one cell for 4 x 4 pixels.

    Args:
        least: a cell that is darker counts as black.
    """
    linear = nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        linear.weight.copy_(100 * torch.eye(3))
    return network_of(
        nn.AvgPool2d(4),
        nn.Sequential(nn.Threshold(least, 0)),
        nn.Sequential(GlobalAveragePool(), linear),
    )


def squares(count, *, seed, grow=0):
    """One square of 4 x 4 pixels of its class's colour in a cell that is not in the middle.

    Args:
        grow: of the mask, beyond the square.
    """
    drawn = torch.Generator().manual_seed(seed)
    images = torch.zeros(count, 3, 16, 16, dtype=torch.uint8)
    masks = torch.zeros(count, 16, 16, dtype=torch.uint8)
    labels = torch.randint(3, (count,), generator=drawn)
    for number, label in enumerate(labels.tolist()):
        row = 0 if torch.rand((), generator=drawn) < 0.5 else 12
        column = 4 * torch.randint(4, (), generator=drawn).item()
        images[number, label, row : row + 4, column : column + 4] = 200
        rows = slice(max(row - grow, 0), row + 4 + grow)
        masks[number, rows, max(column - grow, 0) : column + 4 + grow] = 1
    return Split(images, labels, masks=masks)
