"""Experiment loggers by name: TensorBoard and Weights & Biases, imported when asked for.

A logger is a guest of a training: one that cannot start says so before the first epoch, one that
fails later is dropped with a warning, and the training goes on.
"""

import json
import os
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LOGGERS: tuple[str, ...] = ("tensorboard", "wandb", "wandb-offline")
WANDB_SECONDS = 20.0  # to start and to finish; W&B's own limits are 90 and none

Scalars = Mapping[str, float]


class LoggerError(RuntimeError):
    """A logger that was asked for cannot start; the message says what to do."""


class TensorBoard:
    """Event files; what older ones have from `first_epoch` on is hidden."""

    def __init__(self, run_name: str, config: Mapping, folder: Path, first_epoch: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(folder / "tensorboard" / run_name, purge_step=first_epoch)
        text = json.dumps(dict(config), indent=2, default=str)
        self.writer.add_text("config", textwrap.indent(text, "    "), first_epoch)  # as Markdown
        self.close = self.writer.close

    def log(self, epoch: int, scalars: Scalars) -> None:
        for name, value in scalars.items():
            self.writer.add_scalar(name, float(value), epoch)
        self.writer.flush()  # a kill loses nothing, and a full disk is noticed here


class WandB:
    """A W&B run with the run's name as id, by which a resumed training finds it again.

    Offline, each start is a folder of its own under this id, joined by `wandb sync`.
    """

    def __init__(self, run_name: str, config: Mapping, folder: Path, mode: str) -> None:
        # by name: a folder "wandb" in the working directory imports as an empty package
        from wandb import Settings, init, login

        # W&B's service process, which reads this when it starts, would log in the home folder
        os.environ.setdefault("WANDB_CACHE_DIR", str(folder / "wandb" / "cache"))
        folder.mkdir(parents=True, exist_ok=True)
        # without a key `init` would ask at the terminal
        if mode == "online" and not login(prompt=False, verify=False):
            raise PermissionError("there is no API key, or WANDB_MODE keeps it offline")
        settings = Settings(
            console="off",  # or W&B wraps the standard streams of the training
            quiet=True,
            init_timeout=WANDB_SECONDS,
            finish_timeout=WANDB_SECONDS,
            x_disable_stats=True,
            x_transaction_log_flush_interval=1.0,  # by default a kill loses 15 seconds
        )
        self.run = init(
            project="labutils", id=run_name, name=run_name, config=dict(config), dir=folder,
            mode=mode, settings=settings, resume="allow",
            reinit="create_new",  # a W&B run that the caller has open is left alone
        )  # fmt: skip
        self.close = self.run.finish

    def log(self, epoch: int, scalars: Scalars) -> None:
        if epoch >= self.run.step:  # else W&B has this epoch from before the training was resumed
            values = {name: float(value) for name, value in scalars.items()}
            self.run.log(values, step=epoch, commit=True)  # else it waits for the next epoch


class Loggers(dict[str, TensorBoard | WandB]):
    """Any number of loggers, by name, as one that never fails."""

    def log(self, epoch: int, scalars: Scalars) -> None:
        """Write the scalars of one epoch; they may be infinite or not a number."""
        self.each("log", epoch, scalars)

    def each(self, method: str, *arguments: Any) -> None:
        """Call a method of all; one that fails is dropped with a warning."""
        for name, logger in list(self.items()):
            try:
                getattr(logger, method)(*arguments)
            except Exception as error:
                del self[name]
                message = f"{name} failed and is dropped; the training goes on: {error!r}"
                warnings.warn(message, RuntimeWarning, stacklevel=3)


@contextmanager
def open_loggers(
    names: Sequence[str], *, run_name: str, config: Mapping, folder: Path, first_epoch: int = 0
) -> Iterator[Loggers]:
    """Open the named loggers for one run and close them at the end, after an error too.

    Args:
        names: any of `LOGGERS`; with none, nothing is imported and nothing is written.
        run_name: the same name and folder go on with the curves of a run that was killed.
        config: kept beside the curves.
        folder: where everything is written: `tensorboard/RUN_NAME` and `wandb`.
        first_epoch: the first that will be logged: 0 for a new run, more for a resumed one.

    Raises:
        LoggerError: a name is unknown, a library is missing, or W&B has no key or no network.
    """
    loggers = Loggers()
    try:
        for name in dict.fromkeys(names):
            loggers[name] = _open(name, run_name, config, folder.absolute(), first_epoch)
        yield loggers
    finally:
        loggers.each("close")


def _open(
    name: str, run_name: str, config: Mapping, folder: Path, first_epoch: int
) -> TensorBoard | WandB:
    if name not in LOGGERS:
        raise LoggerError(f"there is no logger {name!r}: choose from {', '.join(LOGGERS)}")
    try:
        if name == "tensorboard":
            return TensorBoard(run_name, config, folder, first_epoch)
        return WandB(run_name, config, folder, "online" if name == "wandb" else "offline")
    except Exception as error:
        advice = f"is {folder} writable?"
        if isinstance(error, ImportError):
            advice = "in the repository, `pip install '.[logging]'` installs it"
        elif name == "wandb":
            advice = "`wandb login` sets a key; 'wandb-offline' needs neither key nor network"
        raise LoggerError(f"{name} cannot start ({error!r}): {advice}") from error
