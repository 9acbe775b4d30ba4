"""Set-up of all tests: annotations are checked, figures need no screen, torch uses one thread."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_type_hints

import matplotlib
import pytest
import torch
from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

REAL_DATA = ("mnist", "cifar10", "cifar100")
SHAPE = re.compile(r"\b(Shaped|Bool|Num|Real|Inexact|Float|Integer|U?Int)\d*\[")


def typechecked(function: Callable) -> Callable:
    """beartype for functions that mention the shape of a tensor.

    The others check their arguments themselves, with errors that tests ask for, or say `Self`,
    which beartype cannot resolve for a method that it sees without its class.
    """
    try:
        hints = get_type_hints(function)
    except (NameError, TypeError):  # a name that is not defined yet
        hints = function.__annotations__
    shaped = any(SHAPE.search(str(hint)) for hint in hints.values())
    # the numeric tower lets an int stand for a float, as Python itself does
    return beartype(function, conf=BeartypeConf(is_pep484_tower=True)) if shaped else function


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


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> object:
    """A stored detector of the quick profile, trained in seconds: it reads most digits."""
    from labutils.config.profiles import profile
    from labutils.report.experiments import configs
    from labutils.report.training import train_run
    from labutils.runs.load import load_or_train
    from labutils.runs.store import Store

    folder, quick = tmp_path_factory.mktemp("detector"), profile("quick")
    store = Store(folder / "runs", folder / "scratch")
    recipe = functools.partial(train_run, store=store)
    classifier, first = (configs(name, quick)[0] for name in ("detector-classifier", "detector"))
    assert first.starts_from == classifier.id
    load_or_train(classifier, recipe, store=store, keep="fp32", progress=False)
    return load_or_train(first, recipe, store=store, keep="fp32", progress=False)
