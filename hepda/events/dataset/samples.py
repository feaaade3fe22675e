"""The normalisation of a sample to the luminosity, and the sums of weights that measure its statistical precision."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import NormalisationConfig
from hepda.errors import DataError, SourceError
from hepda.events.expressions.evaluator import Evaluator
from hepda.events.expressions.names import check_names
from hepda.events.expressions.parser import Expression, needed_names, parse
from hepda.events.files.opening import EventFile, Tree, tree_of
from hepda.events.specs import DatasetSpec

PB_IN_INVERSE_FB = 1000.0
"""1 pb is 1000 events in 1/fb."""
_BLOCK = 1_000_000
"""Number of weights that are summed at once: those of a table on disk are never all in memory."""


def effective_number(sumw: float, sumw2: float) -> float:
    """Return the effective number of events, sumw^2 / sumw2; 0 without weights or for an infinite sum.

    The sum is divided before it is squared, because sumw^2 may overflow.
    """
    return (sumw / math.sqrt(sumw2)) ** 2 if sumw2 > 0 and math.isfinite(sumw) else 0.0


@dataclass(frozen=True, slots=True)
class WeightSums:
    """Sums over weights w: their sum, the sum of their squares, their number and the number of negative ones."""

    entries: int = 0
    sumw: float = 0.0
    sumw2: float = 0.0
    negative: int = 0

    @classmethod
    def of(cls, weight: NDArray[np.float64]) -> WeightSums:
        """Return the sums over `weight` [n]."""
        sumw, sumw2, negative = 0.0, 0.0, 0
        with np.errstate(all="ignore"):  # infinite weights are refused elsewhere, with their entry
            for start in range(0, len(weight), _BLOCK):
                part = weight[start : start + _BLOCK]
                sumw, sumw2 = sumw + float(part.sum()), sumw2 + float(np.square(part).sum())
                negative += int((part < 0).sum())
        return cls(len(weight), sumw, sumw2, negative)

    @property
    def n_eff(self) -> float:
        """Effective number of events, sumw^2 / sumw2; 0 for none."""
        return effective_number(self.sumw, self.sumw2)

    @property
    def error(self) -> float:
        """Statistical error of the yield, sqrt(sumw2)."""
        return float(np.sqrt(self.sumw2))

    @property
    def negative_fraction(self) -> float | None:
        """Fraction of events with a negative weight; None without events."""
        return self.negative / self.entries if self.entries else None


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """A sample after the selection.

    entries: events in its files; sums: over the physical weights of its selected events; normalisation: the factor from
    the weight expression to the physical weight; sum_of_weights and cross_section (pb): None for data; cut_flow: events
    left after each part of the selection; duplicates: selected events whose key has occurred before; missing: number of
    selected events in which a feature is missing, by feature, and number of events that a condition rejects because it
    is missing (null) in them, by `condition_name`.
    """

    name: str
    class_: str | None
    domain: str
    entries: int
    sums: WeightSums
    normalisation: float
    sum_of_weights: float | None
    cross_section: float | None
    cut_flow: tuple[tuple[str, int], ...]
    duplicates: int
    missing: dict[str, int]

    def as_metrics(self) -> dict[str, Any]:
        """Return the sample's part of metrics.json."""
        return {
            "entries": self.entries,
            "selected": self.sums.entries,
            "yield": self.sums.sumw,
            "yield_error": self.sums.error,
            "n_eff": self.sums.n_eff,
            "negative_fraction": self.sums.negative_fraction,
        }


@dataclass(frozen=True, slots=True)
class Metadata:
    """What one file contains for the normalisation; None where it does not contain it or where it is not needed."""

    sum_of_weights: float | None
    cross_section: float | None


@dataclass(frozen=True, slots=True)
class Normalisation:
    """The normalisation of a sample.

    factor: the physical weight over the weight expression; sum_of_weights, cross_section (pb): what it was computed
    from, None where they are not used.
    """

    factor: float
    sum_of_weights: float | None = None
    cross_section: float | None = None


def normalisation_config(spec: DatasetSpec, name: str) -> NormalisationConfig | None:
    """Return where the files of a sample contain its normalisation: its own section, or the analysis's."""
    return spec.samples[name].normalisation or spec.normalisation


def metadata_of(
    spec: DatasetSpec, name: str, file: EventFile, tree: Tree | None, variables: Mapping[str, Expression]
) -> Metadata:
    """Return what a file contains for the normalisation of the sample `name`; nothing is read of data.

    Args:
        spec: what determines the table.
        name: the sample.
        file: the open file.
        tree: the tree of its events; None for the file of a job that selected none.
        variables: parsed variables of the sample, by name.

    Raises:
        SourceError: a tree, branch or histogram is not there.
        ExpressionError: a name in an expression is not there.

    """
    sample, section_of_file = spec.samples[name], normalisation_config(spec, name)
    wants_sum = not sample.is_data and sample.sum_of_weights == "file"
    wants_section = not sample.is_data and sample.cross_section is None
    if section_of_file is None or not (wants_sum or wants_section):
        return Metadata(None, None)
    total = None
    if wants_sum and section_of_file.events is not None:
        events = parse(section_of_file.events, "normalisation.events")
        total = 0.0 if tree is None else sum_over_events(tree, events, variables)
    elif wants_sum and section_of_file.histogram is not None:
        total = from_histogram(file, section_of_file.histogram, section_of_file.bin)
    names = [section_of_file.sum_of_weights] * (wants_sum and total is None) + [
        section_of_file.cross_section
    ] * wants_section
    columns = from_tree(file, section_of_file, names)
    if wants_sum and total is None:
        total = float(columns[section_of_file.sum_of_weights].sum())
    section = _agreed(columns[section_of_file.cross_section], file.path) if wants_section else None
    return Metadata(total, section)


def from_tree(file: EventFile, where: NormalisationConfig, texts: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return branches of the bookkeeping tree, or expressions of them, by their text: one number per entry each.

    Args:
        file: the open file.
        where: the section of the analysis file that names the tree.
        texts: the branches or expressions.

    Raises:
        SourceError: a branch is not there, or is not one number per entry.
        ExpressionError: an expression or a name in it is not valid.

    """
    if not texts:
        return {}
    try:
        tree = tree_of(file, file.path, where.tree)
        # A branch may have a name that cannot be written in an expression.
        parsed = {text: parse(text, "normalisation") for text in texts if text not in tree.names}
        columns = tree.read([*(text for text in texts if text in tree.names), *needed_names(parsed.values(), {})])
    except SourceError as error:
        keys = {where.sum_of_weights: "sum_of_weights", where.cross_section: "cross_section"}
        raise SourceError(
            f"{error} It is needed for the normalisation; see `normalisation`, or give the sample's "
            f"{' and '.join(keys[text] for text in texts)} in the analysis file."
        ) from error
    values_of = {}
    for text in texts:
        if text in parsed:
            check_names([parsed[text]], {}, tree.names, tree.path)
            values, gone = Evaluator(columns, {}, tree.entries).number(parsed[text])
        else:
            values, gone = columns[text].values.astype(np.float64), columns[text].missing
        if gone is not None and gone.any():
            entry = int(np.flatnonzero(gone)[0])
            raise SourceError(f"{file.path}: {where.tree}: {text} is missing in entry {entry}; it must be a number.")
        listed = text not in parsed and columns[text].offsets is not None
        if listed or len(values) == 0:
            raise SourceError(f"{file.path}: {where.tree}: {text} must be one number an entry, and at least one.")
        values_of[text] = values
    return values_of


def from_histogram(file: EventFile, name: str, number: int | None) -> float:
    """Return the content of a bin of the histograms of a name, or of all their bins.

    Args:
        file: the open file.
        name: the name of the histograms, or a pattern with *.
        number: the bin, from 1; None: all bins.

    Raises:
        SourceError: there is no such histogram or bin.

    """
    contents = file.do(f"the histogram {name!r}", lambda f: f.histogram(name))
    if number is None:
        return float(contents.sum())
    if number > contents.shape[-1]:
        raise SourceError(
            f"{file.path}: the histogram {name!r} has {contents.shape[-1]} bins, so none with the number {number}; "
            "see `normalisation.bin`."
        )
    return float(contents[..., number - 1].sum())


SPAN = 100_000
"""Number of entries that are summed at once."""


def sum_over_events(tree: Tree, expression: Expression, variables: Mapping[str, Expression]) -> float:
    """Return the sum of `expression` over every entry of `tree`.

    Args:
        tree: the tree.
        expression: what is summed.
        variables: parsed variables by name.

    Raises:
        ExpressionError: a name in the expression is not there, or it is not one number per event.
        SourceError: a branch cannot be read.
        DataError: the expression is missing or not finite in an entry.

    """
    check_names([expression], variables, tree.names, tree.path, tree.refused)
    expression = expression.in_file(tree.names)
    names = sorted(needed_names([expression], variables))
    total = 0.0
    for start in range(0, tree.entries, SPAN):
        stop = min(start + SPAN, tree.entries)

        def where(event: int, start: int = start) -> str:
            return f"entry {start + event} of {tree.path}"

        values, gone = Evaluator(tree.read(names, start, stop), variables, stop - start, where).number(expression)
        for bad, problem in ((gone, "is missing"), (~np.isfinite(values), "is not a finite number")):
            if bad is not None and bad.any():
                entry = start + int(np.flatnonzero(bad)[0])
                what = f"{expression.what} ({expression.text})"
                raise DataError(f"{tree.path}: {what} {problem} in entry {entry}.")
        total += float(values.sum())
    return total


def _agreed(values: NDArray[Any], path: str) -> float:
    low, high = float(np.min(values)), float(np.max(values))
    if not np.isfinite(low + high) or high - low > 1e-6 * abs(high):
        raise DataError(f"{path}: its cross sections differ: {low} to {high} pb; give the sample's own.")
    return high


def normalisation_of(spec: DatasetSpec, name: str, files: Sequence[Metadata]) -> Normalisation:
    """Return the factor from the weight expression to the physical weight; 1 for data.

    It is luminosity x cross section x k factor x filter efficiency x scale / sum of generated weights. The luminosity
    is the sample's own (that of its era), or the analysis's.

    Args:
        spec: what determines the table.
        name: the sample.
        files: the metadata of its files.

    Raises:
        DataError: the sum of weights or the cross section cannot be used for a normalisation.

    """
    sample = spec.samples[name]
    if sample.is_data:
        return Normalisation(1.0)
    corrections = sample.k_factor * sample.filter_efficiency * sample.scale
    if normalisation_config(spec, name) is None:
        return Normalisation(_usable(corrections, f"samples.{name}: k_factor x filter_efficiency x scale"))
    sums = [f.sum_of_weights for f in files if f.sum_of_weights is not None]
    total = sum(sums) if sample.sum_of_weights == "file" else sample.sum_of_weights
    sections = [f.cross_section for f in files if f.cross_section is not None]
    section = sample.cross_section
    if section is None:
        section = _agreed(np.asarray(sections), f"samples.{name}")
    if not np.isfinite(total) or total <= 0:
        raise DataError(f"samples.{name}: the sum of generated weights is {total}; it must be positive.")
    if section <= 0:
        raise DataError(f"samples.{name}: the cross section is {section} pb; it must be positive.")
    luminosity = sample.luminosity or spec.luminosity
    factor = luminosity * PB_IN_INVERSE_FB * section * corrections / total
    parts = f"{luminosity:g}/fb x {section:g} pb x corrections {corrections:g} / sum of weights {total:g}"
    return Normalisation(_usable(factor, f"samples.{name}: {parts}"), total, section)


def _usable(factor: float, what: str) -> float:
    """Return the factor from weights to events.

    Raises DataError, beginning with `what`, unless it is positive and finite.
    """
    if not 0 < factor < np.inf:
        raise DataError(f"{what} is {factor:g}, by which no event can be weighted; look at each of these numbers.")
    return factor


_KEYS = 2_000_000
"""Number of keys that are sorted at once."""


def duplicates(key: NDArray[np.uint64]) -> int:
    """Return how many of the events with these keys [n] come after one with the same key.

    np.unique would fill a hash table, which takes a hundred times the time of a sort and several times the memory.
    """
    repeated = 0
    for rows in rows_by_key(key):
        ordered = np.sort(key[rows])
        repeated += int(np.count_nonzero(ordered[1:] == ordered[:-1]))
    return repeated


def rows_by_key(key: NDArray[np.uint64]) -> Iterator[NDArray[np.int64]]:
    """Yield the rows [n] in parts, ascending, such that equal keys are in one part.

    Thus keys on disk are never all in memory. Keys are hashes, so equal ranges of them hold about as many events each.
    """
    parts = max(1, -(-len(key) // _KEYS))
    step = 2**64 // parts + 1
    for part in range(parts):
        low, high = np.uint64(part * step), np.uint64(min((part + 1) * step, 2**64) - 1)
        numbers = [np.zeros(0, np.int64)]
        for start in range(0, len(key), _BLOCK):
            block = key[start : start + _BLOCK]
            numbers.append(np.flatnonzero((block >= low) & (block <= high)) + start)
        yield np.concatenate(numbers)
