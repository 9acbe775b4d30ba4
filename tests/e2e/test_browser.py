"""The notebooks in a real JupyterLab, in headless Chromium: a reader's keyboard and mouse."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
LAB1, CAM = NOTEBOOKS = ("Lab1.ipynb", "Exercise3_CAM.ipynb")
TOKEN = "browser-test"
MINUTE = 60_000  # Playwright counts in milliseconds
# Not through the menu: what is asked before the kernel has answered once is lost, although the page
# calls it idle.
RUN_ALL = """async () => {
    const app = window.jupyterapp, session = app.shell.currentWidget.sessionContext;
    await session.ready;
    await session.session.kernel.info;
    app.commands.execute('notebook:run-all-cells');
}"""
NOTEBOOK_SETTINGS = {"windowingMode": "none"}  # cells outside the window are in the page, too


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """JupyterLab on loopback, in the quick profile, with copies of the notebooks to work on."""
    folder = tmp_path_factory.mktemp("lab")
    for name in NOTEBOOKS:
        shutil.copy(ROOT / name, folder)
    settings = folder / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text(json.dumps(NOTEBOOK_SETTINGS))
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--port=0",
        f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}",
        f"--LabApp.user_settings_dir={folder / 'settings'}",
        f"--LabApp.workspaces_dir={folder / 'workspaces'}", "--LabApp.expose_app_in_browser=True",
    ]  # fmt: skip
    if os.name == "posix" and os.geteuid() == 0:
        command.append("--allow-root")
    environment = os.environ | {
        "LAB_PROFILE": "quick",
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).strip(":"),
    }
    log = folder / "server.log"
    with log.open("w") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    try:
        yield _address(process, log)
    finally:
        process.terminate()
        process.wait(20)


def _address(process: subprocess.Popen, log: Path) -> str:
    """The server's address, once it answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", log.read_text())
        if found:
            try:
                urllib.request.urlopen(f"{found[0]}api", timeout=5)
                return found[0]
            except urllib.error.URLError:
                pass
        time.sleep(0.2)
    raise AssertionError(f"JupyterLab did not start: {log.read_text()}")


@pytest.fixture(scope="module")
def page_of(server, browser):
    """A function from the name of a notebook to its page, every cell run; each is opened once."""

    @functools.cache
    def opened(name: str):
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        # a workspace of its own: two pages of one would ask which of them may have it
        page.goto(
            f"{server}lab/workspaces/{Path(name).stem}/tree/{name}?token={TOKEN}",
            timeout=2 * MINUTE,
        )
        page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for(timeout=MINUTE)
        page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").wait_for(timeout=MINUTE)
        page.evaluate(RUN_ALL)
        _wait_until_all_ran(page)
        return page

    return opened


@pytest.fixture(scope="module")
def page(page_of):
    """The first notebook."""
    return page_of(LAB1)


def _wait_until_all_ran(page) -> None:
    """Every code cell has a number, none waits or runs any more; or one has failed."""
    begun = """() => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]
        .some(cell => cell.textContent.includes('[*]'))"""
    page.wait_for_function(begun, timeout=MINUTE)  # the numbers of the run that was saved are gone
    done = """() => {
        if (document.querySelector("[data-mime-type='application/vnd.jupyter.error']")) return true;
        const cells = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')];
        const texts = cells.map(cell => cell.textContent.trim());
        const numbers = texts.map(text => Number((text.match(/^\\[(\\d+)\\]:$/) || [])[1]));
        return numbers.every((number, index) => number === index + 1);
    }"""
    page.wait_for_function(done, timeout=10 * MINUTE)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_cell_shows_an_error(page_of, name):
    page = page_of(name)
    assert page.locator(".jp-CodeCell").count() > 10
    errors = page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']")
    assert errors.all_inner_texts() == []
    stderr = page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']")
    bars = re.compile(r"\d+%\|.*(run/s|s/run)", re.DOTALL)  # where runs were not stored before
    assert [text for text in stderr.all_inner_texts() if not bars.match(text.strip())] == []


@pytest.fixture(scope="module")
def explorer(page):
    """The output of the cell with the depth explorer."""
    cell = page.locator(".jp-CodeCell", has_text="DepthExplorer(").last
    cell.scroll_into_view_if_needed()
    cell.locator(".widget-slider").wait_for(timeout=MINUTE)
    return cell


def seen(explorer) -> tuple[str, str]:
    """The sentence and the picture that the explorer shows."""
    sentence = explorer.locator(".jp-OutputArea p").last.inner_text()
    return sentence, explorer.locator(".jp-OutputArea img").last.get_attribute("src")


def changed(page, explorer, before, action) -> tuple[str, str]:
    action()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if explorer.locator(".jp-OutputArea img").count():
            now = seen(explorer)
            if now[0] != before[0] and now[1] != before[1]:
                return now
        page.wait_for_timeout(50)
    raise AssertionError(f"the explorer still shows {before[0]}")


def expected(depth: int, residual: bool) -> str:
    """The accuracy of the stored quick runs of a position, as the explorer words it."""
    code = (
        "from labutils.report.experiments import load; "
        "from labutils.report.statistics import accuracy; "
        f"print(accuracy(load('mnist-depth', depth={depth}, residual={residual})))"
    )
    environment = os.environ | {"LAB_PROFILE": "quick", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


def test_the_depth_slider_moves_by_keyboard_and_shows_the_run_of_its_position(page, explorer):
    before = seen(explorer)
    depth = explorer.locator(".widget-slider .widget-readout").first
    first = int(depth.inner_text())
    handle = explorer.locator(".widget-slider [role=slider]").first
    handle.focus()
    after = changed(page, explorer, before, lambda: page.keyboard.press("ArrowRight"))
    second = int(depth.inner_text())
    assert second > first
    assert expected(second, residual=False) in after[0]


def test_the_skip_is_switched_by_keyboard(page, explorer):
    depth = int(explorer.locator(".widget-slider .widget-readout").first.inner_text())
    before = seen(explorer)
    box = explorer.get_by_label("Residual (skip connections)")
    box.focus()
    after = changed(page, explorer, before, lambda: page.keyboard.press("Space"))
    assert box.is_checked()
    assert expected(depth, residual=True) in after[0]


def widget_cell(page, call: str):
    """The output of the cell that shows a widget, scrolled to."""
    cell = page.locator(".jp-CodeCell", has_text=call).last
    cell.scroll_into_view_if_needed()
    cell.locator(".widget-button, .widget-slider").first.wait_for(timeout=MINUTE)
    return cell


def test_the_gradient_explorer_builds_another_network_at_a_key(page):
    cell = widget_cell(page, "GradientExplorer(")
    before = seen(cell)
    readout = cell.locator(".widget-slider .widget-readout").first
    assert f"MLP {readout.inner_text()}, plain" in before[0]
    cell.locator(".widget-slider [role=slider]").first.focus()
    deeper = changed(page, cell, before, lambda: page.keyboard.press("ArrowRight"))
    assert f"MLP {readout.inner_text()}, plain" in deeper[0]
    cell.get_by_label("Residual (skip connections)").focus()
    residual = changed(page, cell, deeper, lambda: page.keyboard.press("Space"))
    assert f"MLP {readout.inner_text()}, residual" in residual[0]


def test_the_map_explorer_shows_another_image_layer_and_class(page_of):
    page = page_of(CAM)
    cell = widget_cell(page, "MapExplorer(")
    before = seen(cell)
    assert "The map says what speaks for" in before[0]
    cell.locator(".widget-slider [role=slider]").first.focus()
    image = changed(page, cell, before, lambda: page.keyboard.press("ArrowRight"))
    layer = changed(page, cell, image, lambda: cell.get_by_label("Layer").select_option("stem"))
    assert layer[0].split("; it has")[0] == image[0].split("; it has")[0], "the same class"
    classes = cell.get_by_label("Class")
    names = classes.locator("option").all_inner_texts()[1:]  # the first is the predicted one
    name = next(name for name in names if f"speaks for {name} (" not in layer[0])
    other = changed(page, cell, layer, lambda: classes.select_option(label=name))
    assert f"what speaks for {name} (" in other[0]


def test_a_training_starts_draws_and_stops_at_its_buttons(page):
    cell = widget_cell(page, "TrainLive(")
    status = cell.locator(".widget-html-content")
    picture = cell.locator("img.widget-image")
    train, stop = (cell.get_by_role("button", name=name) for name in ("Train", "Stop"))
    assert "wait for the Train button" in status.inner_text() and stop.is_disabled()
    waiting = picture.get_attribute("src")
    train.focus()
    page.keyboard.press("Enter")
    cell.get_by_text(re.compile(r"Epoch [2-9] of \d+: the residual network")).wait_for(
        timeout=MINUTE
    )
    assert picture.get_attribute("src") != waiting and train.is_disabled()
    stop.click()
    cell.get_by_text(re.compile(r"Stopped\. plain: training loss [\d.]+")).wait_for(timeout=MINUTE)
    ended = picture.get_attribute("src")
    assert train.is_enabled() and stop.is_disabled()
    page.wait_for_timeout(1_500)
    assert picture.get_attribute("src") == ended, "nothing goes on behind the page's back"
    train.click()  # it can begin anew
    cell.get_by_text(re.compile(r"Epoch 1 of \d+")).wait_for(timeout=MINUTE)
    stop.click()
    cell.get_by_text(re.compile(r"Stopped\.")).wait_for(timeout=MINUTE)
