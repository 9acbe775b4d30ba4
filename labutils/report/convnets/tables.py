"""Section 1.3: ConvNets with either head."""

from collections.abc import Sequence

import pandas as pd

from labutils.report.names import kind_name
from labutils.report.statistics import by_fields, fit_and_accuracy, paired_difference, select
from labutils.runs.store import Run


def head_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.3: how a ConvNet fits and answers with either head, a row a depth and kind."""
    rows = []
    for (depth, _), chosen in by_fields(runs, "depth", "residual"):
        heads = [select(chosen, head=head) for head in ("flatten", "fully-convolutional")]
        row: dict[str, object] = {"depth": depth, "network": kind_name(chosen[0].config)}
        for name, of_head in zip(("flatten", "average"), heads, strict=True):
            row[f"parameters, {name}"] = f"{of_head[0].metrics['parameters']:,}"
            row |= fit_and_accuracy(name, of_head)
        row["average - flatten"] = paired_difference(*heads)
        rows.append(row)
    return pd.DataFrame(rows)
