"""Columns of events: one number an event, or a list of numbers an event, some of them missing.

A list column keeps all its numbers in one flat array with offsets, as ROOT and awkward do, so that arithmetic
is one numpy call whatever the lengths. Numbers are bool, int64, uint64 or float64: float32 branches are
widened, because masses of light, fast pairs cancel.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Offsets = NDArray[np.int64]
Numbers = NDArray[Any]


class ValueProblem(Exception):  # noqa: N818 - becomes an ExpressionError where the place in the text is known
    """A value does not fit the operation; the evaluator adds where in the expression."""


@dataclass(frozen=True, slots=True)
class Column:
    """Numbers of n events.

    values: [n], or [offsets[-1]] if every event has a list; offsets: int64 [n + 1] or None;
    missing: bool, as long as values, or None if nothing is missing (values there are arbitrary).
    """

    values: Numbers
    offsets: Offsets | None = None
    missing: Bools | None = None

    @property
    def jagged(self) -> bool:
        """Whether every event has a list."""
        return self.offsets is not None

    def take(self, index: NDArray[Any], offsets: Offsets | None, missing: Bools | None = None) -> Column:
        """Elements at `index` of the flat array, as a column with `offsets`."""
        gone = self.missing[index] if self.missing is not None else None
        return Column(self.values[index], offsets, either(gone, missing))


@dataclass(frozen=True)
class Vectors:
    """Four-vectors of n events: one each, or a list each. Components [m] in GeV; as Column otherwise."""

    px: Floats
    py: Floats
    pz: Floats
    energy: Floats
    offsets: Offsets | None = None
    missing: Bools | None = None
    cache: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What kinematics has worked out for these vectors: one variable's pairs serve many features."""

    @classmethod
    def of(cls, parts: Iterable[Numbers], offsets: Offsets | None, missing: Bools | None) -> Vectors:
        """Four-vectors from px, py, pz, energy in this order."""
        px, py, pz, energy = parts
        return cls(px, py, pz, energy, offsets, missing)

    @classmethod
    def from_pt_eta_phi_mass(
        cls,
        pt: Floats,
        eta: Floats,
        phi: Floats,
        mass: Floats,
        offsets: Offsets | None = None,
        missing: Bools | None = None,
    ) -> Vectors:
        """Four-vectors from collider coordinates; E = sqrt(p^2 + m^2)."""
        px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
        energy = np.sqrt(px * px + py * py + pz * pz + mass * mass)
        made = cls(px, py, pz, energy, offsets, missing)
        made.__dict__.update(pt=pt, eta=eta, phi=wrap(phi))  # known, so not worked out a second time
        return made

    @property
    def jagged(self) -> bool:
        """Whether every event has a list."""
        return self.offsets is not None

    @cached_property
    def pt(self) -> Floats:
        """Transverse momentum, GeV."""
        return np.hypot(self.px, self.py)

    @cached_property
    def eta(self) -> Floats:
        """Pseudorapidity; infinite along the beam."""
        return np.arcsinh(self.pz / self.pt)

    @cached_property
    def phi(self) -> Floats:
        """Azimuth in (-pi, pi]."""
        return np.arctan2(self.py, self.px)

    @cached_property
    def momentum(self) -> Floats:
        """Absolute momentum, GeV."""
        return np.sqrt(self.px**2 + self.py**2 + self.pz**2)

    @cached_property
    def mass(self) -> Floats:
        """Invariant mass, GeV; 0 where rounding makes its square negative."""
        return np.sqrt(np.maximum(self.energy**2 - self.px**2 - self.py**2 - self.pz**2, 0.0))

    def take(self, index: NDArray[Any], offsets: Offsets | None, missing: Bools | None = None) -> Vectors:
        """Elements at `index` of the flat arrays, with `offsets`."""
        gone = self.missing[index] if self.missing is not None else None
        parts = (part[index] for part in (self.px, self.py, self.pz, self.energy))
        taken = Vectors.of(parts, offsets, either(gone, missing))
        for name in ("pt", "eta", "phi", "momentum"):
            if name in self.__dict__:
                taken.__dict__[name] = self.__dict__[name][index]
        return taken


def wrap(phi: Floats) -> Floats:
    """An angle brought to [-pi, pi]."""
    return np.asarray(phi - 2 * np.pi * np.rint(phi / (2 * np.pi)))


Number = bool | int | float
Value = Number | Column | Vectors


def either(first: Bools | None, second: Bools | None) -> Bools | None:
    """Missing where one of them is."""
    if first is None or second is None:
        return second if first is None else first
    return first | second


def counts(offsets: Offsets) -> Offsets:
    """Lengths of the lists, [n]."""
    return np.diff(offsets)


def owners(offsets: Offsets) -> Offsets:
    """Which event each element belongs to, [offsets[-1]]."""
    return np.repeat(np.arange(len(offsets) - 1), counts(offsets))


def offsets_of(lengths: NDArray[np.integer[Any]]) -> Offsets:
    """Offsets from lengths."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def reduce_lists(ufunc: np.ufunc, values: Numbers, offsets: Offsets, empty: Any) -> Numbers:
    """`ufunc.reduce` of each list, [n]; `empty` for lists without elements."""
    # reduceat has its own idea of empty segments; the starts of the others cover the array without gaps.
    filled = counts(offsets) > 0
    reduced = np.full(len(filled), empty, dtype=values.dtype)
    if len(values):
        reduced[filled] = ufunc.reduceat(values, offsets[:-1][filled])
    return reduced


@overload
def drop_missing(column: Column) -> Column: ...
@overload
def drop_missing(column: Vectors) -> Vectors: ...
@overload
def drop_missing(column: Column | Vectors) -> Column | Vectors: ...
def drop_missing(column: Column | Vectors) -> Column | Vectors:
    """A list column without its missing elements."""
    if column.offsets is None or column.missing is None:
        return column
    shorter = filter_lists(column, ~column.missing)
    if isinstance(shorter, Vectors):
        object.__setattr__(shorter, "missing", None)
        return shorter
    return Column(shorter.values, shorter.offsets)


def widen(values: Numbers) -> Numbers:
    """The same numbers as bool, int64, uint64 or float64. Raises ValueProblem for anything else."""
    kind = values.dtype.kind
    if kind == "b" or values.dtype in (np.dtype("i8"), np.dtype("u8"), np.dtype("f8")):
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    if kind in "iu":
        return values.astype(np.int64)
    if kind == "f":
        return values.astype(np.float64)
    raise ValueProblem(f"holds {values.dtype}, not numbers")


def pick(column: Column | Vectors, position: int) -> Column | Vectors:
    """The element at `position` of each list (from the end if negative); missing where there is none."""
    offsets = column.offsets
    if offsets is None:
        raise ValueProblem("is one number an event, so it has no elements to pick")
    lengths = counts(offsets)
    index = (offsets[:-1] if position >= 0 else offsets[1:]) + position
    absent = lengths <= position if position >= 0 else lengths < -position
    total = int(offsets[-1])
    if total == 0:
        return _nothing(column, len(lengths))
    index = np.where(absent, 0, index)
    return column.take(index, None, absent if absent.any() else None)


def _nothing(column: Column | Vectors, n: int) -> Column | Vectors:
    if isinstance(column, Vectors):
        zeros = np.zeros(n)
        return Vectors(zeros, zeros, zeros, zeros, None, np.ones(n, bool))
    return Column(np.zeros(n, column.values.dtype), None, np.ones(n, bool))


def slice_lists(column: Column | Vectors, start: int | None, stop: int | None, step: int | None) -> Any:
    """A Python slice of each list; the step must be positive."""
    offsets = column.offsets
    if offsets is None:
        raise ValueProblem("is one number an event, so it cannot be sliced")
    if step is not None and step < 1:
        raise ValueProblem("is sliced with a step below 1; use sort() to reverse an order")
    lengths = counts(offsets)
    local = np.arange(int(offsets[-1])) - np.repeat(offsets[:-1], lengths)
    size = np.repeat(lengths, lengths)
    first = 0 if start is None else start
    low = np.maximum(size + first, 0) if first < 0 else np.full_like(size, first)
    keep = local >= low
    if stop is not None:
        keep &= local < (size + stop if stop < 0 else stop)
    if step is not None:
        keep &= (local - low) % step == 0
    return filter_lists(column, keep)


def filter_lists(column: Column | Vectors, keep: Bools) -> Column | Vectors:
    """Elements of each list where `keep` [offsets[-1]] holds."""
    if column.offsets is None:
        raise ValueProblem("is one an event, so it has no elements to choose from")
    index = np.flatnonzero(keep)
    return column.take(index, np.searchsorted(index, column.offsets).astype(np.int64, copy=False))


def align(*values: Number | Column) -> tuple[list[Numbers], Offsets | None, Bools | None]:
    """Arrays of one length, their common offsets and what is missing; one an event is repeated for its list.

    Raises ValueProblem if lists differ in length.
    """
    offsets: Offsets | None = None
    for value in values:
        if isinstance(value, Column) and value.offsets is not None:
            offsets = value.offsets if offsets is None else same_lists(offsets, value.offsets)
    arrays: list[Numbers] = []
    missing: Bools | None = None
    for value in values:
        if not isinstance(value, Column):
            arrays.append(np.asarray(value))
            continue
        repeat = counts(offsets) if offsets is not None and value.offsets is None else None
        arrays.append(value.values if repeat is None else np.repeat(value.values, repeat))
        if value.missing is not None:
            gone = value.missing if repeat is None else np.repeat(value.missing, repeat)
            missing = either(missing, gone)
    return arrays, offsets, missing


def same_lists(first: Offsets, second: Offsets) -> Offsets:
    """`first`, if both have lists of the same lengths. Raises ValueProblem, naming an event, if not."""
    if first is second or np.array_equal(first, second):
        return first
    event = int(np.flatnonzero(counts(first) != counts(second))[0])
    raise ValueProblem(
        f"lists of different lengths meet (entry {event}: {counts(first)[event]} and {counts(second)[event]} "
        "elements); apply the same mask to both"
    )
