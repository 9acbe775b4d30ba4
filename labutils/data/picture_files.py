"""Many picture files: each is read, looked at, and gets a drawing and a list of what was seen."""

import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
from jaxtyping import UInt8

from labutils.data.pictures import PictureError, check_picture, printable, read_picture
from labutils.data.whole_files import make_folder, write_file

# Bytes of a result's name before "-2-digits.json". Most file systems take 255 in all; those that
# encrypt names take 143.
LONGEST_NAME = 120


class Seen(NamedTuple):
    """What was seen in a picture.

    Attributes:
        drawing: for the PNG; red, green, blue.
        listed: for the JSON, beside the name of the picture and its size as it was looked at.
        said: for the terminal, in a few words.
    """

    drawing: UInt8[np.ndarray, "height width 3"]
    listed: dict[str, Any]
    said: str


Look = Callable[[UInt8[np.ndarray, "height width 3"]], Seen]


def look_at_files(
    paths: Sequence[Path], output: Path, kind: str, prepare: Callable[[], Look]
) -> int:
    """Look at each picture, and write NAME-KIND.png and NAME-KIND.json; returns the exit code.

    A file that cannot be read is named on stderr and the others are looked at all the same.

    Args:
        output: folder of the results; made where it is not there.
        prepare: makes what looks, which may take long: called once it is known that there is a
            picture.

    Raises:
        Unwritable: nothing can be written in the folder, or the disk is full.
    """
    there = [path for path in paths if _named_unless_good(check_picture, path)]
    if not there:
        return 1
    look, good = prepare(), 0
    make_folder(output)
    for path, name in zip(there, _result_names(there, output, kind), strict=True):
        picture = _named_unless_good(read_picture, path)
        if not picture:
            continue
        seen = look(picture[0])
        drawn, listed = _results(output, name, kind)
        pixels = dict(zip(("height", "width"), picture[0].shape, strict=False))
        content = {"picture": printable(path), "pixels": pixels, **seen.listed}
        PIL.Image.fromarray(seen.drawing).save(image := io.BytesIO(), "PNG")
        write_file(drawn, image.getbuffer())
        write_file(listed, (json.dumps(content, indent=1) + "\n").encode())
        print(f"{printable(path)}: {seen.said} ({printable(drawn)}, {listed.name})", flush=True)
        good += 1
    return int(good < len(paths))


def _named_unless_good(read: Callable[[Path], Any], path: Path) -> tuple[Any, ...]:
    """What was read, in a tuple; nothing where the file cannot be read, which is said."""
    try:
        return (read(path),)
    except PictureError as error:
        print(error, file=sys.stderr)
        return ()


def _results(output: Path, name: str, kind: str) -> tuple[Path, Path]:
    return output / f"{name}-{kind}.png", output / f"{name}-{kind}.json"


def _result_names(paths: Sequence[Path], output: Path, kind: str) -> Iterator[str]:
    """A name for the results of each file: printable, not too long, equal ones numbered.

    Nor are the pictures themselves overwritten, where some are the results of an earlier call.
    """
    given = set()
    for path in paths:
        stem = printable(path.stem).replace("\\", "_")  # which shells and other systems read
        name = stem = stem.encode()[:LONGEST_NAME].decode(errors="ignore")
        number = 1
        # some file systems take a.png for A.png
        while name.casefold() in given or _is_picture(_results(output, name, kind), paths):
            number += 1
            name = f"{stem}-{number}"
        given.add(name.casefold())
        yield name


def _is_picture(results: Sequence[Path], paths: Sequence[Path]) -> bool:
    return any(result.exists() and result.samefile(path) for result in results for path in paths)
