"""Section 1.3: ConvNets with either head; MLPs trained as they are, factor by factor."""

from collections.abc import Sequence

import pandas as pd

from labutils.report.names import HEADS, kind_name
from labutils.report.statistics import by_fields, columns, metric, paired_difference, select
from labutils.runs.store import Run


def head_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.3: how a ConvNet fits and answers with either head, a row a depth and kind."""
    rows = []
    for (depth, _), chosen in by_fields(runs, "depth", "residual"):
        heads = [select(chosen, head=head) for head in ("flatten", "fully-convolutional")]
        row: dict[str, object] = {"depth": depth, "network": kind_name(chosen[0].config)}
        for of_head in heads:
            shown = ("parameters", "train loss", "test accuracy")
            row |= columns(of_head, *shown, of=HEADS[of_head[0].config.head])
        row["averaging - flattening"] = paired_difference(*heads)
        rows.append(row)
    return pd.DataFrame(rows)


def factor_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Section 1.3: residual MLPs in fp32, a row a way of training: what depth changes in each."""
    rows = []
    for (augmented, schedule, epochs), chosen in by_fields(runs, "flip", "schedule", "epochs"):
        row: dict[str, object] = {
            "images": "mirrored and shifted" if augmented else "as they are",
            "schedule": schedule,
            "epochs": epochs,
        }
        groups = by_fields(chosen, "depth")
        for depth, several in groups:
            row |= columns(several, "train loss", of=str(depth))
            row[f"test loss, {depth}"] = metric(several, "test_loss", 2)
            row |= columns(several, "test accuracy", of=str(depth))
        (shallow, few), (deep, many) = groups[0], groups[-1]
        row[f"depth {deep} - {shallow}"] = paired_difference(few, many)
        rows.append(row)
    return pd.DataFrame(rows)
