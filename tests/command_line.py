"""The command line as a process of its own, and a training of seconds."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path

from labutils.config.classifier import RunConfig

REPOSITORY = Path(__file__).resolve().parents[1]
SHORT = RunConfig(data="digits", depth=2, width=8, epochs=2)
TRAIN_SHORT = "train --data digits --depth 2 --width 8 --epochs 2".split()


def start(*arguments: str, root: Path, patch: str = "", **options) -> subprocess.Popen:
    """`python -m labutils` in the repository `root`, after the Python code in `patch`."""
    code = (
        # a shell that started the tests in the background has made Ctrl-C ignored
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import sys; from pathlib import Path; from labutils.config import profiles\n"
        f"profiles.ROOT = Path({str(root)!r})\n"
        f"{patch}\n"
        "from labutils.cli.main import main; sys.exit(main())"
    )
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.Popen(command, cwd=REPOSITORY, text=True, **options)


def outcome(*arguments: str) -> tuple[int, str, str]:
    """The exit code of a command in this process, and what it prints, on streams as Python's."""
    from labutils.cli.main import main

    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace") for _ in range(2)]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        try:
            code = main(arguments)
        except SystemExit as end:
            code = end.code
    texts = []
    for stream in streams:
        stream.seek(0)
        texts.append(stream.read())
    return code, *texts
