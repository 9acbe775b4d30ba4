"""The cell magic `%%needs`: what a notebook does in a clone without the data set."""

import re

from IPython import get_ipython
from IPython.core.interactiveshell import InteractiveShell

from labutils.config.profiles import profile
from labutils.data.sets import is_here
from labutils.report.images import show_saved

SAVED = re.compile(r'^    "([\w-]+)",$', re.MULTILINE)  # the name in a call of `save_figure`


def needs(line: str, cell: str) -> None:
    """Run the cell if the data set that it names is here; else show the figures that it saves.

    So a notebook tells its whole story from what is stored, and begins no download.
    """
    if is_here(profile().data(line.strip())):
        get_ipython().run_cell(cell, store_history=False).raise_error()
        return
    for name in SAVED.findall(cell):
        show_saved(name)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """For `%load_ext labutils.report.needs`."""
    shell.register_magic_function(needs, "cell")
