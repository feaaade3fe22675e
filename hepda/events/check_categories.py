"""Events whose value of a categorical feature is not listed, for `hepda check`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from hepda.events.table.feature_table import FeatureTable

_SHOWN = 8
"""Number of values that a line names."""


def unlisted_values(
    categories: Mapping[str, tuple[int, ...]], table: FeatureTable, rows: NDArray[np.int64]
) -> Iterator[str]:
    """Yield a line for each categorical feature of which selected events have other values, or never a listed one.

    Args:
        categories: the listed values by feature.
        table: the events.
        rows: numbers of the rows that are looked at.

    """
    for name, values in categories.items():
        column = np.asarray(table.features[rows, table.names.index(name)])
        listed = np.isin(column, values)
        if not listed.all():
            others = np.unique(column[~listed])
            shown = ", ".join(f"{value:g}" for value in others[:_SHOWN]) + (", ..." if len(others) > _SHOWN else "")
            yield (
                f"the feature {name} has values that `categories` does not list in {1 - listed.mean():.1%} of the "
                f"selected events: {shown}"
            )
        absent = [value for value in values if not (column == value).any()]
        if absent:
            yield f"the feature {name} has no event with {', '.join(map(str, absent))}, which `categories` lists"
