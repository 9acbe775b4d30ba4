"""Running notebooks: where results go, and that a failure loses nothing."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
import zmq.asyncio
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from labutils.report import notebooks

pytestmark = pytest.mark.notebooks

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
SLIDER = """\
import ipywidgets
slider = ipywidgets.IntSlider(value=3)
slider"""


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A function that writes a notebook into a folder that stands for the repository."""
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)

    def write(*sources: str, name: str = "Tiny.ipynb") -> Path:
        path = tmp_path / name
        cells = [new_markdown_cell("# Tiny"), *map(new_code_cell, sources)]
        nbformat.write(new_notebook(cells=cells), path)
        return path

    return write


def run(path: Path, profile: str = "quick"):
    target = notebooks.run_notebook(path, profile)
    return target, nbformat.read(target, as_version=4)


def printed(notebook) -> str:
    return "".join(
        output.get("text", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )


def test_quick_leaves_the_notebook_alone_and_knows_its_profile(make, monkeypatch):
    monkeypatch.setenv("LAB_PROFILE", "full")
    path = make("import os; print(os.environ['LAB_PROFILE'], os.getcwd())", "", "print('end')")
    before = path.read_bytes()
    target, executed = run(path)
    assert target == path.parent / "build" / "quick" / "Tiny.ipynb"
    assert printed(executed) == f"quick {path.parent}\nend\n"
    assert [cell.get("execution_count") for cell in executed.cells] == [None, 1, None, 2]
    assert path.read_bytes() == before


def test_full_replaces_the_notebook(make, monkeypatch):
    monkeypatch.setenv("LAB_PROFILE", "quick")
    path = make("import os; print(os.environ['LAB_PROFILE'])")
    target, executed = run(path, "full")
    assert target == path
    assert printed(executed) == "full\n"
    assert [p.name for p in path.parent.iterdir()] == ["Tiny.ipynb"]


def test_kernel_is_this_interpreter_and_saved_as_python3(make, tmp_path, monkeypatch):
    other = tmp_path / "jupyter" / "kernels" / "python3"
    other.mkdir(parents=True)
    (other / "kernel.json").write_text(
        '{"argv": ["false"], "display_name": "other", "language": "python"}'
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    _, executed = run(make("import sys; print(sys.executable)"))
    assert printed(executed).strip() == sys.executable
    assert executed.metadata.kernelspec == {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    }


def test_widget_state_is_saved(make):
    _, executed = run(make(SLIDER))
    view = executed.cells[1].outputs[0].data[WIDGET_VIEW]
    state = executed.metadata.widgets[notebooks.WIDGET_STATE]["state"]
    assert state[view["model_id"]]["state"]["value"] == 3


def test_two_runs_are_equal_and_carry_no_time(make):
    path = make(SLIDER, "ipywidgets.HBox([ipywidgets.IntText(number) for number in range(9)])")
    first = run(path)[0].read_text()
    assert run(path)[0].read_text() == first
    assert "execution" not in {
        key for cell in nbformat.reads(first, 4).cells for key in cell.metadata
    }


def test_no_reply_is_waited_for_without_looking_again(make, monkeypatch):
    poll, heard = zmq.asyncio.Socket.poll, []

    def poll_unheard(socket, timeout=None, flags=zmq.POLLIN):
        assert timeout is not None, "waits for ever"
        heard.append(timeout)
        return poll(socket, timeout, flags)

    monkeypatch.setattr(zmq.asyncio.Socket, "poll", poll_unheard)
    _, executed = run(make("print('read')"))
    assert printed(executed) == "read\n"
    assert 1000 * notebooks.LOOK_AGAIN in heard


def test_figures_are_kept_whatever_backend_is_set_outside(make, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    _, executed = run(make("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"))
    assert "image/png" in executed.cells[1].outputs[0].data


@pytest.mark.parametrize("profile", ["quick", "full"])
def test_a_failing_cell_is_named_and_nothing_is_lost(make, profile, capsys):
    path = make("print('fine')", "1 / 0", "print('never')")
    stale = path.parent / "build" / "quick" / "Tiny.ipynb"
    stale.parent.mkdir(parents=True)
    stale.write_text("an older run")
    before = path.read_bytes()
    assert notebooks.run_notebooks([path], profile) == 1
    error = capsys.readouterr().err
    assert error.startswith("Tiny.ipynb, cell 2 of 3:")
    assert "ZeroDivisionError: division by zero" in error
    assert "\x1b" not in error
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.glob(".*")] == []
    assert stale.exists() == (profile == "full")


def test_a_dying_kernel_is_named(make, capsys):
    path = make("import ctypes; ctypes.string_at(0)")
    assert notebooks.run_notebooks([path], "quick") == 1
    error = capsys.readouterr().err
    assert "Tiny.ipynb, cell 1 of 1: Kernel died (out of memory?)" in error
    assert "Segmentation fault" in error


def test_a_kernel_that_does_not_start_says_why(make, capsys, tmp_path):
    path = make("print(1)")
    (tmp_path / "ipykernel_launcher.py").write_text("raise SystemExit('there is no kernel')")
    assert notebooks.run_notebooks([path], "quick") == 1
    error = capsys.readouterr().err
    assert "Tiny.ipynb, cell 0 of 1: Kernel died before replying" in error
    assert "there is no kernel" in error


def test_an_error_of_the_runner_is_not_taken_for_a_dead_kernel(make, monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("no ports are left")

    monkeypatch.setattr(notebooks.AsyncKernelManager, "start_kernel", broken)
    with pytest.raises(RuntimeError, match="no ports are left") as caught:
        run(make("print(1)"))
    assert caught.type is RuntimeError


def test_it_runs_where_event_loops_know_no_signals(make, monkeypatch):
    """As on Windows."""

    def unknown(*arguments):
        raise NotImplementedError

    monkeypatch.setattr(asyncio.SelectorEventLoop, "add_signal_handler", unknown)
    monkeypatch.setattr(asyncio.SelectorEventLoop, "remove_signal_handler", unknown)
    assert printed(run(make("print('ran')"))[1]) == "ran\n"


@pytest.mark.parametrize("text", [None, "no JSON", "{}"])
def test_what_is_no_notebook_is_named(tmp_path, text, capsys):
    path = tmp_path / "Other.ipynb"
    if text is not None:
        path.write_text(text)
    assert notebooks.run_notebooks([path], "quick") == 1
    assert str(path) in capsys.readouterr().err


def test_all_notebooks_in_the_order_of_the_report(make, capsys):
    for name in ("Exercise3_CAM", "Appendix", "Lab1", "Exercise2_FCN"):
        make("print(1)", name=f"{name}.ipynb")
    assert notebooks.run_notebooks([], "quick") == 0
    lines = capsys.readouterr().out.splitlines()
    names = ["Lab1", "Exercise2_FCN", "Exercise3_CAM", "Appendix"]
    for line, name in zip(lines[:-1], names, strict=True):
        assert re.fullmatch(rf"{name}\.ipynb  quick  \d+\.\d s  -> build/quick/{name}\.ipynb", line)
    assert "build/quick/images" in lines[-1]


def test_the_report_is_small_enough_to_be_shown():
    """Pages that render notebooks are slow with large ones, or give up on them."""
    found = notebooks.report_notebooks()
    assert found
    for path in found:
        assert path.stat().st_size < 3_000_000, f"{path.name}: save its figures smaller"


def test_no_notebook_is_an_error(make, capsys):
    assert notebooks.run_notebooks([], "quick") == 1
    assert "no notebook" in capsys.readouterr().err


def test_a_terminal_sees_the_cells_counted(make, monkeypatch, capsys):
    path = make("print(1)", "", "print(2)")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    run(path)
    assert re.search(r"Tiny\.ipynb: .*2/2", capsys.readouterr().err)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_kernel_and_command(make, tmp_path, number):
    path = make(
        "import os, time, pathlib\n"
        "pathlib.Path('kernel').write_text(str(os.getpid()))\n"
        "time.sleep(600)"
    )
    kernel = tmp_path / "kernel"
    program = (
        # a shell that started the tests in the background has made Ctrl-C ignored
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import sys, pathlib; from labutils.report import notebooks\n"
        "notebooks.ROOT = pathlib.Path(sys.argv[1]); sys.exit(notebooks.run_notebooks([], 'quick'))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as command:
        try:
            wait_for(lambda: kernel.exists() and kernel.read_text())
            command.send_signal(number)
            error = command.communicate(timeout=30)[1]
        finally:
            command.kill()
    assert (command.returncode, error) == (130, "interrupted\n")
    wait_for(lambda: not is_running(int(kernel.read_text())))
    assert path.exists() and not (tmp_path / "build").exists()


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
