"""The metrics of a run as tables: the same rows for the report's page and for the console.

Reads `metrics.json` as the design promises it, and is forgiving about what a model lacks: a model without an
entry gets an empty cell, a null gets a dash, and its `why` (a sibling of the null, or of what encloses it) is
listed by `nulls`. A number stands alone, or as {"value": x, "low": x, "high": x} or {"value": x, "error": x}.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hepda.cells import Cell, Quantity, Table, number

WORDS = ("class", "domain", "use", "name")  # of an entry: not numbers, and absent for data
KNOWN_METRICS = ("auc", "bias", "domain_auc", "significance", "closure", "training")
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
    """A number that is not there: where, and why not."""

    path: str
    why: str


def samples_table(metrics: Mapping[str, Any]) -> Table:
    """What was trained on what: a row a sample."""
    head = [
        "Sample",
        "Class",
        "Domain",
        "Use",
        "Entries",
        "Selected",
        "Yield",
        "Effective events",
        "Negative weights",
    ]
    rows = []
    for name, sample in _entries(metrics, "samples"):
        words = [str(sample.get(key) or "–") for key in ("class", "domain", "use")]
        rows.append(
            [
                Cell(name, name),
                *(Cell(word, word) for word in words),
                Quantity.read(sample, "entries").cell(digits=12),
                Quantity.read(sample, "selected").cell(digits=12),
                Quantity.read(sample, "yield").cell(digits=4),
                Quantity.read(sample, "n_eff").cell(digits=4),
                Quantity.read(sample, "negative_fraction").scaled(100.0).cell(digits=3, unit=" %"),
            ]
        )
    note = "Yields are expected events at the stated luminosity after the selection, with signed weights."
    return Table("Samples", head, rows, note)


def by_domain_table(
    metrics: Mapping[str, Any], metric: str, title: str, note: str = "", digits: int = 4
) -> Table:
    """A metric with an interval a domain (`auc`, `accuracy`): models down, domains across."""
    domains = _told(metrics, metric)
    rows = [
        [
            Cell(name, name),
            *(Quantity.read(model.get(metric), domain).cell(digits=digits) for domain in domains),
        ]
        for name, model in _entries(metrics, "models")
    ]
    return Table(title, ["Model", *domains], rows if domains else [], note)


def bias_tables(metrics: Mapping[str, Any]) -> list[Table]:
    """One table a pair of domains: KS with its null, shifts of the efficiency, the other distances."""
    tables = []
    for pair in pairs(metrics):
        results = [(name, _get(model, "bias", pair)) for name, model in _entries(metrics, "models")]
        points = sorted(_keys(_get(result, "efficiency_shift") for _, result in results), key=float)
        head = [
            "Model",
            "KS",
            "Null KS",
            *(f"Shift at {100 * float(p):g} %" for p in points),
            "Wasserstein",
            "χ² / ndf",
            "p-value",
        ]
        rows = []
        for name, result in results:
            if not result:
                continue
            ks, null = Quantity.read(result, "ks"), null_of(result)
            inside = null.value is not None and ks.value is not None and ks.value <= null.value
            shifts = [_shift(result, point).cell(unit=" %") for point in points]
            rows.append(
                [
                    Cell(name, name),
                    ks.cell(good=inside),
                    null.cell(),
                    *shifts,
                    *(Quantity.read(result, key).cell() for key in ("wasserstein", "chi2_ndf", "p_value")),
                ]
            )
        which = next(
            (str(r["class"]) for _, r in results if isinstance(r, Mapping) and r.get("class")), "background"
        )
        note = (
            f"The score of {which} in both domains. Null: what two parts of one generator reach; a KS below "
            "it (marked) shows no difference. Shifts: relative, of the efficiency at the cut that keeps this "
            "share ε of the signal."
        )
        tables.append(Table(pair_title(metrics, pair), head, rows, note))
    return tables


def adaptation_table(metrics: Mapping[str, Any]) -> Table:
    """What each model cost and bought against the plain one: AUC lost, and its KS over the plain model's, a
    pair a column.

    Only models with both numbers have a cell; the ratios carry no error here, for both models score the same
    events.
    """
    plain, models = plain_model(metrics), dict(_entries(metrics, "models"))
    held_against = models.get(plain, {})
    domains, compared = _keys([held_against.get("auc")]), _keys([held_against.get("bias")])
    head = [
        "Model",
        *(f"ΔAUC {domain}" for domain in domains),
        *(f"KS ratio, {pair.partition(':')[2]}" for pair in compared),
    ]
    rows = []
    for name, model in models.items():
        if name == plain:
            continue
        auc = [_two(model, held_against, "auc", domain) for domain in domains]
        ks = [_two(model, held_against, "bias", pair, "ks") for pair in compared]
        cells = [_computed(new, old, lambda new, old: new - old) for new, old in auc]
        cells += [_computed(new, old, lambda new, old: new / old if old > 0 else None) for new, old in ks]
        rows.append([Cell(name, name), *cells])
    note = f"Against {plain}: below 1, the apparent difference to that domain fell."
    return Table("Cost and gain", head, rows if domains or compared else [], note)


def plain_model(metrics: Mapping[str, Any]) -> str:
    """The model without adaptation that others are held against: `network`, else the first one."""
    names = [name for name, _ in _entries(metrics, "models")]
    return "network" if "network" in names else next(iter(names), "")


def _two(
    first: Mapping[str, Any], second: Mapping[str, Any], *keys: str
) -> tuple[float | None, float | None]:
    """The same number of two models, None where one lacks it."""
    new, old = (Quantity.read(_get(model, *keys[:-1]), keys[-1]).value for model in (first, second))
    return new, old


def _computed(new: float | None, old: float | None, formula: Callable[[float, float], float | None]) -> Cell:
    result = None if new is None or old is None else formula(new, old)
    return Quantity(result, present=new is not None or old is not None).cell(digits=2)


def probe_tables(metrics: Mapping[str, Any]) -> list[Table]:
    """Fresh classifiers that try to tell the domains apart, a table a pair."""
    tables = []
    note = "AUC of classifiers trained afterwards to tell the domains apart; 0.5: they cannot."
    for pair in _keys(model.get("domain_auc") for _, model in _entries(metrics, "models")):
        results = [(name, _get(model, "domain_auc", pair)) for name, model in _entries(metrics, "models")]
        names = [k for k in _keys(result for _, result in results) if k not in ("why", "class")]
        rows = [
            [Cell(name, name), *(Quantity.read(result, key).cell() for key in names)]
            for name, result in results
            if result
        ]
        tables.append(
            Table(f"Probes, {pair.replace(':', ' against ')}", ["Model", *_headings(names)], rows, note)
        )
    return tables


def numbers_table(
    metrics: Mapping[str, Any], metric: str, title: str, note: str = "", digits: int = 3
) -> Table:
    """A flat metric (`significance`, `training`): models down, its numbers across."""
    found = [(name, model.get(metric)) for name, model in _entries(metrics, "models")]
    names = [
        k
        for k in _keys(entry for _, entry in found)
        if _is_number(entry.get(k) for _, entry in found if entry)
    ]
    rows = [
        [Cell(name, name), *(Quantity.read(entry, k).cell(digits=digits) for k in names)]
        for name, entry in found
    ]
    return Table(title, ["Model", *_headings(names)], rows if names else [], note)


def closure_table(metrics: Mapping[str, Any]) -> Table:
    """Fitted signal strength and pull, models down, the domain that plays data across."""
    found = [(name, model.get("closure")) for name, model in _entries(metrics, "models")]
    domains = _keys(entry for _, entry in found)
    head = ["Model", *(f"{what}, data from {domain}" for domain in domains for what in ("μ", "pull"))]
    rows = []
    for name, entry in found:
        row = [Cell(name, name)]
        for domain in domains:
            result = _get(entry, domain)
            row += [
                _with_error(result, {"mu": _get(result, "error")}, "mu").cell(),
                Quantity.read(result, "pull").cell(),
            ]
        rows.append(row)
    return Table(
        "Fits to pseudo-data",
        head,
        rows if domains else [],
        "Templates from the source; the pull is (μ − truth) / error.",
    )


def other_tables(metrics: Mapping[str, Any]) -> list[Table]:
    """Metrics that the other tables do not know (`accuracy`, a wing's own), in the shape of `auc`."""
    names = [k for k in _keys(model for _, model in _entries(metrics, "models")) if k not in KNOWN_METRICS]
    shaped = [
        k for k in names if any(isinstance(model.get(k), Mapping) for _, model in _entries(metrics, "models"))
    ]
    tables = [by_domain_table(metrics, name, name.replace("_", " ").capitalize()) for name in shaped]
    return [table for table in tables if table.rows]


def summary_table(metrics: Mapping[str, Any], *, most_points: int = 3) -> Table:
    """The table that a run ends with: AUC a domain, bias, efficiency shifts (at 30 % first), significance."""
    models = list(_entries(metrics, "models"))
    quality = "auc" if any("auc" in model for _, model in models) else "accuracy"
    domains = _told(metrics, quality)
    main = next(iter(pairs(metrics)), None)
    points: list[str] = []
    if main:
        points = sorted(
            _keys(_get(model, "bias", main, "efficiency_shift") for _, model in models), key=float
        )
    preferred = sorted(points, key=lambda p: abs(float(p) - 0.3))[:most_points]
    points = [p for p in points if p in preferred]
    significances = [
        k
        for k in ("asimov", "asimov_with_bias")
        if any(k in (model.get("significance") or {}) for _, model in models)
    ]
    short = {"asimov": "Z [σ]", "asimov_with_bias": "Z with bias [σ]"}
    head = [
        "Model",
        *(f"{quality.upper() if quality == 'auc' else 'Accuracy'} {domain}" for domain in domains),
    ]
    head += ["KS", *(f"Shift at {100 * float(p):g} %" for p in points)] if main else []
    head += [short[k] for k in significances]
    rows = []
    for name, model in models:
        row = [Cell(name, name), *(Quantity.read(model.get(quality), d).cell(digits=4) for d in domains)]
        if main:
            result = _get(model, "bias", main)
            null, ks = null_of(result), Quantity.read(result, "ks")
            inside = null.value is not None and ks.value is not None and ks.value <= null.value
            row.append(ks.cell(good=inside))
            row += [_shift(result, point).cell(unit=" %") for point in points]
        row += [Quantity.read(model.get("significance"), k).cell() for k in significances]
        rows.append(row)
    note = f"KS and shifts of the background between {main.replace(':', ' and ')}." if main else ""
    return Table("Summary", head, rows, note)


def pairs(metrics: Mapping[str, Any]) -> list[str]:
    """The pairs of domains "<source>:<other>" for which any model has a bias, in the order of the metrics."""
    return _keys(model.get("bias") for _, model in _entries(metrics, "models"))


def held_out(metrics: Mapping[str, Any]) -> set[str]:
    """Simulated domains that no training saw: all their samples are there to evaluate (`use: evaluate`)."""
    uses: dict[str, set[str]] = {}
    for _, sample in _entries(metrics, "samples"):
        uses.setdefault(str(sample.get("domain")), set()).add(str(sample.get("use")))
    return {domain for domain, words in uses.items() if words == {"evaluate"} and domain != "data"}


def pair_title(metrics: Mapping[str, Any], pair: str) -> str:
    """The heading of a pair: an apparent difference, with a word on a domain that no training saw."""
    source, _, other = pair.partition(":")
    unseen = " (seen by no training)" if other in held_out(metrics) else ""
    return f"Apparent {source}–{other} difference{unseen}"


def null_of(result: object) -> Quantity:
    """The KS that parts of one generator reach: `ks_null`, or `null` (a number or with a `quantile`)."""
    if isinstance(result, Mapping):
        if "ks_null" in result:
            return Quantity.read(result, "ks_null")
        if isinstance(result.get("null"), Mapping):
            return Quantity.read(result["null"], "quantile")
    return Quantity.read(result, "null")


def nulls(metrics: Mapping[str, Any]) -> list[Null]:
    """Every null of the metrics with its reason: the `why` beside it, or that of what encloses it."""
    return list(_walk(metrics, "", ""))


def _walk(node: object, path: str, why: str) -> Iterator[Null]:
    if isinstance(node, Mapping):
        own = node.get("why")
        reasons = own if isinstance(own, Mapping) else {}
        inherited = str(own) if isinstance(own, str) and own else why
        children = {k: v for k, v in node.items() if k not in WORDS and k != "why" and not k.endswith("_why")}
        if len(children) > 1 and not reasons and all(_is_null(child) for child in children.values()):
            yield Null(path, inherited or "no reason is given")  # one line for all of it
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


def _is_number(values: Iterable[object]) -> bool:
    """Whether a column holds numbers (or nulls, or intervals) rather than words or lists."""
    return all(v is None or isinstance(v, int | float | Mapping) for v in values)


def _entries(metrics: Mapping[str, Any], key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, entry in (metrics.get(key) or {}).items():
        yield str(name), entry or {}


def _keys(holders: Iterable[object]) -> list[str]:
    """The keys of all the mappings, each once, in order; reasons are no keys."""
    found = (key for holder in holders if isinstance(holder, Mapping) for key in holder)
    return [key for key in dict.fromkeys(found) if key != "why" and not key.endswith("_why")]


def _told(metrics: Mapping[str, Any], metric: str) -> list[str]:
    """The domains for which some model has the metric; the page says elsewhere why the others have none."""
    found = [entry for _, model in _entries(metrics, "models") if isinstance(entry := model.get(metric), Mapping)]
    return [d for d in _keys(found) if any(Quantity.read(entry, d).value is not None for entry in found)]


def _get(holder: object, *keys: str) -> Any:
    for key in keys:
        holder = holder.get(key) if isinstance(holder, Mapping) else None
    return holder


def _with_error(values: object, errors: object, key: str) -> Quantity:
    """values[key] with the error errors[key], unless it brings its own interval."""
    quantity, error = Quantity.read(values, key), number(_get(errors, key))
    if quantity.low is not None or quantity.value is None or error is None:
        return quantity
    return Quantity(quantity.value, quantity.value - error, quantity.value + error)


def _shift(result: object, point: str) -> Quantity:
    """The shift of the efficiency at a working point, in per cent."""
    errors = _get(result, "efficiency_shift_error")
    return _with_error(_get(result, "efficiency_shift"), errors, point).scaled(100.0)


def _headings(names: Iterable[str]) -> list[str]:
    return [HEADINGS.get(name, name.replace("_", " ")) for name in names]
