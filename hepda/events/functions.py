"""The functions that expressions may call: a closed list, each over columns, none over Python objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.events import kinematics, relations
from hepda.events.columns import (
    Column,
    Number,
    Numbers,
    Offsets,
    Value,
    ValueProblem,
    Vectors,
    align,
    counts,
    drop_missing,
    from_polar,
    pick,
    reduce_lists,
    same_lists,
    wrap,
)
from hepda.events.relations import vectors_of


@dataclass(frozen=True, slots=True)
class Function:
    """compute(arguments) -> value; arity: least and greatest number of arguments; usage: for messages."""

    compute: Callable[..., Value]
    arity: tuple[int, int]
    usage: str


def elementwise(ufunc: Callable[..., Numbers], *values: Value) -> Value:
    """`ufunc` on numbers; a single number an event meets a list by repetition."""
    if any(isinstance(value, Vectors) for value in values):
        raise ValueProblem("is a four-vector; take its pt(), eta(), phi(), mass() or energy()")
    plain = [value for value in values if not isinstance(value, Vectors)]
    arrays, offsets, missing = align(*plain)
    with np.errstate(all="ignore"):  # what is not finite is found, with its event, where features are checked
        result = ufunc(*arrays)
    if not any(isinstance(value, Column) for value in plain):
        return result.item()  # type: ignore[no-any-return]
    return Column(result, offsets, missing)


def _numbers(value: Value, what: str = "a list of numbers") -> Column:
    if not isinstance(value, Column):
        kind = "a four-vector" if isinstance(value, Vectors) else "one constant"
        raise ValueProblem(f"needs {what}, not {kind}")
    return value


def _list(value: Value) -> tuple[Column, Offsets]:
    """A list column without missing elements, and its offsets."""
    column = drop_missing(_numbers(value))
    if column.offsets is None:
        raise ValueProblem("needs a list an event; this is one number an event")
    return column, column.offsets


def _constant(value: Value) -> Number:
    if isinstance(value, Column | Vectors):
        raise ValueProblem("needs a plain number here, the same for all events")
    return value


MOST_COMPARED = 40
"""Lists up to this length are sorted by comparing every two elements, of all events at once."""


def _as_numbers(values: Numbers) -> Numbers:
    return values.astype(np.int64) if values.dtype.kind == "b" else values


def _sum(value: Value) -> Value:
    if isinstance(value, Vectors):
        full, offsets = kinematics.lists_of(value)
        parts = [reduce_lists(np.add, p, offsets, 0.0) for p in (full.px, full.py, full.pz, full.energy)]
        empty = counts(offsets) == 0
        return Vectors.of(parts, None, empty if empty.any() else None)
    column, offsets = _list(value)
    return Column(reduce_lists(np.add, _as_numbers(column.values), offsets, 0))


def _count(value: Value) -> Column:
    _, offsets = kinematics.lists_of(value) if isinstance(value, Vectors) else _list(value)
    return Column(counts(offsets))


def _extreme(ufunc: np.ufunc) -> Callable[[Value], Column]:
    def compute(value: Value) -> Column:
        column, offsets = _list(value)
        empty = counts(offsets) == 0
        values = reduce_lists(ufunc, _as_numbers(column.values), offsets, 0)
        return Column(values, None, empty if empty.any() else None)

    return compute


def _mean(value: Value) -> Column:
    column, offsets = _list(value)
    lengths = counts(offsets)
    total = reduce_lists(np.add, column.values.astype(np.float64), offsets, 0.0)
    empty = lengths == 0
    return Column(total / np.maximum(lengths, 1), None, empty if empty.any() else None)


def _truth(ufunc: np.ufunc, empty: bool) -> Callable[[Value], Column]:
    def compute(value: Value) -> Column:
        column, offsets = _list(value)
        return Column(reduce_lists(ufunc, column.values != 0, offsets, empty))

    return compute


def _order(key: Column, offsets: Offsets, sign: int = -1) -> NDArray[np.int64]:
    """Flat index that sorts each list by falling key (rising: sign 1); equal keys keep their order."""
    values = _as_numbers(key.values)
    lengths = counts(offsets)
    widest = int(lengths.max(initial=0))
    if widest > MOST_COMPARED or (values.dtype.kind == "f" and np.isnan(values).any()):
        return np.lexsort((sign * values.astype(np.float64), np.repeat(np.arange(len(lengths)), lengths)))
    starts = np.repeat(offsets[:-1], lengths)
    flat = np.arange(len(values))
    local = (flat - starts).astype(np.uint8)
    before = np.greater_equal if sign < 0 else np.less_equal
    rank = np.zeros(len(values), dtype=np.uint8)
    # Neighbours at every distance are compared: the rank is the number of those that come first.
    for distance in range(1, widest):
        both = local[distance:] >= distance
        first = both & before(values[:-distance], values[distance:])
        rank[distance:] += first
        rank[:-distance] += both ^ first
    order = np.empty(len(values), dtype=np.int64)
    order[starts + rank] = flat
    return order


def _sort(value: Value, by: Value | None = None) -> Value:
    """Each list in falling order of itself (four-vectors: of pt), or of another list of the same lengths."""
    if by is None:
        by = _component("pt")(value) if isinstance(value, Vectors) else value
    key = _numbers(by)
    if not isinstance(value, Column | Vectors) or value.offsets is None or key.offsets is None:
        raise ValueProblem("needs a list an event; this is one an event")
    if key.missing is not None:
        raise ValueProblem("the list to sort by has missing elements; give them a value by default()")
    return value.take(_order(key, same_lists(value.offsets, key.offsets)), value.offsets)


def _argsort(value: Value, sign: int = -1) -> Column:
    key, offsets = _list(value)
    return Column(_order(key, offsets, sign) - np.repeat(offsets[:-1], counts(offsets)), offsets)


def _element(position: int) -> Callable[[Value], Value]:
    def compute(value: Value) -> Value:
        if not isinstance(value, Column | Vectors):
            raise ValueProblem("needs a list an event, not one constant")
        return pick(value, position)

    return compute


def _extreme_index(sign: int) -> Callable[[Value], Value]:
    """Index within its list of the first largest (-1) or smallest (1) element; missing for an empty list."""
    return lambda value: pick(_argsort(value, sign), 0)


def _choose(condition: Numbers, yes: Numbers, no: Numbers) -> Numbers:
    return np.asarray(np.where(condition, yes, no))


def _where(condition: Value, yes: Value, no: Value) -> Value:
    chosen = elementwise(np.not_equal, truth(condition), 0)
    result = elementwise(_choose, chosen, yes, no)
    if not isinstance(result, Column) or result.missing is None:
        return result
    # Missing is the branch that was taken, not the other one.
    gone = elementwise(_choose, chosen, is_missing(yes), is_missing(no))
    if not isinstance(gone, Column):
        return result
    _, offsets, _ = align(*[v for v in (result, gone) if isinstance(v, Column)])
    arrays, _, _ = align(Column(result.values, result.offsets), gone)
    return Column(arrays[0], offsets, arrays[1].astype(bool))


def truth(value: Value) -> Value:
    """A condition: a missing one is false."""
    if isinstance(value, Vectors):
        raise ValueProblem("is a four-vector, not a condition")
    if not isinstance(value, Column):
        return bool(value)
    holds = value.values != 0
    return Column(holds if value.missing is None else holds & ~value.missing, value.offsets)


def is_missing(value: Value) -> Value:
    """Whether a value is missing, for each event or element."""
    if not isinstance(value, Column | Vectors):
        return False
    size = len(value.values if isinstance(value, Column) else value)
    gone = value.missing if value.missing is not None else np.zeros(size, dtype=bool)
    return Column(gone, value.offsets)


def _default(value: Value, replacement: Value) -> Value:
    if not isinstance(value, Column) or value.missing is None:
        return value
    return _where(is_missing(value), replacement, value)


def _four_vectors(make: Callable[..., Vectors]) -> Callable[..., Vectors]:
    """A function of four columns of coordinates."""

    def compute(*values: Value) -> Vectors:
        parts = [part for part in values if not isinstance(part, Vectors)]
        if len(parts) < 4 or not isinstance(values[0], Column):
            raise ValueProblem("needs its coordinates as numbers of each event")
        arrays, offsets, missing = align(*parts)
        # Indices differ from event to event; float64 throughout, for masses cancel.
        wide = [np.broadcast_to(a, arrays[0].shape).astype(np.float64, copy=False) for a in arrays]
        with np.errstate(all="ignore"):
            return make(*wide, offsets, missing)

    return compute


def _from_energy(pt: Numbers, eta: Numbers, phi: Numbers, energy: Numbers, *rest: Any) -> Vectors:
    return Vectors(*from_polar(pt, phi), pt * np.sinh(eta), energy, *rest)


def add_vectors(first: Value, second: Value, sign: float = 1.0) -> Vectors:
    """Sum (or difference) of four-vectors; one an event meets a list by repetition."""
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
    return elementwise(lambda x, y: wrap(x - y), a, b)


def _delta_eta(first: Value, second: Value) -> Value:
    a, b = (_component("eta")(v) if isinstance(v, Vectors) else v for v in (first, second))
    return elementwise(lambda x, y: np.abs(x - y), a, b)


def _delta_r(first: Value, second: Value) -> Value:
    deta = _delta_eta(vectors_of(first), vectors_of(second))
    return elementwise(lambda x, y: np.asarray(np.sqrt(x * x + y * y)), deta, _delta_phi(first, second))


def _transverse_mass(pt: Value, phi: Value, met: Value, met_phi: Value) -> Value:
    def compute(a: Numbers, b: Numbers, c: Numbers, d: Numbers) -> Numbers:
        return np.asarray(np.sqrt(2.0 * a * c * (1.0 - np.cos(b - d))))

    return elementwise(compute, pt, phi, met, met_phi)


def _ht(value: Value) -> Value:
    return _sum(Column(value.pt, value.offsets, value.missing) if isinstance(value, Vectors) else value)


def _rooted(compute: Callable[..., Column], *fixed: Any) -> Callable[[Value], Column]:
    """Square root of a pair quantity that is kept as a square."""

    def rooted(value: Value) -> Column:
        column = compute(vectors_of(value), *fixed)
        return Column(np.sqrt(np.maximum(column.values, 0.0)), None, column.missing)

    return rooted


def _pair_mass_nearest(value: Value, target: Value) -> Column:
    nearest = kinematics.pair_of_smallest(vectors_of(value), "mass2", "mass2", float(_constant(target)))
    return Column(np.sqrt(np.maximum(nearest.values, 0.0)), None, nearest.missing)


def _shape(compute: Callable[..., Column]) -> Callable[..., Column]:
    return lambda value, *rest: compute(vectors_of(value), *(float(_constant(r)) for r in rest))


def _moment(value: Value, order: Value) -> Column:
    number = _constant(order)
    if not isinstance(number, int):
        raise ValueProblem(f"the order of a Fox-Wolfram moment is an integer, not {number}")
    return kinematics.fox_wolfram(vectors_of(value), number)


def _table() -> dict[str, Function]:
    functions: dict[str, Function] = {}

    def add(name: str, arguments: str, compute: Callable[..., Value], optional: int = 0) -> None:
        number = len(arguments.split(","))
        functions[name] = Function(compute, (number - optional, number), f"{name}({arguments})")

    for name in ("abs", "sqrt", "exp", "log", "log10", "log1p", "sin", "cos", "tan", "arcsin", "arccos",
                 "arctan", "sinh", "cosh", "tanh", "floor", "ceil", "sign"):  # fmt: skip
        add(name, "x", _bound(getattr(np, name), as_float=name != "abs"))
    for name in ("minimum", "maximum", "hypot", "arctan2"):
        add(name, "x, y", _bound(getattr(np, name)))
    add("clip", "x, low, high", _bound(np.clip))
    for name in ("where", "ifelse"):
        add(name, "condition, yes, no", _where)
    add("is_missing", "x", is_missing)
    add("default", "x, value", _default)
    add("sum", "list", _sum)
    add("count", "list", _count)
    add("max", "list", _extreme(np.maximum))
    add("min", "list", _extreme(np.minimum))
    add("mean", "list", _mean)
    add("any", "list", _truth(np.logical_or, empty=False))
    add("all", "list", _truth(np.logical_and, empty=True))
    add("sort", "list, by", _sort, optional=1)
    add("argsort", "list", _argsort)
    for name, position in (("first", 0), ("last", -1)):
        add(name, "list", _element(position))
    for name, sign in (("argmax", -1), ("argmin", 1)):
        add(name, "list", _extreme_index(sign))
    _add_vectors(add)
    return functions


def _bound(ufunc: Callable[..., Any], *, as_float: bool = False) -> Callable[..., Value]:
    def compute(*values: Value) -> Value:
        def apply(*arrays: Numbers) -> Numbers:
            wide = [a.astype(np.float64) if as_float else _as_numbers(a) for a in arrays]
            return np.asarray(ufunc(*wide))

        return elementwise(apply, *values)

    return compute


def _add_vectors(add: Callable[..., None]) -> None:
    add("p4", "pt, eta, phi, mass", _four_vectors(Vectors.from_pt_eta_phi_mass))
    add("p4_energy", "pt, eta, phi, energy", _four_vectors(_from_energy))
    add("p4_xyz", "px, py, pz, energy", _four_vectors(Vectors))
    for name in ("px", "py", "pz", "energy", "pt", "eta", "phi", "mass", "momentum"):
        add(name, "vectors", _component(name))
    for entry in relations.ENTRIES:
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


def _pair_mean(quantity: str, *, root: bool) -> Callable[[Value], Column]:
    transform = np.sqrt if root else np.asarray
    return lambda value: kinematics.pair_mean(vectors_of(value), quantity, lambda x: transform(np.maximum(x, 0.0)))


def _shape_of(compute: Callable[..., Column], quantity: str) -> Callable[[Value], Column]:
    return lambda value: compute(vectors_of(value), quantity)


FUNCTIONS: dict[str, Function] = _table()
"""Every function of expressions, by name."""
