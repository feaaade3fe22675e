"""Reading of one chunk of one file: from branches to selected rows.

Features, cuts, weights and columns are evaluated on events only here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.errors import DataError
from hepda.events.dataset.plan import PHYSICAL, SamplePlan
from hepda.events.dataset.splits import event_key
from hepda.events.dataset.stitching import Stitching
from hepda.events.expressions.collections import ObjectReader
from hepda.events.expressions.columns import Bools, Column, counts, offsets_of
from hepda.events.expressions.evaluator import Evaluator
from hepda.events.expressions.parser import Expression
from hepda.events.files.opening import EventSource, integers
from hepda.events.specs import identifier_column
from hepda.timing import timed

SPAN_ENTRIES = 100_000
"""Number of events that are read at once where the file permits it: memory does not grow with the file's length."""
MOST_ENTRIES = 400_000
"""Largest number that is read at once where a file packs many together: what two spans share is unpacked twice."""
CHUNK_ENTRIES = 16_000
"""Number of events that are processed at once: few enough for the processor's cache, many enough for numpy."""


@dataclass(frozen=True, slots=True)
class SelectedRows:
    """Selected events: as in FeatureTable, and per model `domain:<model>:...` columns among `columns`.

    cut_counts: events left after each cut; collections: [n, c] each, as in FeatureTable.
    """

    features: NDArray[np.float32]
    weight: NDArray[np.float64]
    key: NDArray[np.uint64]
    columns: dict[str, NDArray[Any]]
    cut_counts: NDArray[np.int64]
    collections: dict[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(slots=True)
class Faults:
    """Numbers that are not finite, or missing where none may be.

    by_description: how many there are, and the file and entry of the first. The descriptions are sentences that
    continue with the number and the place: `samples.tt: weight (w) is missing`.
    """

    by_description: dict[str, tuple[int, str, int]] = field(default_factory=dict)

    def look(
        self,
        what: str,
        values: NDArray[Any],
        path: str,
        entries: NDArray[np.int64],
        sample: str,
        gone: Bools | None = None,
    ) -> None:
        """Count the `values` that are missing (`gone`) or not finite.

        Args:
            what: how messages call the values.
            values: the numbers, [n].
            path: the file, for messages.
            entries: the entries of the events in the file, [n].
            sample: the sample, for messages.
            gone: mask of the missing values, [n]; None: none.

        """
        bad = ~np.isfinite(values)
        if gone is not None:
            self._count(f"samples.{sample}: {what} is missing, so it is not a finite number,", gone, path, entries)
            bad &= ~gone
        self._count(f"samples.{sample}: {what} is not a finite number", bad, path, entries)

    def _count(self, what: str, bad: Bools, path: str, entries: NDArray[np.int64]) -> None:
        places = np.flatnonzero(bad)
        if len(places):
            count, where, entry = self.by_description.get(what, (0, path, int(entries[places[0]])))
            self.by_description[what] = (count + len(places), where, entry)

    def complain(self) -> None:
        """Raise DataError if anything was found."""
        if self.by_description:
            lines = [
                f"{what} in {count} selected events, first in entry {entry} of {path}."
                for what, (count, path, entry) in self.by_description.items()
            ]
            lines.append(
                "Correct the expression (a division by zero, the log of 0? default(x, 1) gives what is missing a "
                "value), or cut these events away"
                + (" (of a target, by `regress.selection`)." if any(".regress." in line for line in lines) else ".")
            )
            raise DataError("\n".join(lines))


def condition_name(condition: Expression) -> str:
    """Return how counts call a condition: `selection (met > 20)`, which cannot be the name of a feature."""
    return f"{condition.what} ({condition.text})"


def slice_events(column: Column, first: int, last: int) -> Column:
    """Return the events [first, last), as views of the same numbers."""
    if column.offsets is None:
        return Column(column.values[first:last], None, _mask(column.missing, first, last))
    offsets = column.offsets[first : last + 1]
    low, high = int(offsets[0]), int(offsets[-1])
    return Column(
        column.values[low:high],
        offsets - low,
        _mask(column.missing, low, high),
        _mask(column.absent, first, last),
    )


def _mask(mask: Bools | None, first: int, last: int) -> Bools | None:
    """Return a part of a mask of what is missing; None where nothing is, so that it needs no time."""
    part = None if mask is None else mask[first:last]
    return part if part is not None and part.any() else None


def take_events(column: Column, index: NDArray[np.int64]) -> Column:
    """Return the events at `index`, with their lists."""
    if column.offsets is None:
        return column.take(index, None)
    lengths = counts(column.offsets)[index]
    offsets = offsets_of(lengths)
    first = np.repeat(column.offsets[:-1][index] - offsets[:-1], lengths)
    selected = column.take(first + np.arange(int(offsets[-1])), offsets)
    return selected if column.absent is None else replace(selected, absent=column.absent[index])


def stretches(
    entries: int, ends: Sequence[int], usual: int = SPAN_ENTRIES, most: int = MOST_ENTRIES
) -> Iterator[tuple[int, int]]:
    """Yield consecutive ranges [start, stop) of a file, each of about `usual` entries, never above `most`.

    Args:
        entries: number of entries of the file.
        ends: where a part of the file ends that is packed together, ascending; ranges end there where possible.
        usual: the usual number of entries of a range.
        most: the largest number of entries of a range.

    """
    edges = np.asarray(ends, dtype=np.int64)
    start = 0
    while start < entries:
        after = int(np.searchsorted(edges, start + usual, side="right"))
        stop = int(edges[after - 1]) if after else start
        if stop <= start:  # more than usual is packed together: take all of it, or ignore the packing
            stop = int(edges[after]) if after < len(edges) else start + usual
            stop = stop if stop - start <= most else start + usual
        stop = min(stop, entries)
        yield start, stop
        start = stop


@dataclass(frozen=True, slots=True)
class ChunkReader:
    """Makes rows of chunks of one sample.

    variables: parsed variables by name; plan: the sample's expressions; factor: its normalisation, or its stitching
    with other samples; missing: the number for a missing feature; key: the branches that identify an event;
    faults: numbers that are not finite are added to it; gaps: counts of events without a feature, by its name, and of
    events that a condition rejects because it is missing, by `condition_name`, are added to it.
    """

    sample: str
    variables: dict[str, Expression]
    plan: SamplePlan
    factor: float | Stitching
    missing: float
    key: tuple[str, ...]
    faults: Faults
    gaps: dict[str, int]

    def read(self, source: EventSource, start: int, stop: int) -> Iterator[SelectedRows]:
        """Yield rows of the entries [start, stop), which are read at once.

        Raises:
            SourceError: a branch cannot be read.
            ExpressionError: an expression cannot be evaluated.

        """
        names = sorted({*self.plan.branches, *self.key})
        with timed("reading"):
            columns = source.read(names, start, stop)
        for first in range(0, stop - start, CHUNK_ENTRIES):
            last = min(first + CHUNK_ENTRIES, stop - start)
            part = {name: slice_events(column, first, last) for name, column in columns.items()}
            yield self._rows(part, source.path, np.arange(start + first, start + last))

    @timed("expressions")
    def _rows(self, columns: dict[str, Column], path: str, entries: NDArray[np.int64]) -> SelectedRows:
        """Return the rows of one chunk, whose entries in the file at `path` are `entries`."""

        def where(event: int) -> str:
            return f"entry {entries[event]} of {path}"

        evaluator = Evaluator(columns, self.variables, len(entries), where)
        passed = np.ones(len(entries), dtype=bool)
        cut_counts = []
        for cut in self.plan.cuts:
            passes, gone = evaluator.truth(cut)
            self._undecided(cut, gone, passed)
            passed &= passes
            cut_counts.append(int(passed.sum()))
        if not passed.all():
            index = np.flatnonzero(passed)
            entries = entries[index]
            columns = {name: take_events(column, index) for name, column in columns.items()}
            evaluator = Evaluator(columns, self.variables, len(index), where)
        features = self._features(evaluator, path, entries)
        weight = self._weight(evaluator, path, entries)
        numbers = {name: integers(columns[name], f"{path}: the branch {name!r}", entries) for name in self.key}
        key = event_key(*numbers.values())
        evaluator.define(PHYSICAL, Column(weight))
        # One type for all files: they may have a number as int32, uint64 or int64.
        extra: dict[str, NDArray[Any]] = {identifier_column(n): v.astype(np.int64) for n, v in numbers.items()}
        extra |= self._domains(evaluator, weight, path, entries) | self._regions(evaluator, path, entries)
        extra |= self._targets(evaluator, path, entries)
        for name, expression in self.plan.columns.items():
            values, gone = evaluator.exact_number(expression)
            extra[name] = values if gone is None else np.where(gone, np.nan, values)

        def look(what: str, values: NDArray[np.float32], events: NDArray[np.int64]) -> None:
            self.faults.look(what, values, path, entries[events], self.sample)

        objects = ObjectReader(evaluator, len(entries), self.missing, look, self.gaps)
        collections = {name: objects.matrix(name, plan) for name, plan in self.plan.collections.items()}
        return SelectedRows(features, weight, key, extra, np.asarray(cut_counts, dtype=np.int64), collections)

    def _regions(self, evaluator: Evaluator, path: str, entries: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return `region:<name>` (1 in the region, else 0) and `variable:<name>` (NaN outside the selection)."""
        columns: dict[str, NDArray[Any]] = {}
        for region in self.plan.regions:
            inside = np.ones(len(entries), dtype=bool)
            if region.selection is not None:
                inside, gone = evaluator.truth(region.selection)
                self._undecided(region.selection, gone, np.ones(len(entries), dtype=bool))
                columns[region.spec.mask_column] = inside.astype(np.int8)
            if region.variable is not None:
                expression = region.variable
                values, gone = evaluator.number(expression)
                values = np.where(inside if gone is None else inside & ~gone, values, np.nan)
                what = f"{expression.what} ({expression.text})"
                self.faults.look(
                    what, values[inside], path, entries[inside], self.sample, None if gone is None else gone[inside]
                )
                columns[region.spec.variable_column] = np.broadcast_to(values, (len(entries),)).astype(np.float64)
        return columns

    def _targets(self, evaluator: Evaluator, path: str, entries: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return `target:<model>`, NaN for events that the model is not trained on."""
        columns: dict[str, NDArray[Any]] = {}
        for name, target in self.plan.targets.items():
            inside = np.ones(len(entries), dtype=bool)
            if target.selection is not None:
                inside, _ = evaluator.truth(target.selection)
            values, gone = evaluator.number(target.value)
            values = np.broadcast_to(values, (len(entries),))
            if target.required:
                what = f"{target.value.what} ({target.value.text})"
                missing = None if gone is None else gone[inside]
                self.faults.look(what, values[inside], path, entries[inside], self.sample, missing)
            known = inside & np.isfinite(values) if gone is None else inside & np.isfinite(values) & ~gone
            columns[name] = np.where(known, values, np.nan).astype(np.float64)
        return columns

    def _undecided(self, condition: Expression, gone: Bools | None, events: Bools) -> None:
        """Count those of the `events` that a condition rejects because it is missing (`gone`) in them."""
        number = 0 if gone is None else int(np.count_nonzero(gone & events))
        if number:
            name = condition_name(condition)
            self.gaps[name] = self.gaps.get(name, 0) + number

    def _features(self, evaluator: Evaluator, path: str, entries: NDArray[np.int64]) -> NDArray[np.float32]:
        matrix = np.empty((len(entries), len(self.plan.features)), dtype=np.float32)
        for i, feature in enumerate(self.plan.features):
            values, gone = evaluator.number(feature)
            if gone is not None and gone.any():
                values = np.where(gone, self.missing, values)
                self.gaps[feature.text] = self.gaps.get(feature.text, 0) + int(gone.sum())
            with np.errstate(over="ignore"):
                matrix[:, i] = values
            self.faults.look(f"the feature {feature.text!r}", matrix[:, i], path, entries, self.sample)
        return matrix

    def _weight(self, evaluator: Evaluator, path: str, entries: NDArray[np.int64]) -> NDArray[np.float64]:
        if self.plan.weight is None:
            return np.ones(len(entries))
        values = self._finite(evaluator, self.plan.weight, path, entries)
        factor = self.factor
        return values * (factor.factor(evaluator, path, entries) if isinstance(factor, Stitching) else factor)

    def _finite(
        self, evaluator: Evaluator, expression: Expression, path: str, entries: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        values, gone = evaluator.number(expression)
        values = values if gone is None else np.where(gone, np.nan, values)
        self.faults.look(f"{expression.what} ({expression.text})", values, path, entries, self.sample, gone)
        return values

    def _domains(
        self, evaluator: Evaluator, physical: NDArray[np.float64], path: str, entries: NDArray[np.int64]
    ) -> dict[str, NDArray[Any]]:
        """Return `domain:<model>:mask`, `:weight` (0 outside the mask) and `:side`.

        The side is 0 for the source, the number of the target domain from 1 on, -1 for none.
        """
        n = len(entries)
        columns: dict[str, NDArray[Any]] = {}
        for model, domain in self.plan.domains.items():
            mask = np.full(n, domain.picks_rows)
            if domain.picks_rows and domain.selection is not None:
                mask, gone = evaluator.truth(domain.selection)
                self._undecided(domain.selection, gone, np.ones(n, dtype=bool))
            weight = physical
            if domain.weight is not None:
                weight = self._finite(evaluator, domain.weight, path, entries)
            columns[f"domain:{model}:mask"] = mask
            columns[f"domain:{model}:weight"] = np.where(mask, weight, 0.0)
            columns[f"domain:{model}:side"] = np.full(n, domain.side, dtype=np.int8)
        return columns
