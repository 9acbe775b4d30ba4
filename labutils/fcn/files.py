"""Digits in files: each picture is read, looked at, drawn with its boxes, and listed."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2

from labutils.data.pictures import PictureError, printable, read_picture
from labutils.fcn.networks import load_detector
from labutils.fcn.pictures import annotate, as_json, light_on_black, read_digits
from labutils.fcn.scores import validation_threshold
from labutils.runs.store import Run

# Bytes of a result's name before "-2-digits.json". Most file systems take 255 in all; those that
# encrypt names take 143.
LONGEST_NAME = 120


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
    for path, name in zip(paths, _result_names(paths), strict=True):
        try:
            picture = light_on_black(read_picture(path))
        except PictureError as error:
            print(error, file=sys.stderr)
            failed = 1
            continue
        found = read_digits(network, picture, threshold=threshold, scales=run.config.scale)
        drawn, listed = output / f"{name}-digits.png", output / f"{name}-digits.json"
        # Not by cv2.imwrite, which dies of a name that is no UTF-8.
        drawn.write_bytes(cv2.imencode(".png", annotate(picture, found))[1].tobytes())
        listed.write_text(
            json.dumps({"picture": printable(path), "digits": as_json(found)}, indent=1) + "\n"
        )
        said = found.text or "no digit"
        print(f"{printable(path)}: {said} ({printable(drawn)}, {listed.name})", flush=True)
    return failed


def _result_names(paths: Sequence[Path]) -> Iterator[str]:
    """A name for the results of each file: printable, not too long, equal ones numbered."""
    given = set()
    for path in paths:
        stem = printable(path.stem).replace("\\", "_")  # which shells and other systems read
        name = stem = stem.encode()[:LONGEST_NAME].decode(errors="ignore")
        number = 1
        while name.casefold() in given:  # some file systems take a.png for A.png
            number += 1
            name = f"{stem}-{number}"
        given.add(name.casefold())
        yield name
