"""The one way to save figures: with their alternative text inside, and shown in a notebook."""

import io
import math
from collections.abc import Iterable

import IPython
import matplotlib.pyplot as plt
import PIL.Image
import PIL.ImageChops
import PIL.PngImagePlugin
from IPython import display
from matplotlib.figure import Figure
from matplotlib.text import Text

from labutils.config.profiles import profile

DPI = 110
PAGE = 830  # pixels, the width of a README on GitHub: wider figures are shown smaller
SMALLEST = 10  # pixels, of text on such a page
UNSEEN = 16  # of 255, the largest difference to a colour that a palette may make
PAINTED = 10_000  # colours or more: a photograph or a shade, in which a palette makes steps


def save_figure(fig: Figure, name: str, *, alt: str) -> None:
    """Write `images/NAME.png` with its alternative text inside, and show that file.

    Args:
        name: of the file, without ending.
        alt: what the figure shows, the finding, for readers who do not see it.

    Raises:
        ValueError: the alternative text is missing or says only what kind of picture it is; or
            text would be too small to read on a page of `PAGE` pixels.
    """
    save_animation([fig], name, alt=alt)


def save_animation(figures: Iterable[Figure], name: str, *, alt: str, seconds: float = 1.5) -> None:
    """As `save_figure`, of figures of one size, each shown for `seconds`: an animated PNG."""
    if len(alt.split()) < 5:
        raise ValueError(f"{name}: alt is {alt!r}: say in a sentence what the figure shows")
    folder = profile().images
    folder.mkdir(parents=True, exist_ok=True)
    first, *others = [_picture(fig, name) for fig in figures]
    text = PIL.PngImagePlugin.PngInfo()
    text.add_itxt("Description", alt)
    moving = {"save_all": True, "append_images": others, "duration": 1_000 * seconds}
    options = {"dpi": (DPI, DPI), "pnginfo": text, "optimize": True} | (moving if others else {})
    first.save(folder / f"{name}.png", **options)
    show_saved(name)


def show_saved(name: str) -> None:
    """Display a saved figure, where there is a notebook to display it in."""
    if IPython.get_ipython() is None:
        return
    path = profile().images / f"{name}.png"
    with PIL.Image.open(path) as image:
        alt = image.info["Description"]
    display.display(display.Image(filename=path, alt=alt))
    if notice := profile().notice:
        display.display(display.Markdown(notice))


def smallest_text(fig: Figure) -> float:
    """Size in pixels of the smallest text of a drawn figure, on a page of `PAGE` pixels."""
    points = [text.get_fontsize() for text in fig.findobj(Text) if text.get_text()]
    return min(points, default=math.inf) * min(DPI, PAGE / fig.get_figwidth()) / 72


def _picture(fig: Figure, name: str) -> PIL.Image.Image:
    """The figure, with a palette where nobody would see it: a third of the size.

    A palette serves lines and areas; figures with photographs in them keep all their colours.
    """
    drawn = io.BytesIO()
    fig.savefig(drawn, format="png", dpi=DPI)
    plt.close(fig)
    if (size := smallest_text(fig)) < SMALLEST:
        raise ValueError(
            f"{name}: text of {size:.1f} pixels on a page of {PAGE}, expected {SMALLEST} or more: "
            f"make it larger, or the figure of {fig.get_figwidth():g} inches narrower"
        )
    picture = PIL.Image.open(drawn).convert("RGB")
    if picture.getcolors(PAINTED) is None:
        return picture
    few = picture.quantize(256, PIL.Image.Quantize.MAXCOVERAGE, dither=PIL.Image.Dither.NONE)
    difference = PIL.ImageChops.difference(few.convert("RGB"), picture)
    return few if max(high for _, high in difference.getextrema()) <= UNSEEN else picture
