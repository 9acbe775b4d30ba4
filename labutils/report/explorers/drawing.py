"""Pictures for widgets, drawn once, and never two at a time."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

WIDE = {"description_width": "initial"}
# pyplot and its settings belong to the process, and a live training draws from its own threads
DRAWING = threading.Lock()


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
