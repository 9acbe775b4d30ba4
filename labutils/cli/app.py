"""The command line itself: its commands' home, how arguments are written, what errors print."""

import sys
from pathlib import Path
from typing import Any, Literal

import tyro
from tyro import conf

PROG = "python -m labutils"
USAGE_ERROR = 2  # as shells count
MOST_JOBS = 256  # processes side by side
APP = tyro.extras.SubcommandApp()  # each command is registered where it is defined
SETTINGS = (conf.FlagCreatePairsOff, conf.PositionalMetavarFromFieldName, conf.DisallowNone)

Keep = Literal["none", "fp32", "fp16"]  # that of `runs.store`, which takes seconds to import


def default_hint(words: str) -> Any:
    """Says `words` for the default, where Python's own would tell a reader little."""
    return conf.arg(help_behavior_hint=f"(default: {words})")


def several(metavar: str, words: str) -> Any:
    """For arguments without a name, of which there may be several."""
    return conf.arg(metavar=metavar, help_behavior_hint=f"({words})")


def usage_error(command: str, message: str) -> int:
    """Say what is missing and where to read on; returns the exit code."""
    print(f"{message} `{PROG} {command} -h` says more.", file=sys.stderr)
    return USAGE_ERROR


def shown(path: Path) -> Path:
    """The path as one would type it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
