"""Columns of events: one number per event, or a list of numbers per event, some of them missing.

A list column keeps all its numbers in one flat array with offsets, as ROOT and awkward do, so that arithmetic is one
numpy call whatever the lengths. Numbers are bool, int64, uint64 or float64: float32 branches are widened, because the
terms in the mass of a light, fast pair cancel. A column in which nothing is missing has no mask, so that it needs no
extra time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Offsets = NDArray[np.int64]
Numbers = NDArray[Any]


class ValueProblem(Exception):  # noqa: N818 - becomes an ExpressionError where the place in the text is known
    """A value does not fit the operation; the evaluator adds the place in the expression."""


class UnevenLists(ValueProblem):
    """Lists that should have one length do not. event: the first such event, as a number in the chunk."""

    def __init__(self, event: int, first: int, second: int) -> None:
        self.event, self.lengths = event, (first, second)
        super().__init__(self.message(f"entry {event}"))

    def message(self, where: str) -> str:
        """Return the message; where: the text for the event."""
        first, second = self.lengths
        return f"lists have different lengths ({where}: {first} and {second} elements); apply the same mask to both"


@dataclass(frozen=True, slots=True)
class Column:
    """Numbers of n events.

    values: [n], or [offsets[-1]] if every event has a list; offsets: int64 [n + 1] or None; missing: bool, of the same
    length as values, or None if nothing is missing (values there are arbitrary). absent: for a branch of lists, bool
    [n]: events whose entire list is missing in the file (it is empty here), or None; columns that are made of
    others do not have it, see `Evaluator`.
    """

    values: Numbers
    offsets: Offsets | None = None
    missing: Bools | None = None
    absent: Bools | None = None
    _chosen: list[Any] = field(default_factory=list, compare=False, repr=False)

    def chosen(self) -> tuple[NDArray[np.int64], Offsets]:
        """Return which elements a mask of lists keeps: their flat index, and the offsets of the shorter lists.

        They are computed once: one mask cuts many columns, whose lists are then known to have the same lengths.
        """
        if not self._chosen:
            holds = self.values if self.missing is None else self.values & ~self.missing
            self._chosen.extend(kept_of(holds, self.offsets))
        index, offsets = self._chosen
        return index, offsets

    @property
    def jagged(self) -> bool:
        """Whether every event has a list."""
        return self.offsets is not None

    def take(self, index: NDArray[Any], offsets: Offsets | None, missing: Bools | None = None) -> Column:
        """Return the elements at `index` of the flat array, as a column with `offsets`.

        Args:
            index: positions in the flat array.
            offsets: the offsets of the new lists; None for one number per event.
            missing: elements that are missing in addition to those that are missing in this column.

        """
        gone = self.missing[index] if self.missing is not None else None
        return Column(self.values[index], offsets, either(gone, missing))


class Vectors:
    """Four-vectors of n events: one per event, or a list per event.

    Components are [m], in GeV; offsets and missing are as in Column. Elements that are taken from other vectors are
    gathered component by component, when one is needed: a sort and then a choice need one index each, not seven arrays.
    """

    def __init__(
        self,
        px: Floats,
        py: Floats,
        pz: Floats,
        energy: Floats,
        offsets: Offsets | None = None,
        missing: Bools | None = None,
    ) -> None:
        self.offsets, self.missing = offsets, missing
        self.cache: dict[str, Any] = {}
        """What kinematics has computed for these vectors: many features use the same pairs."""
        self._components: dict[str, Floats] = {"px": px, "py": py, "pz": pz, "energy": energy}
        self._root: Vectors | None = None
        self._index: NDArray[Any] = np.zeros(0, dtype=np.int64)

    @classmethod
    def of(cls, parts: Iterable[Numbers], offsets: Offsets | None, missing: Bools | None) -> Vectors:
        """Return four-vectors made of px, py, pz, energy in this order."""
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
        """Return four-vectors made of collider coordinates; E = sqrt(p^2 + m^2)."""
        px, py = from_polar(pt, phi)
        pz = pt * np.sinh(eta)
        energy = np.sqrt(pt * pt + pz * pz + mass * mass)
        vectors = cls(px, py, pz, energy, offsets, missing)
        vectors._components.update(pt=pt, eta=eta, angle=phi)  # known, so not computed a second time
        return vectors

    def __len__(self) -> int:
        return len(self._components["px"]) if self._root is None else len(self._index)

    @property
    def jagged(self) -> bool:
        """Whether every event has a list."""
        return self.offsets is not None

    def component(self, name: str) -> Floats:
        """Return px, py, pz, energy, pt, eta, phi, momentum or mass of every element, [m]."""
        if name not in self._components:
            root = self._root
            if root is not None and name in root._components:
                self._components[name] = root._components[name][self._index]
            else:
                self._components[name] = _DERIVED[name](self)
        return self._components[name]

    px = property(lambda self: self.component("px"))
    py = property(lambda self: self.component("py"))
    pz = property(lambda self: self.component("pz"))
    energy = property(lambda self: self.component("energy"))

    @property
    def pt(self) -> Floats:
        """Transverse momentum, GeV."""
        return self.component("pt")

    @property
    def eta(self) -> Floats:
        """Pseudorapidity; infinite along the beam."""
        return self.component("eta")

    @property
    def angle(self) -> Floats:
        """Azimuth as it was given, which may be outside [-pi, pi]: for differences, which are brought there anyway."""
        return self.component("angle")

    @property
    def phi(self) -> Floats:
        """Azimuth in [-pi, pi]."""
        return self.component("phi")

    @property
    def momentum(self) -> Floats:
        """Absolute momentum, GeV."""
        return self.component("momentum")

    @property
    def mass(self) -> Floats:
        """Invariant mass, GeV; 0 where rounding makes its square negative."""
        return self.component("mass")

    def take(self, index: NDArray[Any], offsets: Offsets | None, missing: Bools | None = None) -> Vectors:
        """Return the elements at `index` of the flat arrays, with `offsets`; arguments as of `Column.take`."""
        gone = self.missing[index] if self.missing is not None else None
        selected = Vectors.__new__(Vectors)
        selected.offsets, selected.missing = offsets, either(gone, missing)
        selected.cache, selected._components = {}, {}
        selected._root = self if self._root is None else self._root
        selected._index = index if self._root is None else self._index[index]
        return selected


def from_polar(pt: Floats, phi: Floats) -> tuple[Floats, Floats]:
    """Return x and y of polar coordinates, by the tangent of phi / 2.

    numpy has a fast tangent of float64, but no fast sine.
    """
    half = np.tan(0.5 * phi)
    square = half * half
    scale = pt / (1.0 + square)
    return (1.0 - square) * scale, 2.0 * half * scale


_DERIVED: dict[str, Callable[[Vectors], Floats]] = {
    "pt": lambda v: np.asarray(np.sqrt(v.px * v.px + v.py * v.py)),
    "eta": lambda v: np.asarray(np.arcsinh(v.pz / v.pt)),
    "angle": lambda v: np.asarray(np.arctan2(v.py, v.px)),
    "phi": lambda v: wrap(v.angle),
    "momentum": lambda v: np.asarray(np.sqrt(v.px * v.px + v.py * v.py + v.pz * v.pz)),
    "mass": lambda v: np.asarray(
        np.sqrt(np.maximum(v.energy * v.energy - v.px * v.px - v.py * v.py - v.pz * v.pz, 0.0))
    ),
}


def wrap(phi: Floats) -> Floats:
    """Return an angle brought to [-pi, pi]."""
    return np.asarray(phi - 2 * np.pi * np.rint(phi / (2 * np.pi)))


Number = bool | int | float
Value = Number | Column | Vectors


def either(first: Bools | None, second: Bools | None) -> Bools | None:
    """Return a mask that is true where one of the two is; None means that nothing is missing."""
    if first is None or second is None:
        return second if first is None else first
    return first | second


def counts(offsets: Offsets) -> Offsets:
    """Return the lengths of the lists, [n]."""
    return np.asarray(offsets[1:] - offsets[:-1])


def owners(offsets: Offsets) -> Offsets:
    """Return the event that each element belongs to, [offsets[-1]]."""
    return np.repeat(np.arange(len(offsets) - 1), counts(offsets))


def offsets_of(lengths: NDArray[np.integer[Any]]) -> Offsets:
    """Return the offsets of lists with these lengths."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


@dataclass(frozen=True, slots=True)
class Ranked:
    """Lists by falling length, so that those with an element j are the first ones: no padding, no gaps.

    order: int [n], the list at each place; places[j]: flat index of element j of each list that has it.
    """

    order: NDArray[np.int64]
    places: list[NDArray[np.int64]]

    @property
    def size(self) -> int:
        """Number of elements of the longest list."""
        return len(self.places)

    def unsorted(self, values: Numbers, filler: Any) -> Numbers:
        """Return values [m] of the first m lists by length in the order of the file, [n]; `filler` for the others."""
        out = np.full(len(self.order), filler, dtype=values.dtype)
        out[self.order[: len(values)]] = values
        return out


def ranked(offsets: Offsets) -> Ranked:
    """Return the lists by falling length."""
    lengths = counts(offsets)
    size = int(lengths.max(initial=0))
    # numpy sorts 16 bits by radix; equal lengths keep their order.
    order = np.argsort((size - lengths).astype(np.uint16 if size < 2**16 else np.int64), kind="stable")
    starts = offsets[:-1][order]
    longer = len(lengths) - np.cumsum(np.bincount(lengths, minlength=size + 1))
    return Ranked(order, [starts[: longer[j]] + j for j in range(size)])


def reduce_lists(ufunc: np.ufunc, values: Numbers, offsets: Offsets, empty: Any) -> Numbers:
    """Return `ufunc.reduce` of each list, [n]; `empty` for lists without elements."""
    # reduceat gives other results for empty segments; the starts of the others cover the array without gaps.
    filled = offsets[1:] > offsets[:-1]
    if filled.all() and len(values):
        return np.asarray(ufunc.reduceat(values, offsets[:-1]))
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
    """Return a list column without its missing elements."""
    if column.offsets is None or column.missing is None:
        return column
    shorter = filter_lists(column, ~column.missing)
    if isinstance(shorter, Vectors):
        shorter.missing = None
        return shorter
    return Column(shorter.values, shorter.offsets)


def widen(values: Numbers) -> Numbers:
    """Return the same numbers as bool, int64, uint64 or float64.

    Raises:
        ValueProblem: the array holds anything else.

    """
    kind = values.dtype.kind
    if kind == "b" or values.dtype in (np.dtype("i8"), np.dtype("u8"), np.dtype("f8")):
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    if kind in "iu":
        return values.astype(np.int64)
    if kind == "f":
        return values.astype(np.float64)
    raise ValueProblem(f"holds {values.dtype}, not numbers")


def pick(column: Column | Vectors, position: int) -> Column | Vectors:
    """Return the element at `position` of each list (from the end if negative); missing where there is none."""
    offsets = column.offsets
    if offsets is None:
        raise ValueProblem("is one number per event, so it has no elements to pick")
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
    """Return a Python slice of each list; the step must be positive."""
    offsets = column.offsets
    if offsets is None:
        raise ValueProblem("is one number per event, so it cannot be sliced")
    if step is not None and step < 1:
        raise ValueProblem("is sliced with a step below 1; use sort() to reverse an order")
    lengths = counts(offsets)
    low = np.zeros_like(lengths) if start is None else np.maximum(lengths + start, 0) if start < 0 else start
    high = lengths if stop is None else np.minimum(lengths, stop) if stop >= 0 else lengths + stop
    stride = 1 if step is None else step
    new_offsets = offsets_of(np.maximum(-(-(high - low) // stride), 0))
    local = np.arange(int(new_offsets[-1])) - np.repeat(new_offsets[:-1], counts(new_offsets))
    return column.take(np.repeat(offsets[:-1] + low, counts(new_offsets)) + stride * local, new_offsets)


def filter_lists(column: Column | Vectors, keep: Bools) -> Column | Vectors:
    """Return the elements of each list where `keep` [offsets[-1]] holds."""
    return column.take(*kept_of(keep, column.offsets))


def kept_of(keep: Bools, offsets: Offsets | None) -> tuple[NDArray[np.int64], Offsets]:
    """Return the flat index of the elements where `keep` [offsets[-1]] holds, and the offsets of the shorter lists."""
    if offsets is None:
        raise ValueProblem("is one value per event, so it has no elements to choose from")
    running = np.zeros(len(keep) + 1, dtype=np.int64)
    np.cumsum(keep, out=running[1:])
    return np.flatnonzero(keep), running[offsets]


def align(*values: Number | Column) -> tuple[list[Numbers], Offsets | None, Bools | None]:
    """Return arrays of one length, their common offsets and what is missing.

    One number per event is repeated for the list of the event.

    Raises:
        ValueProblem: lists differ in length.

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
    """Return `first` if both have lists of the same lengths.

    Raises:
        ValueProblem: they do not; the message names an event.

    """
    if first is second or np.array_equal(first, second):
        return first
    event = int(np.flatnonzero(counts(first) != counts(second))[0])
    raise UnevenLists(event, int(counts(first)[event]), int(counts(second)[event]))
