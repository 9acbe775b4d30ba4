"""Lesions of trained networks: blocks deleted or swapped, without training again."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import combinations, permutations
from typing import Any

import torch
from torch import nn

from labutils import data
from labutils.models.blocks import Block
from labutils.models.modes import eval_mode, probing
from labutils.runs.load import load_or_measure, ready
from labutils.runs.store import Run

Score = Callable[[nn.Module], float]  # accuracy in [0, 1] of a network as it is
IMAGES = 1_000  # of the validation split
ORDERS, ORDERS_SEED = 8, 0  # random orders in which blocks are deleted


def lesions_of(run: Run) -> dict[str, Any]:
    """Accuracies of a stored network with blocks deleted or swapped.

    They are those on the first `IMAGES` validation images, in [0, 1].

    Returns:
        What `deletion_curves` (`deletions`), `single_deletions` (`single`) and `swaps` return.
        `own_statistics`: the same three where batch norm uses the mean and deviation of these
        images in the network as it is cut, not what it kept from training the whole.

    Raises:
        RunError: the run keeps no weights.
    """
    arguments = {"images": IMAGES, "orders": ORDERS, "seed": ORDERS_SEED}
    kept = load_or_measure(run, "lesions", arguments, lambda: _scores(run, eval_mode))
    own = load_or_measure(run, "lesions-own", arguments, lambda: _scores(run, probing))
    return kept | {"own_statistics": own}


def _scores(run: Run, mode: Callable[[nn.Module], AbstractContextManager]) -> dict[str, Any]:
    """All lesions, each scored with the network in a mode of `models.modes`."""
    val, (model, execution) = data.load(run.config.data).val, ready(run)
    images, labels = val.images[:IMAGES], val.labels[:IMAGES]

    @torch.no_grad()
    def score(model: nn.Module) -> float:
        with mode(model), execution.autocast():
            predictions = model(execution.place(images)).argmax(1).cpu()
        return (predictions == labels).sum().item() / len(labels)

    return {
        "deletions": deletion_curves(model, score, orders=ORDERS, seed=ORDERS_SEED),
        "single": single_deletions(model, score),
        "swaps": swaps(model, score),
    }


def removable_blocks(model: nn.Module) -> dict[str, Block]:
    """The blocks that can be deleted without touching any other layer, by name, first to last."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, Block) and isinstance(module.shortcut, nn.Identity)
    }


def deleted(model: nn.Module, names: Sequence[str]) -> AbstractContextManager[None]:
    """Inside the context these blocks lose their weight layers; afterwards all is as it was.

    Of a residual block the skip stays, and the activation behind the sum. A plain one hands on
    its input.

    Raises:
        ValueError: one of them is no block that can be deleted; the message lists those that can.
    """
    rests = {
        name: block.activation2 if block.residual else nn.Identity()
        for name, block in _checked(model, names).items()
    }
    return _replaced(model, rests)


def swapped(model: nn.Module, first: str, second: str) -> AbstractContextManager[None]:
    """Inside the context two blocks of one shape have changed places.

    Raises:
        ValueError: one is no block that can be moved, or their shapes differ.
    """
    blocks = _checked(model, (first, second))
    if _shapes(blocks[first]) != _shapes(blocks[second]):
        raise ValueError(f"{first} and {second} have different shapes: swap blocks of one stage")
    return _replaced(model, {first: blocks[second], second: blocks[first]})


def _shapes(block: Block) -> list[torch.Size]:
    return [parameter.shape for parameter in block.parameters()]


def _checked(model: nn.Module, names: Sequence[str]) -> dict[str, Block]:
    removable = removable_blocks(model)
    if unknown := [name for name in names if name not in removable]:
        raise ValueError(
            f"{', '.join(unknown)} cannot be deleted or moved: take some of "
            f"{', '.join(removable) or 'none, this network has no such block'}"
        )
    return {name: removable[name] for name in names}


@contextmanager
def _replaced(model: nn.Module, replacements: Mapping[str, nn.Module]) -> Iterator[None]:
    originals = {name: model.get_submodule(name) for name in replacements}
    try:
        for name, module in replacements.items():
            model.set_submodule(name, module)
        yield
    finally:
        for name, module in originals.items():
            model.set_submodule(name, module)


def deletion_curves(
    model: nn.Module, score: Score, *, orders: int, seed: int = 0
) -> list[list[float]]:
    """Accuracy after 0, 1, 2, ... deleted blocks, until none is left to delete; a list an order.

    Source: Veit, Wilber and Belongie 2016, "Residual Networks Behave Like Ensembles of
    Relatively Shallow Networks", section 4.2.

    Args:
        orders: in how many random orders the blocks are deleted; where there are no more orders
            than that, in each of them once.
        seed: draws the orders; two networks with as many blocks get the same ones.
    """
    names = list(removable_blocks(model))
    if math.factorial(len(names)) <= orders:
        drawn = list(permutations(names))
    else:
        generator = torch.Generator().manual_seed(seed)
        shuffles = [torch.randperm(len(names), generator=generator) for _ in range(orders)]
        drawn = [[names[i] for i in shuffle] for shuffle in shuffles]
    whole = score(model)
    return [
        [whole, *(_without(model, order[:count], score) for count in range(1, len(order) + 1))]
        for order in drawn
    ]


def single_deletions(model: nn.Module, score: Score) -> dict[str, float]:
    """Accuracy with one block deleted, for each that can be."""
    return {name: _without(model, [name], score) for name in removable_blocks(model)}


def _without(model: nn.Module, names: Sequence[str], score: Score) -> float:
    with deleted(model, names):
        return score(model)


def swaps(model: nn.Module, score: Score) -> list[dict[str, Any]]:
    """For each pair of blocks of one shape `first`, `second`, `distance` in blocks, `accuracy`."""
    found = []
    blocks = enumerate(removable_blocks(model).items())
    for (place, (first, one)), (other_place, (second, other)) in combinations(blocks, 2):
        if _shapes(one) == _shapes(other):
            with swapped(model, first, second):
                accuracy = score(model)
            pair = {"first": first, "second": second, "distance": other_place - place}
            found.append(pair | {"accuracy": accuracy})
    return found


def swap_groups(found: Mapping[str, Any]) -> dict[tuple[int, int], list[dict[str, Any]]]:
    """Pairs of swapped blocks by the stage that they belong to: blocks of one shape.

    Args:
        found: `single` and `swaps` of one network, as `lesions_of` returns them.

    Returns:
        The pairs, by the numbers of the stage's first and last block among all that can be
        deleted, from 1.
    """
    numbers = {name: number for number, name in enumerate(found["single"], 1)}
    first_of: dict[str, str] = {}  # of each block's stage
    groups: dict[str, list[dict[str, Any]]] = {}
    for pair in found["swaps"]:  # those of a stage's first block come before its others
        first = first_of.setdefault(pair["first"], pair["first"])
        first_of[pair["second"]] = first
        groups.setdefault(first, []).append(pair)
    return {
        (numbers[first], max(numbers[pair["second"]] for pair in pairs)): pairs
        for first, pairs in groups.items()
    }
