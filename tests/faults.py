"""Faults that are really made: flipped bits, kills at any line or moment, full disks, pickles."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import labutils

PACKAGE = str(Path(labutils.__file__).parent)
Line = tuple[str, int]  # file and number


def flipped(content: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """The content with one bit flipped, at `count` places."""
    rng = random.Random(seed)
    for _ in range(count):
        damaged = bytearray(content)
        place = rng.randrange(8 * len(damaged))
        damaged[place // 8] ^= 1 << place % 8
        yield bytes(damaged)


def in_child(action: Callable[[], object], killed_after: float | None = None) -> int:
    """Run an action in a forked process; the signal that ended it, or 0. An error of it is 1."""
    with warnings.catch_warnings():  # other threads, of progress bars, hold nothing that it needs
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    if killed_after is not None:
        time.sleep(killed_after)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def lines_of(action: Callable[[], object], modules: tuple[str, ...]) -> list[Line]:
    """The lines of some modules of labutils that an action runs, each once."""
    seen: dict[Line, None] = {}
    with _traced(modules, lambda line: seen.setdefault(line)):
        action()
    return list(seen)


def killed_at(line: Line, action: Callable[[], object], modules: tuple[str, ...]) -> int:
    """Run an action in a forked process that is killed when it comes to a line."""

    def kill(reached: Line) -> None:
        if reached == line:
            os.kill(os.getpid(), signal.SIGKILL)

    def traced() -> None:
        with _traced(modules, kill):
            action()

    return in_child(traced)


@contextlib.contextmanager
def _traced(modules: tuple[str, ...], note: Callable[[Line], object]) -> Iterator[None]:
    files = {f"{PACKAGE}/{module}.py" for module in modules}

    def trace(frame, event, _):
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            note((frame.f_code.co_filename, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As on a disk that is full after so many bytes of a file: the system refuses the rest."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Bomb:
    """Makes a file where it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.touch, (self.target,)


def files_below(folder: Path) -> list[str]:
    """All files but locks, hidden ones too."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return sorted(path.relative_to(folder).as_posix() for path in paths)
