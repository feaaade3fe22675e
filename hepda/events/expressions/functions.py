"""The functions that expressions may call: a closed list; each works on columns, none on Python objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hepda.events.expressions import combinations, exact_integers, kinematics, lists
from hepda.events.expressions.columns import (
    Column,
    Numbers,
    Value,
    ValueProblem,
    Vectors,
    align,
    from_polar,
    wrap,
)
from hepda.events.expressions.combinations import vectors_of
from hepda.events.expressions.guards import HAS
from hepda.events.expressions.tables import binned
from hepda.events.expressions.tables.corrections import check_correction, evaluate_correction
from hepda.events.expressions.tables.good_runs import check_good_lumi, good_lumi


@dataclass(frozen=True, slots=True)
class Function:
    """A function of expressions.

    compute: takes the arguments and returns the value; arity: smallest and largest number of arguments; usage: the call
    in messages; texts: whether arguments may be text in quotes, the first `needed_texts` of which have to be; lists:
    places of arguments that are lists of plain numbers, [20, 50, 100]; check: raises ValueProblem for arguments that
    cannot be right, before anything is read (text and lists of plain numbers; None for what differs by event).
    """

    compute: Callable[..., Value]
    arity: tuple[int, int]
    usage: str
    texts: bool = False
    needed_texts: int = 0
    lists: tuple[int, ...] = ()
    check: Callable[..., None] | None = None


def _four_vectors(make: Callable[..., Vectors]) -> Callable[..., Vectors]:
    """Return a function that makes four-vectors of four columns of coordinates."""

    def compute(*values: Value) -> Vectors:
        parts = [part for part in values if not isinstance(part, Vectors)]
        if len(parts) < 4 or not isinstance(values[0], Column):
            raise ValueProblem("needs its coordinates as numbers of each event")
        arrays, offsets, missing = align(*parts)
        # Indices differ from event to event; float64 throughout, because differences in a mass cancel.
        wide = [np.broadcast_to(a, arrays[0].shape).astype(np.float64, copy=False) for a in arrays]
        with np.errstate(all="ignore"):
            return make(*wide, offsets, missing)

    return compute


def _from_energy(pt: Numbers, eta: Numbers, phi: Numbers, energy: Numbers, *rest: Any) -> Vectors:
    return Vectors(*from_polar(pt, phi), pt * np.sinh(eta), energy, *rest)


def add_vectors(first: Value, second: Value, sign: float = 1.0) -> Vectors:
    """Return the sum (sign 1) or difference (sign -1) of four-vectors; one vector per event is repeated for a list."""
    a, b = vectors_of(first), vectors_of(second)
    parts = []
    offsets, missing = None, None
    for name in ("px", "py", "pz", "energy"):
        left = Column(getattr(a, name), a.offsets, a.missing)
        right = Column(getattr(b, name), b.offsets, b.missing)
        (x, y), offsets, missing = align(left, right)
        parts.append(x + sign * y)
    return Vectors.of(parts, offsets, missing)


def _component(name: str) -> Callable[[Value], Column]:
    def compute(value: Value) -> Column:
        vectors = vectors_of(value)
        with np.errstate(all="ignore"):
            return Column(getattr(vectors, name), vectors.offsets, vectors.missing)

    return compute


def _delta_phi(first: Value, second: Value) -> Value:
    a, b = (_component("angle")(v) if isinstance(v, Vectors) else v for v in (first, second))
    return lists.elementwise(lambda x, y: wrap(_difference(x, y)), a, b)


def _delta_eta(first: Value, second: Value) -> Value:
    a, b = (_component("eta")(v) if isinstance(v, Vectors) else v for v in (first, second))
    return lists.elementwise(lambda x, y: np.abs(_difference(x, y)), a, b)


def _difference(x: Numbers, y: Numbers) -> Numbers:
    """Subtract two coordinates as floats: a file may keep them as integers, and unsigned ones would wrap around."""
    return np.asarray(x.astype(np.float64, copy=False) - y.astype(np.float64, copy=False))


def _delta_r(first: Value, second: Value) -> Value:
    deta = _delta_eta(vectors_of(first), vectors_of(second))
    return lists.elementwise(lambda x, y: np.asarray(np.sqrt(x * x + y * y)), deta, _delta_phi(first, second))


def _transverse_mass(pt: Value, phi: Value, met: Value, met_phi: Value) -> Value:
    def compute(a: Numbers, b: Numbers, c: Numbers, d: Numbers) -> Numbers:
        return np.asarray(np.sqrt(2.0 * a * c * (1.0 - np.cos(_difference(b, d)))))

    return lists.elementwise(compute, pt, phi, met, met_phi)


def _ht(value: Value) -> Value:
    return lists.total(Column(value.pt, value.offsets, value.missing) if isinstance(value, Vectors) else value)


def _rooted(compute: Callable[..., Column], *fixed: Any) -> Callable[[Value], Column]:
    """Return a function that takes the square root of a pair quantity which is kept as a square."""

    def rooted(value: Value) -> Column:
        column = compute(vectors_of(value), *fixed)
        return Column(np.sqrt(np.maximum(column.values, 0.0)), None, column.missing)

    return rooted


def _pair_mass_nearest(value: Value, target: Value) -> Column:
    nearest = kinematics.pair_of_smallest(vectors_of(value), "mass2", "mass2", float(lists.constant(target)))
    return Column(np.sqrt(np.maximum(nearest.values, 0.0)), None, nearest.missing)


def _shape(compute: Callable[..., Column]) -> Callable[..., Column]:
    return lambda value, *rest: compute(vectors_of(value), *(float(lists.constant(r)) for r in rest))


def _moment(value: Value, order: Value) -> Column:
    number = lists.constant(order)
    if not isinstance(number, int):
        raise ValueProblem(f"the order of a Fox-Wolfram moment is an integer, not {number}")
    return kinematics.fox_wolfram(vectors_of(value), number)


def _table() -> dict[str, Function]:
    functions: dict[str, Function] = {}

    def add(name: str, arguments: str, compute: Callable[..., Value], optional: int = 0) -> None:
        number = len(arguments.split(","))
        functions[name] = Function(compute, (number - optional, number), f"{name}({arguments})")

    for name in ("sqrt", "exp", "log", "log10", "log1p", "sin", "cos", "tan", "arcsin", "arccos",
                 "arctan", "sinh", "cosh", "tanh", "sign"):  # fmt: skip
        add(name, "x", lists.by_element(getattr(np, name), as_float=True))
    add("abs", "x", lists.by_element(exact_integers.absolute))
    for name in ("floor", "ceil"):
        add(name, "x", lists.by_element(exact_integers.rounding(getattr(np, name))))
    for name in ("hypot", "arctan2"):
        add(name, "x, y", lists.by_element(getattr(np, name)))
    for name in ("minimum", "maximum"):
        add(name, "x, y", lists.by_element(exact_integers.lesser_or_greater(getattr(np, name))))
    add("clip", "x, low, high", lists.by_element(exact_integers.clip))
    for name in ("where", "ifelse"):
        add(name, "condition, yes, no", lists.where)
    add("is_missing", "x", lists.is_missing)
    add(HAS, "branch", _of_file)
    add("default", "x, value", lists.default)
    add("sum", "list", lists.total)
    add("prod", "list", lists.product)
    add("count", "list", lists.count)
    add("max", "list", lists.extreme(np.maximum))
    add("min", "list", lists.extreme(np.minimum))
    add("mean", "list", lists.mean)
    add("any", "list", lists.truth_of(np.logical_or, empty=False))
    add("all", "list", lists.truth_of(np.logical_and, empty=True))
    add("sort", "list, by", lists.sort, optional=1)
    add("argsort", "list", lists.argsort)
    for name, position in (("first", 0), ("last", -1)):
        add(name, "list", lists.element(position))
    for name, sign in (("argmax", -1), ("argmin", 1)):
        add(name, "list", lists.extreme_index(sign))
    _add_vectors(add)
    return functions | _WITH_CONSTANTS


_WITH_CONSTANTS = {
    "lookup": Function(binned.lookup, (3, 3), "lookup(x, [edges], [values])", lists=(1, 2), check=binned.check_lookup),
    "interpolate": Function(
        binned.interpolate, (3, 3), "interpolate(x, [points], [values])", lists=(1, 2), check=binned.check_interpolate
    ),
    "good_lumi": Function(
        good_lumi, (3, 3), 'good_lumi("file.json", run, luminosity_block)', True, 1, check=check_good_lumi
    ),
    "correction": Function(
        evaluate_correction, (2, 34), 'correction("file.json", "name", input, ...)', True, 2, check=check_correction
    ),
}
"""Functions with arguments that are written out: files, names, edges of bins."""


def _add_vectors(add: Callable[..., None]) -> None:
    add("p4", "pt, eta, phi, mass", _four_vectors(Vectors.from_pt_eta_phi_mass))
    add("p4_energy", "pt, eta, phi, energy", _four_vectors(_from_energy))
    add("p4_xyz", "px, py, pz, energy", _four_vectors(Vectors))
    for name in ("px", "py", "pz", "energy", "pt", "eta", "phi", "mass", "momentum"):
        add(name, "vectors", _component(name))
    for entry in combinations.ENTRIES:
        add(*entry)
    add("delta_r", "vectors, vectors", _delta_r)
    add("delta_phi", "phi, phi", _delta_phi)
    add("delta_eta", "eta, eta", _delta_eta)
    add("transverse_mass", "pt, phi, met, met_phi", _transverse_mass)
    add("ht", "vectors", _ht)
    for short, quantity in (("mass", "mass2"), ("delta_r", "delta_r2"), ("pt", "pt2")):
        add(f"pair_{short}_min", "vectors", _rooted(kinematics.pair_minimum, quantity))
        add(f"pair_{short}_max", "vectors", _rooted(kinematics.pair_maximum, quantity))
        add(f"pair_{short}_mean", "vectors", _pair_mean(quantity, root=True))
    for quantity in ("delta_eta", "delta_phi"):
        add(f"pair_{quantity}_min", "vectors", _shape_of(kinematics.pair_minimum, quantity))
        add(f"pair_{quantity}_max", "vectors", _shape_of(kinematics.pair_maximum, quantity))
        add(f"pair_{quantity}_mean", "vectors", _pair_mean(quantity, root=False))
    add("pair_mass_nearest", "vectors, mass", _pair_mass_nearest)
    add("pair_mass_closest", "vectors", _rooted(kinematics.pair_of_smallest, "delta_r2", "mass2"))
    add("pair_pt_closest", "vectors", _rooted(kinematics.pair_of_smallest, "delta_r2", "pt2"))
    add("triplet_mass_max_pt", "vectors", _shape(kinematics.triplet_mass))
    add("triplet_mass_nearest", "vectors, mass", _shape(kinematics.triplet_mass))
    add("centrality", "vectors", _shape(kinematics.centrality))
    add("sphericity", "vectors, power", _shape(kinematics.sphericity), optional=1)
    add("aplanarity", "vectors, power", _shape(kinematics.aplanarity), optional=1)
    add("fox_wolfram", "vectors, order", _moment)


def _of_file(_: Value) -> Value:
    """Stand in the table for has(), which is decided for each file before anything is evaluated: see `guards`."""
    raise ValueProblem("asks for a branch of a file; there is no file of events here")


def _pair_mean(quantity: str, *, root: bool) -> Callable[[Value], Column]:
    transform = np.sqrt if root else np.asarray
    return lambda value: kinematics.pair_mean(vectors_of(value), quantity, lambda x: transform(np.maximum(x, 0.0)))


def _shape_of(compute: Callable[..., Column], quantity: str) -> Callable[[Value], Column]:
    return lambda value: compute(vectors_of(value), quantity)


FUNCTIONS: dict[str, Function] = _table()
"""Every function of expressions, by name."""
