"""Section 1.3: ConvNets with either head."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from labutils.report.statistics import fit_and_accuracy, paired_difference, select
from labutils.runs.store import Run


def head_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.3: how a ConvNet fits and answers with either head, a row a depth and kind."""
    rows = []
    for depth in sorted({run.config.depth for run in runs}):
        for residual, kind in ((False, "plain"), (True, "residual")):
            heads = [
                select(runs, depth=depth, residual=residual, head=head)
                for head in ("flatten", "fully-convolutional")
            ]
            row: dict[str, object] = {"depth": depth, "network": kind}
            for name, chosen in zip(("flatten", "average"), heads, strict=True):
                row[f"parameters, {name}"] = f"{chosen[0].metrics['parameters']:,}"
                row |= fit_and_accuracy(name, chosen)
            row["average - flatten"] = paired_difference(*heads)
            rows.append(row)
    return pd.DataFrame(rows)
