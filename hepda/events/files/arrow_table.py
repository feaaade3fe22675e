"""What files that pyarrow reads have in common: each is one table without a name, and has no histograms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from hepda.errors import SourceError
from hepda.events.expressions.awkward_arrays import column_of
from hepda.events.expressions.columns import Column, ValueProblem


class ArrowTable:
    """An open file that is its own reader.

    Args:
        path: the file.
        kind: its format, for messages.

    """

    def __init__(self, path: str, kind: str) -> None:
        self._path, self._kind = path, kind

    def trees(self) -> None:
        """Return None: the file is one table."""
        return None  # noqa: RET501 - None is a value of the protocol

    def reader(self, tree: str) -> Self:
        """Return the table."""
        return self

    def histograms(self) -> Sequence[str]:
        """Return no names: there are no histograms in such a file."""
        return ()

    def histogram(self, name: str) -> Any:
        """Raise SourceError: there are no histograms in such a file."""
        raise SourceError(f"{self._path}: has no histogram {name!r}; a {self._kind} file is one table of events.")


def arrow_column(field: str, array: Any) -> Column:
    """Return an awkward array, made from Arrow's, as a column. Raises ValueProblem, with its name, if it is none."""
    import awkward as ak

    try:
        return column_of(ak.to_layout(array))
    except ValueProblem as problem:
        raise ValueProblem(f"{field!r} {problem}") from problem


def number_type_of(kind: Any) -> np.dtype[Any] | None:
    """Return numpy's type of Arrow's numbers; None for a type that is none of them."""
    import pyarrow.types as types

    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        numbers: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
        return numbers
    return None
