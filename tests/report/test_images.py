import io

import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
import pytest

from labutils.report import images
from labutils.report.images import save_animation, save_figure, show_saved
from labutils.report.mlps.figures import depth_curves

ALT = "Residual networks learn at every depth"


@pytest.fixture
def which(private, monkeypatch):
    """The quick profile with folders of its own, in which figures are saved."""
    quick = private("quick")
    monkeypatch.setattr(images, "profile", lambda: quick)
    return quick


def test_save_figure_writes_the_picture_with_its_alternative_text(which):
    fig, _ = plt.subplots()
    save_figure(fig, "some-figure", alt=ALT)
    with PIL.Image.open(which.images / "some-figure.png") as image:
        assert image.info["Description"] == ALT
        assert "Software" not in image.info
    assert not plt.get_fignums()


def test_the_same_figure_is_the_same_file(which, grid):
    for name in ("a", "b"):
        save_figure(depth_curves(grid), name, alt=ALT)
    first, second = ((which.images / f"{name}.png").read_bytes() for name in ("a", "b"))
    assert first == second


def test_lines_are_saved_with_a_palette_that_nobody_sees(which, grid):
    fig = depth_curves(grid)
    drawn = io.BytesIO()
    fig.savefig(drawn, format="png", dpi=110)
    save_figure(fig, "lines", alt=ALT)
    path = which.images / "lines.png"
    with PIL.Image.open(path) as image, PIL.Image.open(drawn) as original:
        assert image.mode == "P" and round(image.info["dpi"][0]) == 110
        first, second = (np.asarray(one.convert("RGB"), dtype=int) for one in (image, original))
    assert np.abs(first - second).max() <= 16
    assert (first[0, 0] == 255).all(), "white stays white"
    assert path.stat().st_size < 0.6 * len(drawn.getvalue())


def test_a_figure_with_many_colours_keeps_them(which):
    fig, ax = plt.subplots()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    ax.imshow(pixels, interpolation="nearest")
    save_figure(fig, "many", alt=ALT)
    with PIL.Image.open(which.images / "many.png") as image:
        assert image.mode == "RGB" and len(image.getcolors(1 << 20)) > 1_600


@pytest.mark.parametrize("alt", ["", "plot", "plot of accuracy"])
def test_an_alternative_text_that_says_nothing_is_refused(which, alt):
    with pytest.raises(ValueError, match="what the figure shows"):
        save_figure(plt.figure(), "some-figure", alt=alt)
    assert not which.images.exists()


def test_text_that_a_page_would_show_too_small_is_refused(which):
    """A page of 830 pixels shows a figure of 1,100 three quarters as large."""
    for inches, points, size in ((7, 7, 10.7), (10, 9, 10.4)):
        fig = plt.figure(figsize=(inches, 2))
        fig.text(0.5, 0.5, "small", fontsize=points)
        save_figure(fig, "read", alt=ALT)
        assert images.smallest_text(fig) == pytest.approx(size, abs=0.05)
    fig = plt.figure(figsize=(10, 2))
    fig.text(0.5, 0.5, "small", fontsize=8)
    with pytest.raises(ValueError, match="unread: text of 9.2 pixels on a page of 830"):
        save_figure(fig, "unread", alt=ALT)
    assert not (which.images / "unread.png").exists() and not plt.get_fignums()


@pytest.fixture
def displayed(monkeypatch):
    """What a notebook would show."""
    seen = []
    monkeypatch.setattr("IPython.get_ipython", lambda: "a notebook")
    monkeypatch.setattr("IPython.display.display", seen.append)
    return seen


def test_a_notebook_shows_the_file_with_its_text_and_notice(which, displayed):
    save_figure(plt.figure(), "some-figure", alt=ALT)
    picture, notice = displayed
    assert picture.data == (which.images / "some-figure.png").read_bytes()
    assert picture.alt == ALT and "Quick profile" in notice.data
    show_saved("some-figure")
    assert displayed[2].data == picture.data and displayed[2].alt == ALT
    assert displayed[3].data == notice.data


def test_the_full_report_is_shown_without_a_notice(private, displayed, monkeypatch):
    monkeypatch.setattr(images, "profile", lambda: private("full"))
    save_figure(plt.figure(), "some-figure", alt=ALT)
    assert len(displayed) == 1


def test_an_animation_shows_its_figures_in_turn_and_has_its_alternative_text(which):
    figures = []
    for height in (0.2, 0.8):
        fig, ax = plt.subplots(figsize=(2, 2))
        ax.axhline(height)
        figures.append(fig)
    save_animation(figures, "moving", alt=ALT, seconds=0.5)
    with PIL.Image.open(which.images / "moving.png") as image:
        assert (image.n_frames, image.info["Description"]) == (2, ALT)
        frames = []
        for number in range(2):
            image.seek(number)
            assert image.info["duration"] == 500
            frames.append(np.asarray(image.convert("RGB")))
    assert (frames[0] != frames[1]).any()
    assert not plt.get_fignums()
