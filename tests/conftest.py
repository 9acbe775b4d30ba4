"""Set-up of all tests: annotations are checked, figures need no screen, torch uses one thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import matplotlib
import pytest
import torch
from beartype import beartype
from beartype.roar import BeartypeDecorHintPep673Exception
from jaxtyping import install_import_hook

REAL_DATA = ("mnist", "cifar10", "cifar100")


def typechecked(function: Callable) -> Callable:
    """beartype, but for functions that mention `Self`: it cannot resolve it outside the class."""
    try:
        return beartype(function)
    except BeartypeDecorHintPep673Exception:
        return function


# Before the first import of labutils: a module that is already loaded stays unchecked.
install_import_hook("labutils", f"{__name__}.typechecked")
matplotlib.use("Agg")
torch.set_num_threads(1)
os.environ.pop("LAB_PROFILE", None)  # tests choose their profile themselves


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs a downloaded data set where the set is not there."""
    folder = Path(os.environ.get("LAB_DATA", item.config.rootpath / "data"))
    for mark in item.iter_markers("real_data"):
        for name in mark.args or REAL_DATA:
            file = folder / f"{name}.safetensors"
            if not file.exists():
                pytest.skip(f"needs the real data set {file}: use it once, or set LAB_DATA")
