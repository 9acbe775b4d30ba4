"""`labutils detect`: digits in pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from labutils.cli.app import APP, default_hint, several, usage_error
from labutils.config.profiles import profile

if TYPE_CHECKING:
    from labutils.data.picture_files import Look


@APP.command
def detect(
    images: Annotated[
        tyro.conf.Positional[tuple[Path, ...]], several("IMAGE ...", "one or more")
    ] = (),
    output: Annotated[Path, default_hint("build/detected")] = Path("build/detected"),
) -> int:
    """Find the digits in pictures, light on dark or dark on light.

    Args:
        images: Pictures in any format that Pillow knows; those of over 4 million pixels are shrunk.
        output: Folder for each picture with its boxes, and for these as JSON.
    """
    if not images:
        return usage_error("detect", "Name a picture.")
    which = profile()
    from labutils.data.picture_files import look_at_files

    def prepare() -> Look:
        from labutils.fcn.files import digit_finder
        from labutils.report.detector.experiments import BEST_HEAD
        from labutils.report.experiments import load

        return digit_finder(load("detector", which, head=BEST_HEAD, seed=0)[0])

    return look_at_files(images, output, "digits", prepare)
