"""Tables, source code and experiments as Markdown, in a notebook."""

import inspect
import textwrap
from dataclasses import fields

import pandas as pd
from IPython import display

from labutils.config.profiles import profile
from labutils.report.experiments import configs, find

NO_BREAK, NO_BREAK_HYPHEN = "\N{NO-BREAK SPACE}", "\N{NON-BREAKING HYPHEN}"
ALWAYS_SAID = ("data", "model", "optimizer", "learning_rate", "epochs", "batch_size")


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
    _display(markdown(frame))
    if notice := profile().notice:
        _display(notice)


def _display(text: str) -> None:
    display.display(display.Markdown(text))


def show_source(*objects: object) -> None:
    """Display the code of functions, methods or classes of the library, as it runs."""
    for one in objects:
        code = textwrap.dedent(inspect.getsource(one)).rstrip()
        place = f"{one.__module__.replace('.', '/')}.py"
        _display(f"```python\n# {place}\n{code}\n```")


def show_experiment(name: str) -> None:
    """Display what an experiment asks, what it varies, and what is the same in all its runs."""
    _display(experiment_text(name))


def experiment_text(name: str) -> str:
    """What `show_experiment` displays.

    Of what is fixed it lists fields that differ from their default, the data set and the network.
    """
    record, found = find(name), configs(name)
    varied = {key: dict.fromkeys(getattr(one, key) for one in found) for key in record.varies}
    varies = [f"{key} {', '.join(map(str, values))}" for key, values in varied.items()]
    fixes = []
    for field in fields(found[0]):
        value = getattr(found[0], field.name)
        if field.name not in varied and (value != field.default or field.name in ALWAYS_SAID):
            fixes.append(f"{field.name} {value}")
    said = {"varies": varies, "fixes": fixes}
    lines = [f"- It {verb}: {'; '.join(words)}." for verb, words in said.items() if words]
    return "\n".join([f"`{name}`, {len(found)} runs. {record.question}", "", *lines])
