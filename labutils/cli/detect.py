"""`labutils detect`: digits in pictures."""

from pathlib import Path
from typing import Annotated

import tyro

from labutils.cli.app import APP, default_hint, several, usage_error
from labutils.config.profiles import profile


@APP.command
def detect(
    images: Annotated[
        tyro.conf.Positional[tuple[Path, ...]], several("IMAGE ...", "one or more")
    ] = (),
    output: Annotated[Path, default_hint("build/detected")] = Path("build/detected"),
) -> int:
    """Find the digits in pictures, light on dark or dark on light.

    Args:
        images: Pictures in any format that Pillow knows, up to 4 million pixels and 10,000 a side.
        output: Folder for each picture with its boxes, and for these as JSON.
    """
    if not images:
        return usage_error("detect", "Name a picture.")
    which = profile()
    from labutils.fcn.files import detect_in_files
    from labutils.report.detector.experiments import BEST_HEAD
    from labutils.report.experiments import load

    return detect_in_files(load("detector", which, head=BEST_HEAD, seed=0)[0], images, output)
