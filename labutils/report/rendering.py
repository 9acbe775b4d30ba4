"""A frame as Markdown, and in a notebook."""

import pandas as pd

from labutils.config.profiles import profile

NO_BREAK, NO_BREAK_HYPHEN = "\N{NO-BREAK SPACE}", "\N{NON-BREAKING HYPHEN}"


def markdown(frame: pd.DataFrame) -> str:
    """The frame as a Markdown table, words to the left and numbers to the right."""
    head = "| " + " | ".join(frame.columns) + " |"
    rule = "|" + "".join(":---|" if _has_words(frame[name]) else "---:|" for name in frame)
    rows = ("| " + " | ".join(map(_unbroken, row)) + " |" for row in frame.itertuples(index=False))
    return "\n".join((head, rule, *rows))


def _has_words(column: pd.Series) -> bool:
    return all(str(cell)[:1].isalpha() for cell in column)


def _unbroken(cell: object) -> str:
    """A number, its deviation and its unit, or a name, which no line break parts."""
    text = str(cell).replace(" ± ", f"{NO_BREAK}±{NO_BREAK}").replace(" %", f"{NO_BREAK}%")
    return text.replace("CIFAR-", f"CIFAR{NO_BREAK_HYPHEN}")


def show(frame: pd.DataFrame) -> None:
    """Display the table in a notebook, in the quick profile with its notice."""
    from IPython.display import Markdown, display

    display(Markdown(markdown(frame)))
    if notice := profile().notice:
        display(Markdown(notice))
