"""Runs the notebooks top to bottom in a fresh kernel, with a progress line each."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty
from typing import Any

import nbformat
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from traitlets import Type

from labutils.config.profiles import ROOT

REPORT_ORDER = ("Lab1", "Exercise2", "Exercise3")
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LOOK_AGAIN = 1.0  # seconds
ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


class NotebookError(RuntimeError):
    """A notebook that could not be run; the message names notebook and cell."""


def run_notebook(
    path: Path,
    profile: str,
    *,
    root: Path = ROOT,
    on_cell: Callable[[int, int], None] = lambda number, total: None,
) -> tuple[Path, int]:
    """Execute one notebook from its first cell to its last.

    The kernel is this interpreter and works in `root`. In the profile quick the result goes to
    `build/quick/` under `root`; in full it replaces the notebook, once every cell has run.

    Args:
        path: the notebook.
        profile: quick or full; the kernel finds it in LAB_PROFILE.
        root: folder the kernel works in.
        on_cell: called before each code cell with its number, from 1, and how many there are.

    Returns:
        Where the executed notebook is, and how many code cells ran.

    Raises:
        NotebookError: the file is no notebook, a cell failed, or the kernel died.
        KeyboardInterrupt: Ctrl-C; the kernel has been shut down.
    """
    notebook = _read(path)
    total = len(_code_cells(notebook))
    target = path if profile == "full" else root / "build" / "quick" / path.name
    if profile == "quick":
        target.unlink(missing_ok=True)  # an older success must not hide a failure
    client = _Client(
        notebook,
        timeout=None,
        store_widget_state=True,
        record_timing=False,
        coalesce_streams=True,  # of a progress bar only its last state
    )
    client.on_cell_execute = lambda **_: on_cell(client.code_cells_executed + 1, total)
    try:
        client.run(root, profile)
    except (CellExecutionError, DeadKernelError) as error:
        place = f"{path.name}, cell {client.code_cells_executed} of {total}"
        reason = error.traceback if isinstance(error, CellExecutionError) else str(error)
        raise NotebookError(f"{place}: {ANSI.sub('', reason).rstrip()}") from None
    _tidy(notebook, path.name)
    _write(notebook, target)
    return target, total


class _Channel(AsyncZMQSocketChannel):
    """A channel that looks for messages once a second, told of one or not.

    On busy cores pyzmq 27 can miss that a message has come: without a time limit it then waits
    for ever, kernel idle, with the reply in the socket.
    """

    async def get_msg(self, timeout: float | None = None) -> dict[str, Any]:
        while timeout is None:
            with contextlib.suppress(Empty):
                return await super().get_msg(LOOK_AGAIN)
        return await super().get_msg(timeout)


class _Channels(AsyncKernelClient):
    shell_channel_class = Type(_Channel)
    iopub_channel_class = Type(_Channel)


class _Client(NotebookClient):
    """A client whose kernel is this very interpreter, and which Ctrl-C ends cleanly."""

    interrupted = False

    def run(self, root: Path, profile: str) -> None:
        """Execute all cells; what a dying kernel said is the text of the DeadKernelError."""
        # MPLBACKEND: a backend chosen outside would keep the figures out of the notebook.
        # PYDEVD...: the debugger, which nobody uses here, else warns about frozen modules.
        # PYTHONFAULTHANDLER: a kernel that crashes says where.
        env = os.environ | {
            "LAB_PROFILE": profile,
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "PYTHONFAULTHANDLER": "1",
        }
        with tempfile.TemporaryFile("w+", errors="replace") as log:
            try:
                asyncio.run(self.async_execute(cwd=str(root), env=env, stderr=log))
            except (asyncio.CancelledError, RuntimeError) as error:
                # nbclient takes a cancelled cell for a dead kernel
                if self.interrupted:
                    raise KeyboardInterrupt from None
                log.seek(0)
                said = f"{error}; out of memory?\n{log.read()}"
                raise DeadKernelError(said) from None

    def create_kernel_manager(self) -> AsyncKernelManager:
        # With no folder to look into, the only kernel is the one that ipykernel makes of
        # sys.executable, whatever python3 kernels are installed on this machine.
        specs = KernelSpecManager(kernel_dirs=[])
        self.km = AsyncKernelManager(
            kernel_spec_manager=specs, transport_encryption="auto", client_factory=_Channels
        )
        return self.km

    async def async_start_new_kernel(self, **kwargs: Any) -> None:
        # nbclient's own handler, just set, throws the kernel away under the running cell.
        task = asyncio.current_task()

        def interrupt() -> None:
            self.interrupted = True
            task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupt)
        await super().async_start_new_kernel(**kwargs)


def _code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The cells that run: an empty one gets no number."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def _read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook without what an earlier run left in it."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except OSError as error:
        raise NotebookError(f"{path}: cannot be read ({error.strerror})") from None
    except (nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        raise NotebookError(f"{path}: not a notebook ({str(error).splitlines()[0]})") from None
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC})
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # time stamps: every run would differ
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def _tidy(notebook: nbformat.NotebookNode, name: str) -> None:
    """Check a finished run, and take out what would differ between two equal runs.

    Raises:
        NotebookError: cells are not numbered 1 to n, or a widget is shown without its state.
    """
    counts = [cell.execution_count for cell in _code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        raise NotebookError(f"{name}: the cells are numbered {counts}, not 1 to {len(counts)}")
    notebook.metadata.language_info.pop("version", None)
    outputs = [output for cell in _code_cells(notebook) for output in cell.outputs]
    views = [o.data[WIDGET_VIEW] for o in outputs if WIDGET_VIEW in o.get("data", {})]
    state = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    if not {view["model_id"] for view in views} <= set(state):
        raise NotebookError(f"{name}: a widget is shown whose state was not saved")
    _rename_widgets(notebook, name, list(state))


def _rename_widgets(notebook: nbformat.NotebookNode, name: str, ids: list[str]) -> None:
    """Give widgets ids by the order of their making, in place of random ones."""
    text = nbformat.writes(notebook)
    for number, old in enumerate(ids):
        text = text.replace(old, uuid.uuid5(uuid.NAMESPACE_URL, f"{name}/{number}").hex)
    notebook.update(nbformat.reads(text, as_version=4))


def _write(notebook: nbformat.NotebookNode, target: Path) -> None:
    """Write all of the file or nothing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        nbformat.write(notebook, part)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def report_notebooks(root: Path = ROOT) -> list[Path]:
    """The notebooks at the top of the repository, in the order in which they are read."""

    def position(path: Path) -> tuple[int, str]:
        known = [i for i, start in enumerate(REPORT_ORDER) if path.stem.startswith(start)]
        return (known or [len(REPORT_ORDER)])[0], path.name

    return sorted(root.glob("*.ipynb"), key=position)


def _run_with_line(path: Path, profile: str) -> None:
    """Run one notebook; on a terminal its line counts the cells while they run."""
    live = sys.stdout.isatty()

    def on_cell(number: int, total: int) -> None:
        if live:
            print(f"\r\x1b[K{path.name}  {profile}  cell {number}/{total}", end="", flush=True)

    begin = time.perf_counter()
    try:
        target, cells = run_notebook(path, profile, root=ROOT, on_cell=on_cell)
    finally:
        if live:
            print("\r\x1b[K", end="", flush=True)
    seconds = time.perf_counter() - begin
    shown = target.relative_to(ROOT) if target.is_relative_to(ROOT) else target
    print(f"{path.name}  {profile}  {cells} cells  {seconds:.1f} s  -> {shown}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 0, 1 for a failure, 130 for Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m labutils.notebooks", description=__doc__)
    parser.add_argument(
        "--profile",
        choices=("quick", "full"),
        default="quick",
        help="quick (the default): built-in data, results in build/quick/; full: in place",
    )
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK")
    options = parser.parse_args(arguments)
    notebooks = [path.resolve() for path in options.notebooks] or report_notebooks(ROOT)
    try:
        if not notebooks:
            raise NotebookError(f"there is no notebook in {ROOT}")
        for path in notebooks:
            _run_with_line(path, options.profile)
    except NotebookError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    if options.profile == "quick":
        print("Executed notebooks: build/quick/*.ipynb; figures: build/quick/images/")
    else:
        print("Executed notebooks: in place; figures: images/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
