"""Command line: options are made from the configuration dataclasses."""

import os
import signal
import sys
import threading
import warnings
from collections.abc import Sequence

# a command is registered where it is defined
from labutils.cli import cam, data, describe, detect, notebooks, runs, sweep, train  # noqa: F401
from labutils.cli import transfer as _transfer  # noqa: F401
from labutils.cli.app import APP, PROG, SETTINGS
from labutils.cli.options import REGISTRY

INTERRUPTED, CLOSED_PIPE = 130, 141  # as shells count them
DESCRIPTION = f"""Train networks, and see what is trained.

Runs are stored in trained_models/; with LAB_PROFILE=quick, in build/quick/.

All options of a command: {PROG} COMMAND -h"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 for an error, 130 for Ctrl-C or SIGTERM.

    Raises:
        SystemExit: with 0 after -h, with 2 where the arguments cannot be understood.
    """
    # a person needs the message of a warning, not the line of code that it comes from
    warnings.formatwarning = lambda message, *_, **__: f"{message}\n"
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed
            setattr(sys, name, open(os.open(os.devnull, os.O_WRONLY), "w", closefd=False))
    if hasattr(sys.stdout, "reconfigure"):  # a file's name may have letters the terminal has not
        sys.stdout.reconfigure(errors="backslashreplace")
    if threading.current_thread() is threading.main_thread():  # no other may set it
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    look = {"prog": PROG, "description": DESCRIPTION, "config": SETTINGS, "registry": REGISTRY}
    try:
        try:
            return APP.cli(args=arguments, **look)
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
        # errors that labutils defines, and those of files, are for the person at the terminal
        if isinstance(error, OSError) or type(error).__module__.startswith("labutils."):
            print(error, file=sys.stderr)
            return 1
        if isinstance(error, MemoryError) or "allocate" in str(error):  # torch's is a RuntimeError
            print("Out of memory: give a smaller network or batch.", file=sys.stderr)
            return 1
        raise
