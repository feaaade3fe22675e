"""Access to `metrics.json` for the tables.

A model without an entry gets an empty cell. A null gets a dash, and its `why` (a sibling of the null, or of an
enclosing entry) is listed by `nulls`. A number is given by itself, as {"value": x, "low": x, "high": x} or as
{"value": x, "error": x}.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hepda.number_format import Cell, Quantity, Table, number, p_text

EVENTS_ALONE = (
    "Errors are those of the finite samples of events; the noise of training is not in them (see the spread between "
    "trainings)."
)
"""The statement of a table about its errors."""
WORDS = ("class", "domain", "use", "name", "third", "trained_on", "bias_from", "over")
"""Keys of an entry that are not numbers, and that are absent for data."""
HEADINGS = {
    "asimov": "Asimov Z [σ], statistical",
    "asimov_with_uncertainty": "with background unc.",
    "asimov_with_bias": "with bias",
    "binned": "binned",
    "seconds": "Time [s]",
    "rows_per_second": "Rows / s",
    "epochs": "Epochs",
    "score": "on the score",
    "embedding": "on the embedding",
    "inputs": "on the inputs",
}


@dataclass(frozen=True, slots=True)
class Null:
    """A number that is missing: its path in the metrics, and the reason."""

    path: str
    why: str


def pairs(metrics: Mapping[str, Any]) -> list[str]:
    """Return the pairs of domains "<source>:<other>" for which any model has a bias, in the order of the metrics."""
    return keys(model.get("bias") for _, model in entries(metrics, "models"))


def held_out(metrics: Mapping[str, Any]) -> set[str]:
    """Return the simulated domains that no training saw.

    All samples of such a domain are used for evaluation only (`use: evaluate`).
    """
    uses: dict[str, set[str]] = {}
    for _, sample in entries(metrics, "samples"):
        uses.setdefault(str(sample.get("domain")), set()).add(str(sample.get("use")))
    return {domain for domain, words in uses.items() if words == {"evaluate"} and domain != "data"}


def pair_title(metrics: Mapping[str, Any], pair: str) -> str:
    """Return the heading of a pair: an apparent difference, with a remark if no training saw the domain."""
    source, _, other = pair.partition(":")
    unseen = " (seen by no training)" if other in held_out(metrics) else ""
    return f"Apparent {source}–{other} difference{unseen}"


def plain_model(metrics: Mapping[str, Any]) -> str:
    """Return the baseline model, without adaptation: `network`, or the first model if there is none."""
    names = [name for name, _ in entries(metrics, "models")]
    return "network" if "network" in names else next(iter(names), "")


def null_of(result: object) -> Quantity:
    """Return the KS that parts of one generator reach: `ks_null`, or `null` (a number or with a `quantile`)."""
    if isinstance(result, Mapping):
        if "ks_null" in result:
            return Quantity.read(result, "ks_null")
        if isinstance(result.get("null"), Mapping):
            return Quantity.read(result["null"], "quantile")
    return Quantity.read(result, "null")


def nulls(metrics: Mapping[str, Any]) -> list[Null]:
    """Return every null of the metrics with its reason: the `why` of its own or of an enclosing entry."""
    return list(_walk(metrics, "", ""))


def _walk(node: object, path: str, why: str) -> Iterator[Null]:
    if isinstance(node, Mapping):
        own = node.get("why")
        reasons = own if isinstance(own, Mapping) else {}
        inherited = str(own) if isinstance(own, str) and own else why
        children = {k: v for k, v in node.items() if k not in WORDS and k != "why" and not k.endswith("_why")}
        if len(children) > 1 and not reasons and all(_is_null(child) for child in children.values()):
            yield Null(path, inherited or "no reason is given")  # one line for the whole entry
            return
        for key, child in children.items():
            reason = str(reasons.get(key) or node.get(f"{key}_why") or inherited)
            yield from _walk(child, f"{path} › {key}" if path else str(key), reason)
    elif isinstance(node, list | tuple):
        for index, child in enumerate(node):
            yield from _walk(child, f"{path} › {index}", why)
    elif _is_null(node):
        yield Null(path, why or "no reason is given")


def _is_null(value: object) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def is_number(values: Iterable[object]) -> bool:
    """Return whether a column holds numbers (or nulls, or intervals) rather than words or lists."""
    return all(v is None or isinstance(v, int | float | Mapping) for v in values)


def entries(metrics: Mapping[str, Any], key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the names and entries of metrics[key]; an entry that is null is returned as an empty mapping."""
    for name, entry in (metrics.get(key) or {}).items():
        yield str(name), entry or {}


def keys(holders: Iterable[object]) -> list[str]:
    """Return the keys of all the mappings, each once, in order, without those of reasons."""
    found = (key for holder in holders if isinstance(holder, Mapping) for key in holder)
    return [key for key in dict.fromkeys(found) if key != "why" and not key.endswith("_why")]


def told(metrics: Mapping[str, Any], metric: str) -> list[str]:
    """Return the domains for which some model has the metric.

    The page states elsewhere why the other domains have none.
    """
    found = [entry for _, model in entries(metrics, "models") if isinstance(entry := model.get(metric), Mapping)]
    return [d for d in keys(found) if any(Quantity.read(entry, d).value is not None for entry in found)]


def get(holder: object, *keys: str) -> Any:
    """Return holder[key][key]..., None if a key is absent."""
    for key in keys:
        holder = holder.get(key) if isinstance(holder, Mapping) else None
    return holder


def with_error(values: object, errors: object, key: str) -> Quantity:
    """Return values[key] with the error errors[key], unless the value has an interval of its own."""
    quantity, error = Quantity.read(values, key), number(get(errors, key))
    if quantity.low is not None or quantity.value is None or error is None:
        return quantity
    return Quantity(quantity.value, quantity.value - error, quantity.value + error)


def shift(result: object, point: str) -> Quantity:
    """Return the shift of the efficiency at a working point, in per cent."""
    errors = get(result, "efficiency_shift_error")
    return with_error(get(result, "efficiency_shift"), errors, point).scaled(100.0)


def shift_cell(result: object, point: str) -> Cell:
    """Return the shift at a working point in per cent, or the limit on it if no event passes."""
    limit = Quantity.read(get(result, "efficiency_shift_upper_limit"), point).scaled(100.0)
    return shift(result, point).cell(unit=" %") if limit.value is None else limit.below(unit=" %")


def p_cell(entry: object, digits: int = 3) -> Cell:
    """Return the p-value of an entry, as a limit ("< 0.005") if no permutation reaches the tested value."""
    cell = Quantity.read(entry, "p_value").cell(digits=digits)
    if not get(entry, "p_value_is_upper_limit") or not isinstance(cell.sort, float):
        return cell
    text = p_text(cell.sort, is_limit=True)
    return Cell(text, cell.sort, f"at most {cell.title}: no permutation reaches the value")


def headings(names: Iterable[str]) -> list[str]:
    """Return the headings of columns."""
    return [HEADINGS.get(name, name.replace("_", " ")) for name in names]


def numbers_table(metrics: Mapping[str, Any], metric: str, title: str, note: str = "", digits: int = 3) -> Table:
    """Return a flat metric (`significance`, `training`): models down, its numbers across."""
    found = [(name, model.get(metric)) for name, model in entries(metrics, "models")]
    names = [k for k in keys(entry for _, entry in found) if is_number(entry.get(k) for _, entry in found if entry)]
    names = [k for k in names if not k.endswith(("_error", "_interval"))]  # of a number beside them
    rows = [[Cell(name, name), *(Quantity.read(entry, k).cell(digits=digits) for k in names)] for name, entry in found]
    return Table(title, ["Model", *headings(names)], rows if names else [], note)


def training_table(metrics: Mapping[str, Any]) -> Table:
    """Return what every kind of data tells of its trainings: time, rate and epochs of each model."""
    return numbers_table(metrics, "training", "Training")
