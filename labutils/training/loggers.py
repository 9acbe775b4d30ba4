"""Optional experiment loggers by name: TensorBoard and Weights & Biases, imported when asked for.

A logger is a guest of a training. One that cannot start says so before the first epoch; one that
fails later is dropped with a warning, and the training goes on.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

LOGGERS: tuple[str, ...] = ("tensorboard", "wandb", "wandb-offline")

# Seconds. W&B's own limits are 90 to start and none to finish.
WANDB_START_TIMEOUT = 20.0
WANDB_FINISH_TIMEOUT = 60.0
# W&B keeps 15 seconds of history in memory, which a killed run would lose.
WANDB_FLUSH_INTERVAL = 1.0


class LoggerError(RuntimeError):
    """A logger that was asked for cannot start; the message says what to do."""


class Loggers:
    """The open loggers of one run; without any, `log` does nothing."""

    def __init__(self) -> None:
        self._open: dict[str, _TensorBoard | _WandB] = {}

    def log(self, epoch: int, scalars: Mapping[str, float]) -> None:
        """Write the scalars of one epoch to every open logger.

        A logger that raises is reported once by a warning and dropped; the others go on.

        Args:
            epoch: Number of the epoch; must not fall from one call to the next.
            scalars: Values by name, for example `val_loss`; may be infinite or not a number.
        """
        for name, logger in list(self._open.items()):
            try:
                logger.log(epoch, scalars)
            except Exception as error:
                del self._open[name]
                message = f"{name} failed at epoch {epoch} and is dropped; training goes on: "
                warnings.warn(message + _describe(error), RuntimeWarning, stacklevel=2)

    def _add(self, name: str, logger: _TensorBoard | _WandB, stack: ExitStack) -> None:
        self._open[name] = logger
        stack.push(lambda kind, *_: self._close(name, logger, failed=kind is not None))

    def _close(self, name: str, logger: _TensorBoard | _WandB, *, failed: bool) -> None:
        was_dropped = self._open.pop(name, None) is None
        try:
            logger.close(failed=failed)
        except Exception as error:
            if not was_dropped:  # what was dropped has been reported already
                message = f"{name} failed while closing: {_describe(error)}"
                warnings.warn(message, RuntimeWarning, stacklevel=2)


@contextmanager
def open_loggers(
    names: Sequence[str],
    *,
    run_name: str,
    config: Mapping[str, object],
    folder: Path,
    first_epoch: int = 0,
) -> Iterator[Loggers]:
    """Open the named loggers for one run and close them at the end, after an error too.

    The same `run_name` and `folder` go on where a killed run stopped. TensorBoard forgets what it
    has from `first_epoch` on; W&B keeps what it has and ignores those epochs when they come again.
    Offline, each start is a W&B folder of its own under one id, joined by `wandb sync`: epochs
    logged both before and after a kill are in both folders.

    Args:
        names: Any of `LOGGERS`; with none, nothing is imported and nothing is written.
        run_name: Name of the run, also its W&B id: letters, digits, `.`, `_` and `-`.
        config: The run's configuration, kept beside the curves.
        folder: Where everything is written: `tensorboard/RUN_NAME` and `wandb`.
        first_epoch: The first epoch that will be logged: 0 for a new run, more for a resumed one.

    Yields:
        The open loggers.

    Raises:
        ValueError: If a name is unknown, or the run name does not suit a folder and an id.
        LoggerError: If a library is missing, or W&B has no key or does not answer.
    """
    unknown = [name for name in names if name not in LOGGERS]
    if unknown:
        raise ValueError(f"unknown logger {unknown[0]!r}: choose from {', '.join(LOGGERS)}")
    if names and not re.fullmatch(r"[\w-][\w.-]*", run_name, re.ASCII):
        raise ValueError(
            f"run name {run_name!r} cannot name a folder and a W&B run: use letters, digits, "
            "'.', '_' and '-', not starting with '.'"
        )
    folder = folder.absolute()
    loggers = Loggers()
    with ExitStack() as stack:
        for name in dict.fromkeys(names):
            logger = _start(name, run_name, config, folder, first_epoch)
            loggers._add(name, logger, stack)
        yield loggers


class _TensorBoard:
    def __init__(
        self, run_name: str, config: Mapping[str, object], folder: Path, first_epoch: int
    ) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise _missing("TensorBoard", error) from error
        # An indented block is Markdown's way to keep line breaks.
        text = "    " + json.dumps(dict(config), indent=2, default=str).replace("\n", "\n    ")
        try:
            # Purging from epoch 0 as well hides a run that died before its first checkpoint.
            self._writer = SummaryWriter(folder / "tensorboard" / run_name, purge_step=first_epoch)
            self._writer.add_text("config", text, first_epoch)
        except OSError as error:
            raise LoggerError(
                f"TensorBoard cannot write under {folder}: {_describe(error)}. "
                "Choose a folder that can be written, or leave the logger 'tensorboard' out."
            ) from error

    def log(self, epoch: int, scalars: Mapping[str, float]) -> None:
        for name, value in scalars.items():
            self._writer.add_scalar(name, float(value), epoch)
        # Waits for the thread that writes: a kill loses nothing, and a full disk is noticed here.
        self._writer.flush()

    def close(self, *, failed: bool) -> None:
        self._writer.close()


class _WandB:
    def __init__(
        self, run_name: str, config: Mapping[str, object], folder: Path, *, online: bool
    ) -> None:
        try:
            # Names, not the module: a folder "wandb" in the working directory imports as an
            # empty package where the library is missing.
            from wandb import Settings, init, login
        except ImportError as error:
            raise _missing("Weights & Biases", error) from error
        # W&B's service process would log in the home folder. It reads the variable when it
        # starts, once a process, and W&B warns of every later change: hence set and left.
        os.environ.setdefault("WANDB_CACHE_DIR", str(folder / "wandb" / "cache"))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # `init` asks at the terminal where no key is configured; `prompt=False` never does.
            if online and not login(prompt=False, verify=False):
                raise LoggerError(_NO_KEY)
            self._run = init(
                project=os.environ.get("WANDB_PROJECT", "labutils"),
                id=run_name,
                name=run_name,
                config=dict(config),
                dir=folder,
                mode="online" if online else "offline",
                resume="allow",
                reinit="create_new",  # leave alone a W&B run that the caller has open
                settings=Settings(
                    console="off",  # or W&B wraps the standard streams of the training
                    quiet=True,
                    x_disable_stats=True,
                    init_timeout=WANDB_START_TIMEOUT,
                    finish_timeout=WANDB_FINISH_TIMEOUT,
                    x_transaction_log_flush_interval=WANDB_FLUSH_INTERVAL,
                ),
            )
        except LoggerError:
            raise
        except Exception as error:
            raise _wandb_failed(error, folder, online=online) from error

    def log(self, epoch: int, scalars: Mapping[str, float]) -> None:
        if epoch < self._run.step:
            return  # a resumed run repeats it; W&B would ignore it with a message an epoch
        values = {name: float(value) for name, value in scalars.items()}
        # Without commit an epoch stays in memory until the next one comes.
        self._run.log(values, step=epoch, commit=True)

    def close(self, *, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))


_NO_KEY = (
    "Weights & Biases has no API key (or WANDB_MODE keeps it offline): run `wandb login` once, "
    "or choose the logger 'wandb-offline', which needs no account."
)


def _wandb_failed(error: Exception, folder: Path, *, online: bool) -> LoggerError:
    advice = f"Is {folder} writable? Leave the logger 'wandb-offline' out to go on without."
    if online:
        advice = (
            "Check the network and the key (`wandb login --relogin`), or choose the logger "
            "'wandb-offline' and upload later with `wandb sync`."
        )
    return LoggerError(f"Weights & Biases did not start: {_describe(error)}. {advice}")


def _missing(library: str, error: ImportError) -> LoggerError:
    return LoggerError(
        f"{library} is not installed ({error}): in the repository run "
        "`pip install '.[logging]'`, or leave this logger out."
    )


def _describe(error: Exception) -> str:
    """Returns kind and message on one line, to stand inside a sentence."""
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".:")


def _start(
    name: str, run_name: str, config: Mapping[str, object], folder: Path, first_epoch: int
) -> _TensorBoard | _WandB:
    if name == "tensorboard":
        return _TensorBoard(run_name, config, folder, first_epoch)
    return _WandB(run_name, config, folder, online=name == "wandb")
