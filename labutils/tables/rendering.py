"""A frame as Markdown, and in a notebook."""

from __future__ import annotations

import pandas as pd

from labutils.profiles import profile

NO_BREAK = "\N{NO-BREAK SPACE}"


def markdown(frame: pd.DataFrame) -> str:
    """The frame as a Markdown table, numbers to the right."""
    head = "| " + " | ".join(frame.columns) + " |"
    rule = "|" + "---:|" * len(frame.columns)
    rows = ("| " + " | ".join(map(_unbroken, row)) + " |" for row in frame.itertuples(index=False))
    return "\n".join((head, rule, *rows))


def _unbroken(cell: object) -> str:
    """A number, its deviation and its unit, which no line break parts."""
    return str(cell).replace(" ± ", f"{NO_BREAK}±{NO_BREAK}").replace(" %", f"{NO_BREAK}%")


def show(frame: pd.DataFrame) -> None:
    """Display the table in a notebook, in the quick profile with its notice."""
    from IPython.display import Markdown, display

    display(Markdown(markdown(frame)))
    if notice := profile().notice:
        display(Markdown(notice))
