"""Fine-tuning: a stored network with a new head, trained on another data set in part or whole."""

from __future__ import annotations

from typing import Any

from torch import nn

from labutils import data
from labutils.config.classifier import RunConfig
from labutils.config.transfer import NETWORK_FIELDS, Trained, TransferConfig
from labutils.models.networks import Classifier
from labutils.runs.load import default_store
from labutils.runs.store import Run, Store
from labutils.training.classifiers import Classification, labelled, train_and_test, untrained
from labutils.training.history import Outcome
from labutils.training.inputs import TrainingError

TRAINED_BLOCKS: dict[Trained, int] = {"head": 0, "last-block": 1, "last-two": 2}


def fine_tune(config: TransferConfig, *, store: Store | None = None, **options: Any) -> Outcome:
    """The recipe of a transfer: new head on a stored network, train, and test once at the end.

    Without a source it trains the same network from scratch, as a `RunConfig` does.

    Args:
        store: where the source is looked up; by default that of the profile.
        options: those of `run_epochs`.

    Raises:
        MissingRuns: the source is not stored.
        RunError: it keeps no weights.
        TrainingError: it is of another build than `config` says.
    """
    images = data.load(config.data)
    if config.labels_per_class is not None:
        images = images.with_labels(config.labels_per_class, config.draw)
    model = transferred(config, images, store or default_store())
    kind = Classification if config.trained == "everything" else PartialTraining
    return train_and_test(kind(model, *labelled(images), config), images.test, **options)


class PartialTraining(Classification):
    """Training of some layers; layer statistics are for networks whose layers are all trained."""

    def measure_layers(self) -> None:
        """Nothing is measured."""
        self.history.layer_names = []


def transferred(config: TransferConfig, images: data.DataSet, store: Store) -> Classifier:
    """The network of `config` before training: the source's layers, frozen or not, and a new head.

    The head is drawn from the seed, as that of the network from scratch is. Pixels are normalised
    as the source's were, because its first weights expect that; from scratch by the statistics of
    the images.
    """
    model = untrained(config, images)
    if config.source:
        source = _matching(config, store.load_id(config.source)).model()
        model.normalize, model.stem, model.blocks = source.normalize, source.stem, source.blocks
        if config.trained != "everything":
            fixed = len(model.blocks) - TRAINED_BLOCKS[config.trained]
            for part in (model.normalize, model.stem, *model.blocks[:fixed]):
                freeze(part)
    return model


def freeze(module: nn.Module) -> None:
    """Fix all weights and buffers of a module; its batch norms stay in eval mode for good.

    A batch norm that only had its weights fixed would still follow the new images with its
    running mean and variance, and the layers before the trained ones would not be the stored ones.
    """
    module.requires_grad_(False)
    for part in module.modules():
        if type(part) in FROZEN_NORMS:
            part.__class__ = FROZEN_NORMS[type(part)]
            part.eval()


class _AlwaysEval(nn.Module):
    def train(self, mode: bool = True) -> _AlwaysEval:
        return super().train(False)


class FrozenBatchNorm1d(_AlwaysEval, nn.BatchNorm1d):
    """Batch norm by its stored mean and variance, whatever the mode of its network."""


class FrozenBatchNorm2d(_AlwaysEval, nn.BatchNorm2d):
    """Batch norm by its stored mean and variance, whatever the mode of its network."""


FROZEN_NORMS = {nn.BatchNorm1d: FrozenBatchNorm1d, nn.BatchNorm2d: FrozenBatchNorm2d}


def _matching(config: TransferConfig, source: Run) -> Run:
    """The source, if its network is of the build that `config` says."""
    if not isinstance(source.config, RunConfig):
        raise TrainingError(f"source {config.source} is no classifier: give the id of one")
    for name in NETWORK_FIELDS:
        found, wanted = getattr(source.config, name), getattr(config, name)
        if found != wanted:
            raise TrainingError(
                f"source {config.source} has {name} {found!r}, but this configuration {wanted!r}: "
                "give the source's own, or another source"
            )
    return source
