"""Files that are written whole or not at all, and how one that cannot be read is refused."""

import contextlib
import errno
import os
import platform
from collections.abc import Iterator
from pathlib import Path

PART = f".part-{platform.node()}-"  # and the number of the process that writes it


class Unwritable(OSError):
    """A file or folder that cannot be written; the message names it and what to do."""


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file, on the disk before it appears; its folder is made where it is not there.

    Raises:
        Unwritable: nothing was written, and what was there is as it was.
    """
    part = path.with_name(f"{PART}{os.getpid()}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path.parent)
        try:
            with part.open("wb") as file:  # not by safetensors, whose files only their owner reads
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder in which files can be written: to be asked before hours are spent on them.

    Raises:
        Unwritable: it cannot be made, or nothing can be written in it.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Whatever the system refuses meanwhile becomes `Unwritable`."""
    try:
        yield
    except OSError as error:
        raise Unwritable(
            f"{path} cannot be written ({error.strerror}): make room there, make it writable, or "
            "work in a copy of the folder. What was there is as it was."
        ) from error


def refusal(path: Path, error: Exception | str, remedy: str) -> str:
    """What to say of a file that cannot be read; only of a damaged one is it the remedy."""
    what = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    said = f"({' '.join(what.split())}):"
    if isinstance(error, OSError) and error.errno not in (errno.ENOENT, errno.EISDIR):
        said += " it may be whole. Check that you have the right to read it and its folder."
        return f"{path} cannot be read {said}"
    return f"{path} is missing or damaged {said} {remedy}."


def _remove_leftovers(folder: Path) -> None:
    """What processes of this machine left that were killed; on Windows to ask would end them."""
    for left in folder.glob(f"{PART}*") if os.name != "nt" else ():
        try:
            os.kill(int(left.name.removeprefix(PART)), 0)
        except ProcessLookupError:
            left.unlink(missing_ok=True)
        except (OSError, ValueError):  # another person's
            continue
