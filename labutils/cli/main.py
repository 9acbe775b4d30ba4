"""Command line: train, sweep, runs, data, detect, describe; options made from dataclasses."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from labutils.cli.arguments import (
    REGISTRY,
    Experiment,
    Network,
    Training,
    data_hint,
    default_hint,
    experiments_hint,
)
from labutils.cli.listing import (
    dimensions,
    print_estimate,
    print_plan,
    print_runs,
    result,
    shortened,
    shown,
    table,
)
from labutils.config.classifier import ModelName, RunConfig
from labutils.config.data_sets import DATA_SETS, DataName
from labutils.config.profiles import profile
from labutils.training.loggers import LOGGERS, open_loggers

# torch takes seconds to import: what needs it is imported once the arguments are known to be good.

PROG = "python -m labutils"
Keep = Literal["none", "fp32", "fp16"]
LoggerName = Literal[LOGGERS]

APP = tyro.extras.SubcommandApp()
USAGE_ERROR, INTERRUPTED, CLOSED_PIPE = 2, 130, 141  # as shells count them


@APP.command
def train(
    network: tyro.conf.OmitArgPrefixes[Network],
    training: tyro.conf.OmitArgPrefixes[Training],
    keep: Keep = "none",
    log: Annotated[tuple[LoggerName, ...], default_hint("none")] = (),
) -> int:
    """Train one network; what is stored is loaded, what was interrupted goes on.

    Args:
        keep: Store the weights too; a run that is stored without is trained again.
        log: Write the curves for these programs too, under build/logs/.
    """
    config, which = RunConfig(**network, **training), profile()
    from labutils import runs

    origin = "it was stored already, nothing was trained"

    def recipe(config: RunConfig, **arguments: Any) -> Any:
        nonlocal origin
        from labutils.training.classifiers import train

        done = _epochs_done(arguments["checkpoint"])
        origin = f"resumed after epoch {done}" if done else "trained from the beginning"
        if done:
            print(f"{config.name} goes on after epoch {done} of {config.epochs}", file=sys.stderr)
        with open_loggers(
            log,
            run_name=config.name,
            config=config.to_dict(),
            folder=which.scratch.parent / "logs",
            first_epoch=done + 1 if done else 0,
        ) as loggers:
            return train(config, **arguments | {"on_epoch": loggers.log})

    run = runs.load_or_train(config, recipe, store=runs.Store.of(which), keep=keep)
    print(f"{shown(run.folder)}: {result(run)} ({origin})")
    return 0


@APP.command
def sweep(
    experiments: Annotated[
        tyro.conf.Positional[tuple[Experiment, ...]],
        tyro.conf.arg(metavar="EXPERIMENT ...", help_behavior_hint=experiments_hint),
    ],
    jobs: Annotated[
        int | None, tyro.conf.DisallowNone, default_hint("one a processor core")
    ] = None,
    cluster: Annotated[
        str | None,
        tyro.conf.DisallowNone,
        tyro.conf.arg(metavar="ADDRESS", help_behavior_hint="(default: none)"),
    ] = None,
    keep: Annotated[
        Keep | None, tyro.conf.DisallowNone, default_hint("what later exercises load")
    ] = None,
    dry_run: Annotated[bool, default_hint("off")] = False,
) -> int:
    """Train what is missing of an experiment, its runs side by side.

    Args:
        experiments: One or more experiments of the report.
        jobs: Runs trained at the same time, one thread each; a cluster has its own number.
        cluster: Address of a Dask scheduler whose workers share this file system.
        keep: Which weights to store; runs that are stored without are trained again.
        dry_run: Only list the runs, stored or missing, with the estimated time.
    """
    which = profile()
    from labutils.report.experiments import EXPERIMENTS, stages
    from labutils.runs.store import Store
    from labutils.runs.sweep import run_sweep

    if not experiments:
        return _usage_error("sweep", f"Name an experiment: {', '.join(EXPERIMENTS)}.")
    if jobs is not None and jobs < 1:
        return _usage_error("sweep", f"--jobs is {jobs}: give 1 or more.")
    store = Store.of(which)
    wanted = [config for name in experiments for config in EXPERIMENTS[name](which)]
    todo = stages(wanted, which, keep)
    missing = {config.id: config for _, group in todo for config in group}
    configs = missing | {config.id: config for config in wanted}
    if dry_run:
        print_plan(configs.values(), missing, store)
    print_estimate(len(configs), list(missing.values()), jobs, cluster)
    if not dry_run:
        for form, group in todo:
            run_sweep(group, store=store, keep=form, n_jobs=jobs, cluster=cluster)
        print_runs([store.load(config) for config in configs.values()])
    return 0


@APP.command
def runs(
    data: Annotated[DataName | None, tyro.conf.DisallowNone, default_hint("all")] = None,
    model: Annotated[ModelName | None, tyro.conf.DisallowNone, default_hint("all")] = None,
) -> int:
    """List the runs that are stored, with their results.

    Args:
        data: Only runs on this data set.
        model: Only runs of this model family.
    """
    which = profile()
    from labutils.runs.store import Store

    found, damaged = Store.of(which).scan()
    chosen = [
        run
        for run in found
        if data in (None, getattr(run.config, "data", None))
        and model in (None, getattr(run.config, "model", None))
    ]
    if chosen:
        print_runs(chosen)
    elif found:
        print(f"None of the {len(found)} runs in {shown(which.runs)} is of this kind.")
    elif not damaged:
        print(
            f"No run is stored in {shown(which.runs)}. `{PROG} train` trains one network, "
            f"`{PROG} sweep EXPERIMENT` those of an experiment; -h after either says more."
        )
    for message in damaged:
        print(message, file=sys.stderr)
    return 1 if damaged else 0


@APP.command
def data(
    names: Annotated[
        tyro.conf.Positional[tuple[DataName, ...]],
        tyro.conf.arg(metavar="[NAME ...]", help_behavior_hint=data_hint),
    ] = ("mnist", "cifar10", "cifar100"),
) -> int:
    """Download data sets into LAB_DATA (else data/) and say what is in them.

    Args:
        names: Data sets.
    """
    from labutils.data.files import DataError
    from labutils.data.sets import data_root, load

    failed = 0
    for name in names:
        try:
            found = load(name)
        except DataError as error:
            print(error, file=sys.stderr)
            failed = 1
            continue
        file = "built in" if DATA_SETS[name].built_in else data_root() / f"{name}.safetensors"
        parts = [len(part) for part in (found.train, found.val, found.test)]
        mean, std = (" ".join(f"{v:.4f}" for v in values) for values in (found.mean, found.std))
        print(f"{name}: {file}")
        print("  images   {:,} training, {:,} validation, {:,} test".format(*parts))
        print("  shape    {} x {} x {} (channels x height x width)".format(*found.image_shape))
        print(f"  classes  {len(found.class_names)}: {shortened(found.class_names)}")
        print(f"  mean     {mean}")
        print(f"  std      {std}", flush=True)
    return failed


@APP.command
def detect(
    images: Annotated[
        tyro.conf.Positional[tuple[Path, ...]],
        tyro.conf.arg(metavar="IMAGE ...", help_behavior_hint="(one or more)"),
    ],
    output: Annotated[Path, default_hint("build/detected")] = Path("build/detected"),
) -> int:
    """Find the digits in pictures, light on dark or dark on light.

    Args:
        images: Pictures in any format that Pillow knows, up to 4 million pixels and 10,000 a side.
        output: Folder for each picture with its boxes, and for these as JSON.
    """
    if not images:
        return _usage_error("detect", "Name a picture.")
    which = profile()
    from labutils.cli.detect import detect_in_files
    from labutils.report.experiments import detector

    return detect_in_files(detector(which), images, output)


@APP.command
def describe(network: tyro.conf.OmitArgPrefixes[Network]) -> int:
    """Show a network's layers: output shape, parameters, multiply-adds."""
    config = RunConfig(**network)
    from labutils.models.costs import describe
    from labutils.models.networks import build_model

    height, width, channels = DATA_SETS[config.data].image_shape
    shape = (channels, height, width)
    rows = describe(build_model(config, shape, DATA_SETS[config.data].classes), shape)
    lines = [
        (r.name, r.kind, dimensions(r.output_shape), f"{r.parameters:,}", f"{r.multiply_adds:,}")
        for r in rows
    ]
    totals = (sum(r.parameters for r in rows), sum(r.multiply_adds for r in rows))
    lines.append(("total", "", "", *(f"{total:,}" for total in totals)))
    print(table(("layer", "kind", "output", "parameters", "multiply-adds"), lines, left=2))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 for an error, 130 for Ctrl-C.

    Raises:
        SystemExit: with 0 after -h, with 2 where the arguments cannot be understood.
    """
    try:
        try:
            return APP.cli(
                prog=PROG,
                description=_description(),
                args=arguments,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.PositionalMetavarFromFieldName),
                registry=REGISTRY,
            )
        finally:
            sys.stdout.flush()  # here, where a closed pipe is caught
    except BrokenPipeError:  # the reader, for example head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except KeyboardInterrupt:
        print(
            "\nInterrupted; nothing is broken. Give the same command again to go on: "
            "a training resumes from its last whole epoch.",
            file=sys.stderr,
        )
        return INTERRUPTED
    except Exception as error:
        # Errors that labutils defines, and those of files, are for the person at the terminal.
        if isinstance(error, OSError) or type(error).__module__.startswith("labutils."):
            print(error, file=sys.stderr)
            return 1
        raise


def _description() -> str:
    return (
        "Train networks, and see what is trained.\n\n"
        "Runs are stored in trained_models/; with LAB_PROFILE=quick, in build/quick/.\n\n"
        f"All options of a command: {PROG} COMMAND -h"
    )


def _usage_error(command: str, message: str) -> int:
    print(f"{message} `{PROG} {command} -h` says more.", file=sys.stderr)
    return USAGE_ERROR


def _epochs_done(checkpoint: Path) -> int:
    """Epochs of the unfinished run in a checkpoint; 0 without one that can be read."""
    import torch

    try:
        return len(torch.load(checkpoint, map_location="cpu")["history"]["val_loss"])
    except Exception:  # torch.load raises many kinds; `fit` says that the file is damaged
        return 0


if __name__ == "__main__":
    # A person needs the message of a warning, not the line of code that it comes from.
    warnings.formatwarning = lambda message, *_, **__: f"{message}\n"
    sys.exit(main())
