"""Write a figure, show it, and read it back for the README."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import PIL.Image
from matplotlib.figure import Figure

from labutils.profiles import Profile, profile


def save_figure(fig: Figure, name: str, *, alt: str, which: Profile | None = None) -> Path:
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
    # without Software a new release of matplotlib alone does not change the file
    fig.savefig(path, dpi=110, metadata={"Description": alt, "Software": None})
    plt.close(fig)
    _show(path, alt, (which or profile()).notice)
    return path


def report(name: str) -> str:
    """The Markdown of a saved figure, as README.md shows it; the alternative text is the file's."""
    path = profile("full").images / f"{name}.png"
    with PIL.Image.open(path) as image:
        return f"![{image.info['Description']}](images/{name}.png)"


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
