"""`labutils transfer`: what a stored network is worth for other classes, or to a smaller one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from labutils.cli.app import APP, MOST_JOBS, Keep, default_hint, shown
from labutils.cli.listing import result
from labutils.cli.options import DistillOptions, FineTuneOptions
from labutils.config import Config, DataName, DistillConfig, RunConfig, TransferConfig
from labutils.config.base import Within
from labutils.config.profiles import Profile, profile
from labutils.config.transfer import NETWORK_FIELDS

if TYPE_CHECKING:
    from labutils.runs.store import Run

Source = Annotated[
    str | None, tyro.conf.arg(metavar="ID", help_behavior_hint="(default: the strong network)")
]
Kind = Literal["svm", "logistic", "ridge", "neighbours", "nearest-mean"]
Onto = Annotated[DataName | None, default_hint("cifar100; in quick shapes20")]


@dataclass
class Probe:
    """Fit a classical classifier on the features of a frozen network, and test it."""

    source: Source = None
    """Id of a stored classifier with weights; `runs` lists them, an id ends each name."""
    onto: Onto = None
    """The data set whose classes are told apart."""
    kind: Kind = "svm"
    """The classifier."""
    of: Literal["trained", "untrained", "pixels"] = "trained"
    """Features of the network, of the same one untrained, or the pixels themselves."""
    layers: Annotated[tuple[str, ...], default_hint("the last block")] = ()
    """Layers whose maps are put side by side: stem, blocks.0, blocks.1 and so on."""
    side: Literal[1, 2] = 1
    """Maps are averaged to so many cells a side."""
    labels_per_class: Annotated[int | None, default_hint("all")] = None
    """Fit so many images of each class."""
    draw: int = 0
    """Which draw of those images."""
    jobs: int = 1
    """Processes that fit the classes of an SVM side by side."""

    def run(self, which: Profile) -> int:
        """Load the probe, or fit it, and print a line."""
        from labutils.transfer.probes import feature_layers, probe

        Within(1, MOST_JOBS)("jobs", self.jobs)
        Within(1)("labels_per_class", 1 if self.labels_per_class is None else self.labels_per_class)
        Within(0)("draw", self.draw)
        run = _source(self.source, which)
        layers, onto = self.layers, self.onto or which.data("cifar100")
        if self.of != "pixels":
            layers = layers or feature_layers(run.model())[-1:]
        found = probe(
            run,
            self.kind,
            onto=onto,
            of=self.of,
            layers=layers,
            side=self.side,
            per_class=self.labels_per_class,
            draw=self.draw,
            n_jobs=self.jobs,
        )
        print(
            f"{self.kind} on {found['features']:,} features of {run.config.label} ({self.of}), "
            f"{found['images']:,} images of {onto}: "
            f"validation accuracy {100 * found['val_accuracy']:.2f} %, "
            f"test accuracy {100 * found['test_accuracy']:.2f} %"
        )
        return 0


@dataclass
class FineTune:
    """Train a stored network further, with a new head, on another data set."""

    training: tyro.conf.OmitArgPrefixes[FineTuneOptions]
    source: Source = None
    """Id of a stored classifier with weights; `runs` lists them, an id ends each name."""
    onto: Onto = None
    """The data set that it is trained on."""
    keep: Keep = "none"
    """Store the weights too; a run that is stored without is trained again."""

    def run(self, which: Profile) -> int:
        """Load the run or train it, and print a line."""
        source = _source(self.source, which)
        network = {name: getattr(source.config, name) for name in NETWORK_FIELDS}
        given = network | self.training | {"source": source.config.id}
        config = TransferConfig(data=self.onto or which.data("cifar100"), **given)
        return _train(config, which, self.keep)


@dataclass
class Distill:
    """Train a small network by a stored one's probabilities, on the same data set."""

    student: tyro.conf.OmitArgPrefixes[DistillOptions]
    source: Source = None
    """Id of the teacher, a stored classifier with weights; an id ends each name in `runs`."""
    keep: Keep = "none"
    """Store the weights too; a run that is stored without is trained again."""

    def run(self, which: Profile) -> int:
        """Load the run or train it, and print a line."""
        teacher = _source(self.source, which).config
        config = DistillConfig(data=teacher.data, teacher=teacher.id, **self.student)
        return _train(config, which, self.keep)


@APP.command
def transfer(
    task: tyro.conf.OmitSubcommandPrefixes[tyro.conf.OmitArgPrefixes[Probe | FineTune | Distill]],
) -> int:
    """Use a stored network: frozen, trained further, or as a teacher.

    Args:
        task: What is done with it.
    """
    return task.run(profile())


def _source(run_id: str | None, which: Profile) -> Run:
    """The stored classifier of this id, by default the report's strong network."""
    from labutils.runs.store import RunError, Store

    if run_id is None:
        from labutils.report.experiments import load

        return load("strong", which, seed=0)[0]
    run = Store.of(which).load_id(run_id)
    if not isinstance(run.config, RunConfig):
        raise RunError(f"{run.config.name} is no classifier: give the id of one")
    if not run.has_weights:
        raise RunError(
            f"{run.config.name} is stored without its weights: give another id, or train it again "
            "with --keep fp16"
        )
    return run


def _train(config: Config, which: Profile, keep: Keep) -> int:
    from labutils.report.training import train_run
    from labutils.runs.load import load_or_train
    from labutils.runs.store import Store

    store = Store.of(which)
    run = load_or_train(config, partial(train_run, store=store), store=store, keep=keep)
    print(f"{shown(run.folder)}: {result(run)}")
    return 0
