"""Event variables of lists of four-vectors: pairs, triplets, event shapes. Vectorised over events.

Events are sorted once by the number of their objects. Object j of all events that have one is then a contiguous array,
and the loop over pairs (i, j) does exactly the arithmetic that the pairs need: no padding, no Python loop over events,
no list of combinations. The layout and the pairs are kept in `Vectors.cache`.

Each function takes Vectors with lists (missing elements dropped) and returns a Column of n events, missing where an
event has too few objects. Units: GeV and radians.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from hepda.events.expressions.columns import (
    Column,
    Floats,
    Offsets,
    Ranked,
    ValueProblem,
    Vectors,
    drop_missing,
    ranked,
    reduce_lists,
    wrap,
)

MAX_PAIR_OBJECTS = 60
MAX_TRIPLET_OBJECTS = 24

Pairs = dict[tuple[int, int], Floats]


@dataclass(frozen=True, slots=True)
class Layout:
    """Object j of every event that has more than j objects, events ordered by falling number of objects.

    lists: the events by number of objects; pairs: what was computed for pairs of them, by quantity.
    """

    vectors: Vectors
    lists: Ranked
    pairs: dict[str, Pairs]
    columns: dict[str, list[Floats]]

    @property
    def size(self) -> int:
        """Number of objects of the event that has the most."""
        return self.lists.size

    def component(self, name: str) -> list[Floats]:
        """Return a component (see Vectors) of object j, by j: [number of events with > j objects] each."""
        if name not in self.columns:
            values = self.vectors.component(name)
            self.columns[name] = [values[at] for at in self.lists.places]
        return self.columns[name]


def lists_of(vectors: Vectors) -> tuple[Vectors, Offsets]:
    """Return the vectors without missing ones, and their offsets.

    Raises:
        ValueProblem: there is one vector per event, not a list.

    """
    full = drop_missing(vectors)
    if full.offsets is None:
        raise ValueProblem("needs a list of four-vectors per event, not one")
    return full, full.offsets


def layout(vectors: Vectors) -> Layout:
    """Return the layout of `vectors`, which is computed once.

    Raises:
        ValueProblem: there is one vector per event, not a list.

    """
    if "layout" not in vectors.cache:
        full, offsets = lists_of(vectors)
        vectors.cache["layout"] = Layout(full, ranked(offsets), {}, {})
    stored: Layout = vectors.cache["layout"]
    return stored


def _pair_indices(table: Layout) -> Iterator[tuple[int, int]]:
    if table.size > MAX_PAIR_OBJECTS:
        raise ValueProblem(f"an event has {table.size} objects; pairs are formed of {MAX_PAIR_OBJECTS} at most")
    return ((i, j) for j in range(1, table.size) for i in range(j))


def _pairs(vectors: Vectors, quantity: str) -> tuple[Layout, Pairs]:
    """Return the `quantity` of all pairs: {(i, j): [events with > j objects]}."""
    table = layout(vectors)
    if quantity not in table.pairs:
        compute = _QUANTITIES[quantity]
        table.pairs[quantity] = {(i, j): compute(table, i, j) for i, j in _pair_indices(table)}
    return table, table.pairs[quantity]


def _heads(table: Layout, names: Sequence[str], i: int, j: int) -> Iterator[tuple[Floats, Floats]]:
    """Yield components of object i and of object j > i, for the events that have both."""
    for name in names:
        values = table.component(name)
        yield values[i][: len(values[j])], values[j]


def _mass2(table: Layout, i: int, j: int) -> Floats:
    """Return the squared invariant mass, (E_i + E_j)^2 - (p_i + p_j)^2."""
    total, *momenta = (np.square(a + b) for a, b in _heads(table, ("energy", "px", "py", "pz"), i, j))
    for momentum in momenta:
        total -= momentum
    return total


def _delta_r2(table: Layout, i: int, j: int) -> Floats:
    ((eta_i, eta_j), (phi_i, phi_j)) = _heads(table, ("eta", "angle"), i, j)
    deta, dphi = eta_i - eta_j, wrap(phi_i - phi_j)
    return np.asarray(deta * deta + dphi * dphi)


def _delta_eta(table: Layout, i: int, j: int) -> Floats:
    ((a, b),) = _heads(table, ("eta",), i, j)
    return np.abs(a - b)


def _delta_phi(table: Layout, i: int, j: int) -> Floats:
    ((a, b),) = _heads(table, ("angle",), i, j)
    return np.abs(wrap(a - b))


def _pt2(table: Layout, i: int, j: int) -> Floats:
    x, y = (np.square(a + b) for a, b in _heads(table, ("px", "py"), i, j))
    return np.asarray(x + y)


def _cosine(table: Layout, i: int, j: int) -> Floats:
    """Return the cosine of the angle in space."""
    x, y, z, norm = (a * b for a, b in _heads(table, ("px", "py", "pz", "momentum"), i, j))
    return np.asarray(np.clip((x + y + z) / norm, -1.0, 1.0))


_QUANTITIES: dict[str, Callable[[Layout, int, int], Floats]] = {
    "mass2": _mass2,
    "delta_r2": _delta_r2,
    "delta_eta": _delta_eta,
    "delta_phi": _delta_phi,
    "pt2": _pt2,
    "cosine": _cosine,
}


def _scatter(table: Layout, values: Floats) -> Column:
    """Return values of the first len(values) events of the layout in the order of the file."""
    out = table.lists.unsorted(values, 0.0)
    if len(values) == len(out):
        return Column(out)
    return Column(out, None, table.lists.unsorted(np.zeros(len(values), dtype=bool), True))


def _active(table: Layout, objects: int) -> int:
    """Return the number of events with at least `objects` objects."""
    return len(table.lists.places[objects - 1]) if table.size >= objects else 0


def pair_minimum(vectors: Vectors, quantity: str) -> Column:
    """Return the smallest `quantity` (mass2, delta_r2, delta_eta, delta_phi, pt2, cosine) of an event's pairs."""
    return _pair_extreme(vectors, quantity, np.minimum, np.inf)


def pair_maximum(vectors: Vectors, quantity: str) -> Column:
    """Return the largest `quantity` of an event's pairs."""
    return _pair_extreme(vectors, quantity, np.maximum, -np.inf)


def _pair_extreme(vectors: Vectors, quantity: str, ufunc: np.ufunc, start: float) -> Column:
    table, pairs = _pairs(vectors, quantity)
    best = np.full(_active(table, 2), start)
    for values in pairs.values():
        head = best[: len(values)]
        ufunc(head, values, out=head)
    return _scatter(table, best)


def pair_mean(vectors: Vectors, quantity: str, transform: Callable[[Floats], Floats]) -> Column:
    """Return the mean over an event's pairs of transform(quantity), e.g. of sqrt(delta_r2)."""
    table, pairs = _pairs(vectors, quantity)
    total = np.zeros(_active(table, 2))
    number = np.zeros(len(total))
    for values in pairs.values():
        total[: len(values)] += transform(values)
        number[: len(values)] += 1.0
    return _scatter(table, total / number)


def pair_of_smallest(vectors: Vectors, key: str, value: str, target: float | None = None) -> Column:
    """Return `value` of the pair with the smallest `key`, or with sqrt(key) nearest to `target`."""
    table, keys = _pairs(vectors, key)
    _, values = _pairs(vectors, value)
    best = _Best(_active(table, 2))
    for index, numbers in keys.items():
        distance = numbers if target is None else np.abs(_root(numbers) - target)
        best.offer(distance, values[index])
    return _scatter(table, best.value)


class _Best:
    """For each event of a layout, the value that came with the smallest key so far."""

    def __init__(self, events: int) -> None:
        self.key = np.full(events, np.inf)
        self.value = np.zeros(events)

    def offer(self, key: Floats, value: Floats) -> None:
        m = len(key)
        better = key < self.key[:m]
        np.fmin(key, self.key[:m], out=self.key[:m])
        self.value[:m] = np.where(better, value, self.value[:m])


def _root(squares: Floats) -> Floats:
    return np.sqrt(np.maximum(squares, 0.0))


def triplet_mass(vectors: Vectors, target: float | None = None) -> Column:
    """Return the invariant mass of the triplet whose mass is nearest to `target`.

    Without target, it is that of the triplet whose vector sum has the largest pt (the hadronic top candidate called
    M3).
    """
    table, mass2 = _pairs(vectors, "mass2")
    if table.size > MAX_TRIPLET_OBJECTS:
        raise ValueProblem(
            f"an event has {table.size} objects; triplets are formed of {MAX_TRIPLET_OBJECTS} at most: "
            "take the leading ones, as in jets[:12]"
        )
    energy, momentum, x, y = (table.component(name) for name in ("energy", "momentum", "px", "py"))
    own_mass2 = [e * e - p * p for e, p in zip(energy, momentum, strict=True)]
    best = _Best(_active(table, 3))
    for k in range(2, table.size):
        m = len(x[k])
        for i, j in combinations(range(k), 2):
            # m_ijk^2 = m_ij^2 + m_ik^2 + m_jk^2 - m_i^2 - m_j^2 - m_k^2
            cube = mass2[i, j][:m] + mass2[i, k] + mass2[j, k] - own_mass2[i][:m] - own_mass2[j][:m] - own_mass2[k]
            if target is None:
                px, py = (c[i][:m] + c[j][:m] + c[k] for c in (x, y))
                best.offer(-(px * px + py * py), cube)
            else:
                best.offer(np.abs(_root(cube) - target), cube)
    return _scatter(table, _root(best.value))


def fox_wolfram(vectors: Vectors, order: int) -> Column:
    """Return the Fox-Wolfram moment of an order, normalised so that H_0 = 1.

    H_l = sum_ij |p_i||p_j| P_l(cos angle_ij) / (sum_i |p_i|)^2 with full momenta, all pairs with i = j included (Fox,
    Wolfram, PRL 41 (1978) 1581, with the visible momentum in place of sqrt(s)). Missing in events without objects.

    Args:
        vectors: lists of four-vectors.
        order: l, 0 to 10.

    Raises:
        ValueProblem: the order is outside this range, or an event has too many objects.

    """
    if not 0 <= order <= 10:
        raise ValueProblem(f"Fox-Wolfram moments are for orders 0 to 10, not {order}")
    table, cosines = _pairs(vectors, "cosine")
    p = table.component("momentum")
    total, squares = np.zeros(_active(table, 1)), np.zeros(_active(table, 1))
    for row in p:
        total[: len(row)] += row
        squares[: len(row)] += row * row
    crossed = np.zeros(len(total))
    for (i, j), cosine in cosines.items():
        m = len(cosine)
        crossed[:m] += p[i][:m] * p[j] * legendre(order, cosine)
    return _scatter(table, (squares + 2 * crossed) / (total * total))


def legendre(order: int, x: Floats) -> Floats:
    """Return the Legendre polynomial P_l(x) by Bonnet's recursion."""
    previous, current = np.ones_like(x), x
    if order == 0:
        return previous
    for n in range(1, order):
        previous, current = current, ((2 * n + 1) * x * current - n * previous) / (n + 1)
    return current


def tensor_eigenvalues(vectors: Vectors, power: float) -> tuple[Floats, Floats, Floats, Any]:
    """Return the eigenvalues of the momentum tensor in falling order, and a mask of empty events.

    The tensor is sum p^a p^b |p|^(r-2) / sum |p|^r with r = `power`: r = 2 is the sphericity tensor, r = 1 its linear,
    infrared-safe form. Eigenvalues are in closed form (Smith, Comm. ACM 4 (1961) 168); they are 1, 0, 0 for empty
    events. The mask is bool [n], None if no event is empty.
    """
    full, offsets = lists_of(vectors)
    p = full.momentum
    scale = np.where(p > 0, p, 1.0) ** (power - 2)

    def total(values: Floats) -> Floats:
        return reduce_lists(np.add, values, offsets, 0.0)

    norm = total(scale * p * p)
    empty = norm <= 0
    norm = np.where(empty, 1.0, norm)
    x, y, z = full.px, full.py, full.pz
    xx, yy, zz = (total(scale * a * a) / norm for a in (x, y, z))
    xy, xz, yz = (total(scale * a * b) / norm for a, b in ((x, y), (x, z), (y, z)))
    # The trace is 1; q is the mean eigenvalue, s the spread about it.
    q = 1.0 / 3.0
    s = np.sqrt(((xx - q) ** 2 + (yy - q) ** 2 + (zz - q) ** 2 + 2 * (xy**2 + xz**2 + yz**2)) / 6)
    t = np.where(s > 1e-12, s, 1.0)
    a, b, c, d, e, f = (xx - q) / t, (yy - q) / t, (zz - q) / t, xy / t, xz / t, yz / t
    half = np.clip((a * (b * c - f * f) - d * (d * c - f * e) + e * (d * f - b * e)) / 2, -1.0, 1.0)
    angle = np.arccos(half) / 3
    first, last = q + 2 * s * np.cos(angle), q + 2 * s * np.cos(angle + 2 * np.pi / 3)
    middle = 1.0 - first - last
    return first, middle, np.maximum(last, 0.0), empty if empty.any() else None


def sphericity(vectors: Vectors, power: float = 2.0) -> Column:
    """Return 3/2 (l2 + l3) of the momentum tensor: 0 for a line, 1 for a sphere."""
    first, _, _, empty = tensor_eigenvalues(vectors, power)
    return Column(np.clip(1.5 * (1.0 - first), 0.0, 1.0), None, empty)


def aplanarity(vectors: Vectors, power: float = 2.0) -> Column:
    """Return 3/2 l3 of the momentum tensor: 0 for a plane, 1/2 for a sphere."""
    _, _, last, empty = tensor_eigenvalues(vectors, power)
    return Column(1.5 * last, None, empty)


def centrality(vectors: Vectors) -> Column:
    """Return the sum of pt over the sum of E."""
    full, offsets = lists_of(vectors)
    pt, energy = (reduce_lists(np.add, v, offsets, 0.0) for v in (full.pt, full.energy))
    empty = energy <= 0
    return Column(pt / np.where(empty, 1.0, energy), None, empty if empty.any() else None)
