"""What `python -m labutils detect` does."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2

from labutils.fcn.networks import load_detector
from labutils.fcn.pictures import PictureError, annotate, as_json, read_digits, read_picture
from labutils.fcn.scores import validation_threshold
from labutils.runs.store import Run


def detect_in_files(run: Run, paths: Sequence[Path], output: Path) -> int:
    """Look for digits in each file with a stored detector; returns the exit code.

    A file that cannot be read is named on stderr and the others are looked at all the same.

    Raises:
        RunError: the run keeps no weights.
        OSError: the folder cannot be written to.
    """
    network, threshold = load_detector(run), validation_threshold(run)
    output.mkdir(parents=True, exist_ok=True)
    failed = 0
    names = _names(paths)
    for path, name in zip(paths, names, strict=True):
        try:
            picture = read_picture(path)
        except PictureError as error:
            print(error, file=sys.stderr)
            failed = 1
            continue
        found = read_digits(network, picture, threshold=threshold, scales=run.config.scale)
        drawn, listed = output / f"{name}-digits.png", output / f"{name}-digits.json"
        if not cv2.imwrite(str(drawn), annotate(picture, found)):
            raise OSError(f"{drawn} cannot be written")
        listed.write_text(
            json.dumps({"picture": str(path), "digits": as_json(found)}, indent=1) + "\n"
        )
        print(f"{path}: {found.text or 'no digit'} ({drawn}, {listed.name})", flush=True)
    return failed


def _names(paths: Sequence[Path]) -> list[str]:
    """A name for the results of each file; those of equal names are numbered."""
    names: list[str] = []
    for path in paths:
        name, number = path.stem, 1
        while name in names:
            number += 1
            name = f"{path.stem}-{number}"
        names.append(name)
    return names
