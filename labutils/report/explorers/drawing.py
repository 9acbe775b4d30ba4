"""What explorers share: controls, and a text and a picture that are made anew at each move."""

import io
import threading
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
from IPython.display import HTML, Image, clear_output, display
from matplotlib.figure import Figure

WIDE = {"description_width": "initial"}
SLIDER = {"continuous_update": False, "style": WIDE}  # a picture a move, not one a pixel
DEPTH = SLIDER | {"description": "Depth (weight layers)"}
RESIDUAL = {"description": "Residual (skip connections)", "indent": False}
# pyplot and its settings belong to the process, and a live training draws from its own threads
DRAWING = threading.Lock()


class Explorer(ipywidgets.VBox):
    """Controls above a text and a picture.

    Args:
        leading: the control that decides what others offer: when it moves, `adapt` sets these.
        rows: all controls.
    """

    def __init__(self, leading: ipywidgets.Widget, *rows: Sequence[ipywidgets.Widget]) -> None:
        self.output, self._adapting = ipywidgets.Output(), False
        for control in chain(*rows):
            control.observe(self._lead if control is leading else self._update, "value")
        super().__init__([*map(ipywidgets.HBox, rows), self.output])
        self._update()

    def look(self) -> tuple[str, bytes | None]:
        """A text in HTML, and the picture that it describes, where there is one."""
        raise NotImplementedError

    def adapt(self) -> None:
        """Set what the leading control decides of the others; nothing is drawn meanwhile."""
        raise NotImplementedError

    def _lead(self, change: object) -> None:
        self._adapting = True
        self.adapt()
        self._adapting = False
        self._update()

    def _update(self, change: object = None) -> None:
        if self._adapting:
            return
        with self.output:
            clear_output(wait=True)
            text, picture = self.look()
            display(HTML(f"<p>{text}</p>"))
            if picture is not None:
                display(Image(data=picture, alt=text))


def draw(figure: Callable[..., Figure], *args: Any) -> bytes:
    """The figure that `figure(*args)` makes, as PNG.

    It is drawn once; the inline backend, which looks for tight margins, draws it twice.
    """
    buffer = io.BytesIO()
    with DRAWING:
        fig = figure(*args)
        fig.savefig(buffer, format="png", dpi=80)
        plt.close(fig)
    return buffer.getvalue()
