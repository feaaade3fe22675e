"""Objects of a chunk of events: from lists of any length to rows with as many places as a collection keeps objects."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hepda.events.expressions.columns import Bools, Column, Offsets, UnevenLists, Vectors, counts
from hepda.events.expressions.evaluator import Evaluator
from hepda.events.expressions.parser import Expression


@dataclass(frozen=True, slots=True)
class CollectionPlan:
    """Expressions of the objects of a collection.

    most: the largest number of objects that is kept; None: its features are one number per event; features: by name.
    """

    most: int | None
    features: dict[str, Expression]

    @property
    def columns(self) -> int:
        """Number of columns of an event: the number of its objects, and the features of each."""
        return 1 + (self.most or 1) * len(self.features)

    def in_file(self, branches: Collection[str]) -> CollectionPlan:
        """Return the plan for a file with these branches: every has() is decided."""
        features = {name: feature.in_file(branches) for name, feature in self.features.items()}
        return CollectionPlan(self.most, features)


@dataclass(frozen=True, slots=True)
class ObjectReader:
    """Makes the rows of the collections of one chunk.

    evaluator: of the events; events: number of them; missing: the number for a missing feature, and for places without
    an object; look: called with the name of a feature, its values [m] and the events that have them [m], to find those
    that are not finite; gaps: counts of objects without a feature, by its name, are added to it.
    """

    evaluator: Evaluator
    events: int
    missing: float
    look: Callable[[str, NDArray[np.float32], NDArray[np.int64]], None]
    gaps: dict[str, int]

    def matrix(self, name: str, plan: CollectionPlan) -> NDArray[np.float32]:
        """Return the objects of a collection, [n, 1 + size * features], as FeatureTable has them.

        The first column is the number of objects in the file: it is larger than `size` where some are cut off. A
        collection whose features are one number per event has one object, none where all of its features are missing.

        Raises:
            ExpressionError: a feature is a list although it should not be, or the reverse, or lists of different
                lengths.

        """
        columns = [self._column(name, plan, expression) for expression in plan.features.values()]
        n, width, size = self.events, len(columns), plan.most or 1
        lengths = self._lengths(plan, columns)
        result = np.full((n, plan.columns), self.missing, dtype=np.float32)
        result[:, 0] = lengths
        owner = np.repeat(np.arange(n), lengths)
        place = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        kept = np.flatnonzero(place < size)
        places = result[:, 1:].reshape(n, size, width)  # a copy, since rows are not contiguous
        for number, (feature, column) in enumerate(zip(plan.features, columns, strict=True)):
            values = column.values if column.jagged else column.values[lengths > 0]
            gone = column.missing if column.jagged or column.missing is None else column.missing[lengths > 0]
            if gone is not None:
                self._count(f"{name}.{feature}", gone[kept])
                values = np.where(gone, self.missing, values)
            with np.errstate(over="ignore"):
                kept_values = values[kept].astype(np.float32)
            places[owner[kept], place[kept], number] = kept_values
            self.look(f"the feature {feature!r} of {name}", kept_values, owner[kept])
        result[:, 1:] = places.reshape(n, -1)
        return result

    def _count(self, what: str, gone: Bools) -> None:
        if gone.any():
            self.gaps[what] = self.gaps.get(what, 0) + int(gone.sum())

    def _column(self, name: str, plan: CollectionPlan, expression: Expression) -> Column:
        value = self.evaluator.value(expression)
        if isinstance(value, Vectors):
            raise expression.error(expression.tree, "is a four-vector; take its pt(), eta(), phi() or mass().")
        column = value if isinstance(value, Column) else Column(np.full(self.events, value))
        if column.jagged and plan.most is None:
            raise expression.error(
                expression.tree, f"is a list per event: say how many objects are kept, collections.{name}.max."
            )
        if not column.jagged and plan.most is not None:
            raise expression.error(
                expression.tree,
                f"is one number per event, and {name} has lists; take it out, or leave collections.{name}.max out if "
                "all of its features are one number per event.",
            )
        return column

    def _lengths(self, plan: CollectionPlan, columns: list[Column]) -> Offsets:
        """Return how many objects each event has in the file, [n]."""
        if plan.most is None:
            missing = [np.zeros(self.events, bool) if c.missing is None else c.missing for c in columns]
            present: NDArray[np.bool_] = ~np.logical_and.reduce(missing)
            return present.astype(np.int64)
        first, *others = [counts(column.offsets) for column in columns if column.offsets is not None]
        for expression, lengths in zip(list(plan.features.values())[1:], others, strict=True):
            uneven = np.flatnonzero(lengths != first)
            if len(uneven):
                event = int(uneven[0])
                problem = UnevenLists(event, int(first[event]), int(lengths[event]))
                raise expression.error(expression.tree, f"{problem.message(self.evaluator.where(event))}.")
        return first
