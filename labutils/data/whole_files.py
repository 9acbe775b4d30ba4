"""Files that are written whole or not at all, and how one that cannot be read is refused."""

import contextlib
import errno
import os
import platform
import threading
from collections.abc import Iterator
from pathlib import Path


class Unwritable(OSError):
    """A file or folder that cannot be written; the message names it and what to do."""


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file, on the disk before it appears; its folder is made where it is not there.

    Raises:
        Unwritable: nothing was written, and what was there is as it was.
    """
    mine = f".part-{platform.node()}-"
    part = path.with_name(f"{mine}{os.getpid()}-{threading.get_ident()}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in os.listdir(path.parent):
            if left.startswith(mine) and _is_dead(left.removeprefix(mine).partition("-")[0]):
                path.with_name(left).unlink(missing_ok=True)
        try:
            with part.open("wb") as file:  # not by safetensors, whose files only their owner reads
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
            _sync_folder(path.parent)
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
    what = " ".join(what.split())
    missing = isinstance(error, (FileNotFoundError, IsADirectoryError))
    if isinstance(error, OSError) and not missing:
        return (
            f"{path} cannot be read ({what}): it may be whole. Check that you have the right to "
            "read it and its folder."
        )
    return f"{path} is missing or damaged ({what}): {remedy}."


def _sync_folder(folder: Path) -> None:
    """Wait until the names of its files are on the disk; Windows opens no folder."""
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is_dead(process: str) -> bool:
    """Whether no process of this machine has this number; on Windows nobody may ask."""
    if os.name == "nt" or not process.isdecimal():
        return False
    try:
        os.kill(int(process), 0)
    except (OSError, OverflowError) as error:
        return isinstance(error, ProcessLookupError)
    return False
