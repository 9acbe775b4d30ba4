"""`labutils notebooks`: the report, run top to bottom."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from labutils.cli.app import APP, several


@APP.command
def notebooks(
    paths: Annotated[
        tyro.conf.Positional[tuple[Path, ...]], several("[NOTEBOOK ...]", "default: all")
    ] = (),
    profile: Literal["quick", "full"] = "quick",
) -> int:
    """Run the notebooks, each in a fresh kernel.

    Args:
        paths: Notebooks.
        profile: quick: small built-in data, results in build/quick/. full: stored runs, in place.
    """
    from labutils.report.notebooks import run_notebooks

    return run_notebooks(paths, profile)
