"""`labutils train`: one network."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from labutils.cli.app import APP, Keep, default_hint, shown
from labutils.cli.listing import result
from labutils.cli.loggers import LOGGERS, open_loggers
from labutils.cli.options import Options
from labutils.config import RunConfig
from labutils.config.profiles import profile

LoggerName = Literal[LOGGERS]


@APP.command
def train(
    network: tyro.conf.OmitArgPrefixes[Options],
    keep: Keep = "none",
    log: Annotated[tuple[LoggerName, ...], default_hint("none")] = (),
) -> int:
    """Train one network; what is stored is loaded, what was interrupted goes on.

    Args:
        network: The network, and how it is trained.
        keep: Store the weights too; a run that is stored without is trained again.
        log: Write the curves for these programs too, under build/logs/.
    """
    config, which = RunConfig(**network), profile()
    from labutils.runs.load import load_or_train
    from labutils.runs.store import Store

    origin = "it was stored already, nothing was trained"

    def train_and_log(config: RunConfig, **arguments: Any) -> Any:
        nonlocal origin
        from labutils.training.classifiers import train

        done = _epochs_done(arguments["checkpoint"])
        origin = f"resumed after epoch {done}" if done else "trained from the beginning"
        if done:
            print(f"{config.name} goes on after epoch {done} of {config.epochs}", file=sys.stderr)
        run = {"run_name": config.name, "config": config.to_dict()}
        folder, first = which.scratch.parent / "logs", done + 1 if done else 0
        with open_loggers(log, **run, folder=folder, first_epoch=first) as loggers:
            return train(config, **arguments | {"on_epoch": loggers.log})

    run = load_or_train(config, train_and_log, store=Store.of(which), keep=keep)
    print(f"{shown(run.folder)}: {result(run)} ({origin})")
    return 0


def _epochs_done(checkpoint: Path) -> int:
    """Epochs of the unfinished run in a checkpoint; 0 without one that can be read."""
    import torch

    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        return len(state["history"]["val_loss"])
    except Exception:  # torch.load raises many kinds; `fit` says that the file is damaged
        return 0
