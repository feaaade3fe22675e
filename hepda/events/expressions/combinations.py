"""Lists of pairs and triplets, and quantities between four-vectors (frames and angles, by the package vector)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.events.expressions.columns import (
    Column,
    Offsets,
    Value,
    ValueProblem,
    Vectors,
    align,
    counts,
    offsets_of,
    owners,
)
from hepda.events.expressions.kinematics import MAX_PAIR_OBJECTS, MAX_TRIPLET_OBJECTS

MAX_COMBINATIONS = 20_000_000
"""Largest number in one chunk of events: more than 1000 pairs in each of 16,000 events."""
_MOST = {2: MAX_PAIR_OBJECTS, 3: MAX_TRIPLET_OBJECTS}


def combination(size: int, place: int) -> Callable[[Value], Value]:
    """Return a function that takes element `place` of each combination of `size` elements of a list, per event.

    Combinations are ordered by their last element, then by the one before it: (0, 1), (0, 2), (1, 2), (0, 3), ... The
    order is the same for every list of these lengths, so that `pair_first(jets)` and `pair_second(jet_b)` are of the
    same pairs.

    Args:
        size: number of elements in a combination, 2 or 3.
        place: which of these elements is taken, from 0.

    """

    def compute(value: Value) -> Value:
        index, offsets = _combinations(_offsets(value), size)
        return _list(value).take(index[place], offsets)

    return compute


def _combinations(offsets: Offsets, size: int) -> tuple[list[NDArray[np.int64]], Offsets]:
    """Return the flat positions of each member of the combinations of each list, and the combinations' offsets."""
    lengths = counts(offsets)
    widest = int(lengths.max(initial=0))
    if widest > _MOST[size]:
        raise ValueProblem(
            f"an event has {widest} objects; combinations of {size} are formed of {_MOST[size]} at most: "
            "take the leading ones, as in jets[:12]"
        )
    local = _local(widest, size)
    # Combinations whose last member is below n come first: those of a list of n elements are the head of the table.
    number = np.searchsorted(local[-1], np.arange(widest + 1))[lengths]
    new_offsets = offsets_of(number)
    within = _within(number, new_offsets)
    start = np.repeat(offsets[:-1], number)
    return [start + row[within] for row in local], new_offsets


def _within(number: NDArray[np.int64], offsets: Offsets) -> NDArray[np.int64]:
    """Return the rank of each combination within its event. Raises ValueProblem if there are too many."""
    if offsets[-1] > MAX_COMBINATIONS:
        raise ValueProblem(f"makes {offsets[-1]} combinations at once; take the leading objects, as in jets[:12]")
    return np.arange(int(offsets[-1])) - np.repeat(offsets[:-1], number)


def _list(value: Value) -> Column | Vectors:
    if not isinstance(value, Column | Vectors) or value.offsets is None:
        raise ValueProblem("needs a list per event")
    return value


def _offsets(value: Value) -> Offsets:
    offsets = _list(value).offsets
    return np.zeros(1, dtype=np.int64) if offsets is None else offsets


def _local(widest: int, size: int) -> list[NDArray[np.int64]]:
    """Return all combinations of range(widest), [size][number].

    They are ordered by their last member, then by the one before it.
    """
    members = np.indices((widest,) * size).reshape(size, -1)
    chosen = members[:, np.all(np.diff(members, axis=0) > 0, axis=0)]
    return list(chosen[:, np.lexsort(chosen)].astype(np.int64))


def cross(place: int) -> Callable[[Value, Value], Value]:
    """Return a function that takes a member of each pair of an element of one list and one of another.

    Args:
        place: the member: 0 from the first list, 1 from the second.

    """

    def compute(first: Value, second: Value) -> Value:
        a, b = _offsets(first), _offsets(second)
        number = counts(a) * counts(b)
        offsets = offsets_of(number)
        within = _within(number, offsets)
        event = owners(offsets)
        inner = counts(b)[event]
        if place == 0:
            return _list(first).take(a[:-1][event] + within // np.maximum(inner, 1), offsets)
        return _list(second).take(b[:-1][event] + within % np.maximum(inner, 1), offsets)

    return compute


def _momentum(vectors: Vectors) -> Any:
    """Return four-vectors as an array of the package vector."""
    import vector

    return vector.array({"px": vectors.px, "py": vectors.py, "pz": vectors.pz, "E": vectors.energy})


def vectors_of(value: Value) -> Vectors:
    """Return the value if it is four-vectors.

    Raises:
        ValueProblem: it is anything else.

    """
    if not isinstance(value, Vectors):
        raise ValueProblem("needs four-vectors: p4(pt, eta, phi, mass)")
    return value


def component(name: str) -> Callable[[Value], Column]:
    """Return a function that computes a property of vector's Momentum4D for each four-vector."""

    def compute(value: Value) -> Column:
        vectors = vectors_of(value)
        values = np.asarray(getattr(_momentum(vectors), name), dtype=np.float64)
        return Column(values, vectors.offsets, vectors.missing)

    return compute


def _aligned(first: Vectors, second: Vectors) -> tuple[Vectors, Vectors]:
    """Return both with the same lists: one vector per event is repeated for a list."""
    sizes = [Column(np.arange(len(v.px)), v.offsets, v.missing) for v in (first, second)]
    (left, right), offsets, missing = align(*sizes)
    return first.take(left, offsets, missing), second.take(right, offsets, missing)


def angle(name: str) -> Callable[[Value, Value], Column]:
    """Return a function that calls a method of vector's Momentum4D with another one, e.g. deltaangle."""

    def compute(first: Value, second: Value) -> Column:
        a, b = _aligned(vectors_of(first), vectors_of(second))
        values = np.asarray(getattr(_momentum(a), name)(_momentum(b)), dtype=np.float64)
        return Column(values, a.offsets, a.missing)

    return compute


def in_frame(value: Value, frame: Value) -> Vectors:
    """Return four-vectors as seen in the rest frame of `frame`."""
    a, b = _aligned(vectors_of(value), vectors_of(frame))
    moved = _momentum(a).boostCM_of_p4(_momentum(b))
    return Vectors.of([np.asarray(part) for part in (moved.px, moved.py, moved.pz, moved.E)], a.offsets, a.missing)


ENTRIES: tuple[tuple[str, str, Callable[..., Value]], ...] = (
    *((name, "vectors", component(property_name)) for name, property_name in (
        ("rapidity", "rapidity"), ("theta", "theta"), ("cos_theta", "costheta"), ("et", "Et"), ("mt", "Mt"),
        ("beta", "beta"), ("gamma", "gamma"),
    )),
    ("delta_angle", "vectors, vectors", angle("deltaangle")),
    ("in_frame", "vectors, frame", in_frame),
    *((f"pair_{name}", "list", combination(2, place)) for place, name in enumerate(("first", "second"))),
    *((f"triplet_{name}", "list", combination(3, place)) for place, name in enumerate(("first", "second", "third"))),
    *((f"cross_{name}", "list, list", cross(place)) for place, name in enumerate(("first", "second"))),
)  # fmt: skip
"""Name, arguments and function, for the table of hepda.events.expressions.functions."""
