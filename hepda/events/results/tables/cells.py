"""Cells and texts that several tables of events share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from hepda.number_format import Cell, Quantity, number
from hepda.results.events import BiasEntry, EventMetrics
from hepda.results.record import Record, quantity_in

EVENTS_ALONE = (
    "Errors are those of the finite samples; they do not include the spread between trainings (see that table)."
)
"""The statement of a table about its errors."""
REPRESENTATIONS = {"score": "on the score", "embedding": "on the embedding", "inputs": "on the inputs"}
"""Headings of the representations of a probe."""

Key = TypeVar("Key")


def keys_of(mappings: Iterable[Mapping[Key, object]]) -> list[Key]:
    """Return the keys of all mappings, each once, in order."""
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))


def pair_title(metrics: EventMetrics, pair: str) -> str:
    """Return the heading of a pair: an apparent difference, with a remark if no training saw the domain."""
    source, _, other = pair.partition(":")
    unseen = " (held out from training)" if other in metrics.held_out else ""
    return f"Apparent {source}–{other} difference{unseen}"


def quantity(entry: Record | None, name: str) -> Quantity:
    """Return a number of an entry; it is not `present` if a model has no such entry."""
    return Quantity(None, present=False) if entry is None else entry.quantity(name)


def shift_cell(bias: BiasEntry | None, point: str, *, marked: bool = False) -> Cell:
    """Return the shift at a working point in per cent, or the limit on it if no event passes.

    Args:
        bias: the comparison of two domains; None: the model has none.
        point: the signal efficiency, a key of the mappings of `bias`.
        marked: whether a shift is marked that two samples of one generator have as well (`efficiency_shift_null`).

    """
    if bias is None:
        return Quantity(None, present=False).cell(unit=" %")
    limit = quantity_in(bias.efficiency_shift_upper_limit, point).scaled(100.0)
    if limit.value is not None:
        return limit.below(unit=" %")
    shift = quantity_in(bias.efficiency_shift, point)
    if shift.low is None:
        shift = shift.with_error(number(bias.efficiency_shift_error.get(point)))
    null = quantity_in(bias.efficiency_shift_null, point)
    value, low, high = shift.value, null.low, null.high
    inside = value is not None and low is not None and high is not None and low <= value <= high
    return shift.scaled(100.0).cell(unit=" %", good=marked and inside)
