"""`labutils describe`: the layers of a network."""

import tyro

from labutils.cli.app import APP
from labutils.cli.listing import table
from labutils.cli.options import Options
from labutils.config import DATA_SETS, RunConfig


@APP.command
def describe(network: tyro.conf.OmitArgPrefixes[Options]) -> int:
    """Show a network's layers: output shape, parameters, multiply-adds.

    Args:
        network: The network; options of training change nothing here.
    """
    config = RunConfig(**network)
    from labutils.models.costs import describe
    from labutils.models.networks import build_model

    spec = DATA_SETS[config.data]
    rows = describe(build_model(config, spec.image_shape, spec.classes), spec.image_shape)
    lines = []
    for name, kind, shape, *costs in rows:
        lines.append((name, kind, " x ".join(map(str, shape)), *(f"{cost:,}" for cost in costs)))
    totals = (sum(r.parameters for r in rows), sum(r.multiply_adds for r in rows))
    lines.append(("total", "", "", *(f"{total:,}" for total in totals)))
    print(table(("layer", "kind", "output", "parameters", "multiply-adds"), lines, left=2))
    return 0
