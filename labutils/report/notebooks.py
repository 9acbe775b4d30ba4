"""Runs the notebooks top to bottom in a fresh kernel, with a progress line each."""

import asyncio
import atexit
import contextlib
import os
import re
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
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
from tqdm import tqdm
from traitlets import Type

from labutils.config.profiles import ROOT
from labutils.data.whole_files import write_file

REPORT_ORDER = ("Lab1", "Exercise2", "Exercise3", "")  # how names begin; last, all others
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
KERNEL_ENVIRONMENT = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # whatever is set outside
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else the debugger warns about frozen modules
    "PYTHONFAULTHANDLER": "1",  # a kernel that crashes says where
}
LOOK_AGAIN = 1.0  # seconds
ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


class NotebookError(RuntimeError):
    """A notebook that could not be run; the message names notebook and cell."""


def run_notebooks(paths: Sequence[Path], profile: str) -> int:
    """Run notebooks, by default those of the report, with a line each.

    Returns:
        The exit code of a command: 0, 1 where a notebook failed, 130 after Ctrl-C.
    """
    try:
        notebooks = [path.resolve() for path in paths] or report_notebooks()
        if not notebooks:
            raise NotebookError(f"there is no notebook in {ROOT}")
        for path in notebooks:
            begin = time.perf_counter()
            target = run_notebook(path, profile)
            shown = target.relative_to(ROOT) if target.is_relative_to(ROOT) else target
            seconds = time.perf_counter() - begin
            print(f"{path.name}  {profile}  {seconds:.1f} s  -> {shown}", flush=True)
    except NotebookError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    print(f"Figures: {'build/quick/' if profile == 'quick' else ''}images/")
    return 0


def report_notebooks() -> list[Path]:
    """The notebooks at the top of the repository, in the order in which they are read."""
    found = [path for start in REPORT_ORDER for path in sorted(ROOT.glob(f"{start}*.ipynb"))]
    return list(dict.fromkeys(found))


def run_notebook(path: Path, profile: str) -> Path:
    """Execute one notebook from its first cell to its last, and say where the result is.

    The kernel is this interpreter and works at the top of the repository; it finds the profile in
    LAB_PROFILE. In quick the result goes to `build/quick/`; in full it replaces the notebook, once
    every cell has run.

    Raises:
        NotebookError: the file is no notebook, a cell failed, or the kernel died.
        KeyboardInterrupt: Ctrl-C; the kernel has been shut down.
    """
    notebook = _read(path)
    target = path if profile == "full" else ROOT / "build" / "quick" / path.name
    if profile == "quick":
        target.unlink(missing_ok=True)  # an older success must not hide a failure
    total = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in notebook.cells)
    environment = os.environ | KERNEL_ENVIRONMENT | {"LAB_PROFILE": profile}
    bar = tqdm(total=total, desc=path.name, unit="cell", leave=False, mininterval=0, disable=None)
    with bar, tempfile.TemporaryFile("w+", errors="replace") as said:
        client = _Client(notebook, on_cell_executed=lambda **_: bar.update())
        try:
            asyncio.run(client.run(cwd=str(ROOT), env=environment, stderr=said))
        except CellExecutionError as error:
            reason = error.traceback
        except RuntimeError as error:
            if "Kernel died" not in str(error):  # before its first cell it is no DeadKernelError
                raise
            said.seek(0)
            reason = f"{error} (out of memory?)\n{said.read()}"
        else:
            _write(notebook, target)
            return target
    place = f"{path.name}, cell {client.code_cells_executed} of {total}"
    raise NotebookError(f"{place}: {ANSI.sub('', reason).rstrip()}")


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


class _KernelClient(AsyncKernelClient):
    shell_channel_class = Type(_Channel)
    iopub_channel_class = Type(_Channel)


class _Client(NotebookClient):
    """A client whose kernel is this interpreter, and which Ctrl-C cancels as any asyncio task."""

    def __init__(self, notebook: nbformat.NotebookNode, **hooks: Any) -> None:
        # With no folder to look into, the only kernel is the one that ipykernel makes of
        # sys.executable, whatever python3 kernels are installed on this machine.
        specs = KernelSpecManager(kernel_dirs=[])
        kernel = AsyncKernelManager(kernel_spec_manager=specs, client_factory=_KernelClient)
        super().__init__(notebook, kernel, timeout=None, record_timing=False, **hooks)
        self.coalesce_streams = True  # of a progress bar only its last state

    async def run(self, **kernel: Any) -> None:
        """Execute all cells in a kernel that is started with these options."""
        self.on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            await self.async_execute(cleanup_kc=True, **kernel)
        except DeadKernelError:
            if asyncio.current_task().cancelling():  # nbclient takes this for a dead kernel
                raise asyncio.CancelledError from None
            raise
        finally:
            if self.km is None:  # all is cleaned up: nbclient forgets this where no kernel starts
                atexit.unregister(self._cleanup_kernel)

    async def async_start_new_kernel(self, **kernel: Any) -> None:
        # nbclient's own handlers, just set, throw the kernel away under the running cell
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError):  # on Windows, where none could be set
            for number in (signal.SIGINT, signal.SIGTERM):
                if loop.remove_signal_handler(number):
                    signal.signal(number, self.on_interrupt)
        await super().async_start_new_kernel(**kernel)


def _read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook without what an earlier run left in it."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat raises many kinds
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise NotebookError(f"{path} cannot be read as a notebook ({reason})") from None
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC})
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # time stamps: every run would differ
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def _write(notebook: nbformat.NotebookNode, target: Path) -> None:
    """Write all of the file or nothing, without what would differ between two equal runs."""
    notebook.metadata.language_info.pop("version", None)
    text = nbformat.writes(notebook)
    states = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    for number, random in enumerate(states):  # in the order of their making
        name = uuid.uuid5(uuid.NAMESPACE_URL, f"{target.name}/{number}")
        text = text.replace(random, name.hex)
    text = nbformat.writes(nbformat.reads(text, as_version=4))  # which sorts by the new names
    write_file(target, f"{text}\n".encode())
