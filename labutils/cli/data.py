"""`labutils data`: what is in a data set."""

import sys
from typing import Annotated

import tyro

from labutils.cli.app import APP, several
from labutils.cli.listing import shortened
from labutils.config import DATA_SETS, DataName

REAL: tuple[DataName, ...] = tuple(
    name for name, spec in DATA_SETS.items() if not (spec.built_in or spec.made_from)
)


@APP.command
def data(
    names: Annotated[
        tyro.conf.Positional[tuple[DataName, ...]],
        several("[NAME ...]", f"{', '.join(DATA_SETS)}; default: {' '.join(REAL)}"),
    ] = REAL,
) -> int:
    """Download data sets into LAB_DATA (else data/) and say what is in them.

    Args:
        names: Data sets.
    """
    from labutils.data import DataError, load
    from labutils.data.sets import data_root

    failed = 0
    for name in names:
        try:
            found = load(name)
        except DataError as error:
            print(error, file=sys.stderr)
            failed = 1
            continue
        spec = DATA_SETS[name]
        file = "built in" if spec.built_in else data_root() / f"{name}.safetensors"
        if spec.made_from:
            file = f"made from {spec.made_from}"
        parts = [len(part) for part in (found.train, found.val, found.test)]
        mean, std = (" ".join(f"{v:.4f}" for v in values) for values in (found.mean, found.std))
        print(f"{name}: {file}")
        print("  images   {:,} training, {:,} validation, {:,} test".format(*parts))
        print("  shape    {} x {} x {} (channels x height x width)".format(*found.image_shape))
        print(f"  classes  {len(found.class_names)}: {shortened(found.class_names)}")
        print(f"  mean     {mean}")
        print(f"  std      {std}", flush=True)
    return failed
