"""The one way to save a figure: with its alternative text inside, and shown in a notebook."""

import io
from pathlib import Path

import matplotlib.pyplot as plt
import PIL.Image
import PIL.ImageChops
import PIL.PngImagePlugin
from matplotlib.figure import Figure

from labutils.config.profiles import Profile, profile

DPI = 110
UNSEEN = 16  # of 255, the largest difference to a colour that a palette may make


def save_figure(fig: Figure, name: str, *, alt: str, which: Profile | None = None) -> None:
    """Write `images/NAME.png` with its alternative text inside, and show that file.

    Args:
        name: of the file, without ending.
        alt: what the figure shows, the finding, for readers who do not see it.

    Raises:
        ValueError: the alternative text is missing or says only what kind of picture it is.
    """
    if len(alt.split()) < 5:
        raise ValueError(f"{name}: alt is {alt!r}: say in a sentence what the figure shows")
    folder = (which or profile()).images
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    _write(fig, path, alt)
    plt.close(fig)
    _show(path, alt, (which or profile()).notice)


def _write(fig: Figure, path: Path, alt: str) -> None:
    """The figure as PNG, with a palette where nobody would see it: a third of the size.

    A palette serves lines and areas; figures with photographs in them keep all their colours.
    """
    drawn = io.BytesIO()
    fig.savefig(drawn, format="png", dpi=DPI)
    picture = PIL.Image.open(drawn).convert("RGB")
    few = picture.quantize(256, PIL.Image.Quantize.MAXCOVERAGE, dither=PIL.Image.Dither.NONE)
    difference = PIL.ImageChops.difference(few.convert("RGB"), picture)
    if max(high for _, high in difference.getextrema()) <= UNSEEN:
        picture = few
    text = PIL.PngImagePlugin.PngInfo()
    text.add_itxt("Description", alt)
    picture.save(path, dpi=(DPI, DPI), pnginfo=text, optimize=True)


def show_saved(name: str) -> None:
    """Display a figure that was saved before, as `save_figure` displayed it."""
    path = profile().images / f"{name}.png"
    with PIL.Image.open(path) as image:
        alt = image.info["Description"]
    _show(path, alt, profile().notice)


def _show(path: Path, alt: str, notice: str) -> None:
    """Display a picture where there is a notebook to display it in."""
    try:
        from IPython import get_ipython
        from IPython.display import Image, Markdown, display
    except ModuleNotFoundError:
        return
    if get_ipython() is not None:
        display(Image(filename=path, alt=alt))
        if notice:
            display(Markdown(notice))
