"""docs/index.html in headless Chromium, opened from disk: keyboard, phone, no network."""

import json
from pathlib import Path

import pytest

from labutils.report.experiments import load
from labutils.report.explorers.depth import position
from labutils.report.page import part_of

pytestmark = pytest.mark.browser

PAGE = Path(__file__).resolve().parents[2] / "docs" / "index.html"
# By how many pixels texts of a chart stand out from its drawing, or the drawing from the window.
CUT_OFF = """charts => charts.map(chart => {
    const svg = chart.querySelector("svg"), whole = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].map(text => text.getBoundingClientRect());
    const out = texts.filter(text => text.width).map(text => Math.max(
        whole.left - text.left, text.right - whole.right, text.bottom - whole.bottom));
    return Math.max(whole.right - innerWidth, ...out);
})"""
HEIGHT = {390: 844, 1280: 900}


@pytest.fixture
def opened(browser):
    """A function from a width to the page in a window so wide; nothing goes wrong in it."""
    asked, wrong, pages = [], [], []

    def open_page(width: int):
        page = browser.new_page(viewport={"width": width, "height": HEIGHT[width]})
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text))
        page.goto(PAGE.as_uri())
        page.locator("body[data-ready]").wait_for()
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert wrong == []
    asked = {url for url in asked if not url.startswith("data:")}
    assert asked == {PAGE.as_uri()}, "it needs nothing but itself"


def shown_runs(page) -> set[str]:
    return set(page.locator("#runs").inner_text().split(", "))


def assert_shows(page, name: str, depth: int, residual: bool) -> None:
    """Sentence, runs and lines are those of the stored runs at this position."""
    here = position(load(name), depth, residual)
    assert page.locator("#seen").inner_text() == here.said
    assert shown_runs(page) == {run.folder.name for run in here.runs}
    assert page.locator("#train_loss path[stroke-width='2']").count() == len(here.runs + here.twins)
    assert page.locator("tr[aria-current] th").inner_text() == str(depth)
    assert here.said in page.locator("#gradient").get_attribute("aria-label")


def test_the_keyboard_moves_the_slider_switches_the_skip_and_chooses_networks(opened):
    page = opened(1280)
    assert_shows(page, "mnist-depth", 22, False)
    page.locator("#depth").focus()
    page.keyboard.press("ArrowRight")
    assert_shows(page, "mnist-depth", 26, False)
    page.locator("#residual").focus()
    page.keyboard.press("Space")
    assert_shows(page, "mnist-depth", 26, True)
    page.locator("#networks").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert_shows(page, "convnet-depth", 24, True)  # the nearest depth
    page.keyboard.press("End")
    assert_shows(page, "resnet-depth", 20, True)
    page.keyboard.press("Home")
    page.locator("#depth").focus()
    page.keyboard.press("Home")
    assert "no block" in page.locator("#seen").inner_text() and shown_runs(page) == {"none"}


def test_the_gallery_is_filtered_and_fades_by_keyboard(opened):
    page = opened(1280)
    images = json.loads(part_of(PAGE.read_text("utf-8"), "gallery"))["images"]

    def captions() -> list[str]:
        return page.locator("#images img:not(.map)").evaluate_all("all => all.map(i => i.alt)")

    def expected(*kinds: bool) -> list[str]:
        return [
            f"Test image {one['number']}: {one['label']}, predicted as {one['prediction']}"
            for one in images
            if one["right"] in kinds
        ]

    assert captions() == expected(False)
    page.locator("input[value=wrong]").focus()
    page.keyboard.press("ArrowRight")
    assert captions() == expected(True)
    page.keyboard.press("ArrowRight")
    assert captions() == expected(True, False)
    before = page.locator(".map").evaluate_all("all => all.map(i => i.src)")
    page.locator("#which").select_option("true")
    after = page.locator(".map").evaluate_all("all => all.map(i => i.src)")
    differ = [old != new for old, new in zip(before, after, strict=True)]
    assert differ == [not one["right"] for one in images]
    page.locator("#opacity").focus()
    page.keyboard.press("Home")
    assert set(page.locator(".map").evaluate_all("all => all.map(i => i.style.opacity)")) == {"0"}


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(opened, width):
    page = opened(width)
    for number in range(page.locator("#networks option").count()):
        page.locator("#networks").select_option(index=number)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        cut = page.locator(".chart").evaluate_all(CUT_OFF)
        assert len(cut) == 4 and max(cut) <= 0.5, "axes and titles are inside their drawing"
