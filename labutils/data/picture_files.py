"""Many picture files: each is read, looked at, and gets a drawing and a list of what was seen."""

import io
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import PIL.Image

from labutils.data.pictures import Picture, PictureError, check_picture, printable, read_picture
from labutils.data.whole_files import make_folder, write_file

# Bytes of a result's name before "-2-digits.json". Most file systems take 255 in all; those that
# encrypt names take 143.
LONGEST_NAME = 120
BAD = object()  # in place of what a file holds that cannot be read


class Seen(NamedTuple):
    """What was seen in a picture."""

    drawing: Picture  # for the PNG
    listed: dict[str, Any]  # for the JSON, beside the picture's name and its size as looked at
    said: str  # for the terminal, in a few words


Look = Callable[[Picture], Seen]


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
    there = [path for path in paths if _named_if_bad(check_picture, path) is not BAD]
    if not there:
        return 1
    look, good = prepare(), 0
    make_folder(output)
    for path, (drawn, listed) in zip(there, _results(there, output, kind), strict=True):
        picture = _named_if_bad(read_picture, path)
        if picture is BAD:
            continue
        seen, (height, width, _) = look(picture), picture.shape
        pixels = {"height": height, "width": width}
        content = {"picture": printable(path), "pixels": pixels, **seen.listed}
        PIL.Image.fromarray(seen.drawing).save(image := io.BytesIO(), "PNG")
        write_file(drawn, image.getbuffer())
        write_file(listed, (json.dumps(content, indent=1) + "\n").encode())
        print(f"{printable(path)}: {seen.said} ({printable(drawn)}, {listed.name})", flush=True)
        good += 1
    return int(good < len(paths))


def _named_if_bad(read: Callable[[Path], Any], path: Path) -> Any:
    """What was read, or `BAD`, where the error says which file cannot be read."""
    try:
        return read(path)
    except PictureError as error:
        print(error, file=sys.stderr)
        return BAD


def _results(paths: Sequence[Path], output: Path, kind: str) -> Iterator[list[Path]]:
    """The results of each file, their names printable, not too long, equal ones numbered.

    Nor are the pictures themselves overwritten, where some are the results of an earlier call.
    """
    given = set()
    for path in paths:
        stem = printable(path.stem).replace("\\", "_")  # which shells and other systems read
        stem = stem.encode()[:LONGEST_NAME].decode(errors="ignore")
        for number in itertools.count(1):
            name = stem if number == 1 else f"{stem}-{number}"
            results = [output / f"{name}-{kind}.{ending}" for ending in ("png", "json")]
            over = any(one.exists() and one.samefile(other) for one in results for other in paths)
            if name.casefold() not in given and not over:  # some file systems take a.png for A.png
                break
        given.add(name.casefold())
        yield results
