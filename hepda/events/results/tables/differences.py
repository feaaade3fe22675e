"""Tables of the differences between the domains, and of how adaptation changed them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hepda.number_format import Cell, Quantity, Table
from hepda.report.reading import (
    EVENTS_ALONE,
    entries,
    get,
    headings,
    held_out,
    keys,
    null_of,
    p_cell,
    pair_title,
    pairs,
    plain_model,
    shift_cell,
    told,
)

STATISTICS = {
    "ks": "KS",
    "wasserstein": "Wasserstein",
    "energy": "Energy",
    "chi2": "χ²",
    "jensen_shannon": "Jensen-Shannon",
}
KINDS = {"bdt": "trees", "mlp": "network"}


def bias_tables(metrics: Mapping[str, Any]) -> list[Table]:
    """Return one table for each pair of domains: KS with its null, shifts of the efficiency, other distances."""
    tables = []
    for pair in pairs(metrics):
        results = [(name, get(model, "bias", pair)) for name, model in entries(metrics, "models")]
        points = sorted(keys(get(result, "efficiency_shift") for _, result in results), key=float)
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
            shifts = [shift_cell(result, point) for point in points]
            rows.append(
                [
                    Cell(name, name),
                    ks.cell(good=inside),
                    null.cell(),
                    *shifts,
                    *(Quantity.read(result, key).cell() for key in ("wasserstein", "chi2_ndf")),
                    p_cell(result),
                ]
            )
        which = next((str(r["class"]) for _, r in results if isinstance(r, Mapping) and r.get("class")), "background")
        note = (
            f"The score of {which} in both domains. Null: what two parts of one generator reach; a KS below "
            "it (marked) shows no difference. Shifts: relative, of the efficiency at the cut that keeps this "
            f"share ε of the signal, with errors from sumw2 of both domains. {EVENTS_ALONE}"
        )
        tables.append(Table(pair_title(metrics, pair), head, rows, note))
    return tables


def processes_table(metrics: Mapping[str, Any]) -> Table:
    """Return which processes of two domains are compared; the table is empty if all have a counterpart."""
    rows = []
    for pair, by_class in (metrics.get("processes") or {}).items():
        source, _, other = pair.partition(":")
        for which, found in by_class.items():
            alone = found["without_counterpart"]
            if not (alone["source"] or alone["other"]):
                continue
            like = "; ".join(
                f"{', '.join(sides['source'])} with {', '.join(sides['other'])}" for sides in found["compared"].values()
            )
            words = [which, like or "nothing: not known", ", ".join(alone["source"]), ", ".join(alone["other"])]
            name = f"{source} against {other}"
            rows.append([Cell(name, name), *(Cell(word, word or None) for word in words)])
    head = ["Domains", "Class", "Compared", "Of the first alone", "Of the other alone"]
    note = (
        "Differences between domains are those of the processes that both have; a process without a counterpart is "
        "left out of them, and is the first domain's in the significance with bias and in the fits to another domain. "
        "`process` of a sample says which are the same."
    )
    return Table("Which processes are compared", head, rows, note)


def two_sample_tables(metrics: Mapping[str, Any]) -> list[Table]:
    """Return two-sample tests of the score, one table for each pair and class: statistics with p-values."""
    tables = []
    note = (
        "Each statistic with its p-value by permutation; marked where it lies inside what two parts of one generator "
        "reach (95 %)."
    )
    for pair in keys(model.get("tests") for _, model in entries(metrics, "models")):
        found = [(name, get(model, "tests", pair)) for name, model in entries(metrics, "models")]
        for which in keys(by_class for _, by_class in found):
            rows = [
                [Cell(name, name), *(_test(get(by_class, which), key) for key in STATISTICS)]
                for name, by_class in found
                if get(by_class, which)
            ]
            title = f"Two-sample tests, {which}, {pair.replace(':', ' against ')}"
            tables.append(Table(title, ["Model", *STATISTICS.values()], rows, note, "Two-sample tests of each class"))
    return tables


def _test(results: object, key: str) -> Cell:
    """Return a statistic and its p-value in one cell."""
    entry = get(results, key)
    value, p_value, null = (Quantity.read(entry, name) for name in ("value", "p_value", "null"))
    cell = value.cell()
    if value.value is None or p_value.value is None:
        return cell
    inside = null.value is not None and value.value <= null.value
    title = f"{cell.title}, p {p_value.value!r}" + (f", null {null.value!r}" if null.value is not None else "")
    return Cell(f"{cell.text} (p {p_cell(entry, 2).text})", cell.sort, title, inside, cell.short)


def probe_tables(metrics: Mapping[str, Any]) -> list[Table]:
    """Return the AUC of fresh classifiers of the domains, one table for each pair and class."""
    note = (
        "AUC of classifiers (trees, network) trained afterwards to tell the domains apart, on events that they did not "
        "see; 0.5: they cannot. The same on the inputs of all models is the last row."
    )
    tables: list[Table] = []
    for pair in keys(model.get("probes") for _, model in entries(metrics, "models")):
        found = {name: get(model, "probes", pair) for name, model in entries(metrics, "models")}
        for which in keys(found.values()):
            columns = [(what, kind) for what in ("score", "embedding") for kind in KINDS]
            head = ["Model", *(f"{headings([what])[0]}: {KINDS[kind]}" for what, kind in columns)]
            rows = [
                [Cell(name, name), *(Quantity.read(get(by_class, which, kind), what).cell() for what, kind in columns)]
                for name, by_class in found.items()
                if get(by_class, which)
            ]
            inputs = get(metrics, "guards", "inputs", pair, which)
            if inputs:
                own = [Quantity.read(get(inputs, kind), "inputs").cell() for kind in KINDS]
                rows.append([Cell("inputs", "inputs"), *own, *own])
            title = f"Probes, {which}, {pair.replace(':', ' against ')}"
            tables.append(Table(title, head, rows, note, "" if not tables else "Probes of other classes and domains"))
    return tables or _trees_alone(metrics)


def _trees_alone(metrics: Mapping[str, Any]) -> list[Table]:
    """Return the tables for metrics without `probes`, from `domain_auc`."""
    tables = []
    note = "AUC of classifiers trained afterwards to tell the domains apart; 0.5: they cannot."
    for pair in keys(model.get("domain_auc") for _, model in entries(metrics, "models")):
        results = [(name, get(model, "domain_auc", pair)) for name, model in entries(metrics, "models")]
        names = [k for k in keys(result for _, result in results) if k != "class"]
        rows = [
            [Cell(name, name), *(Quantity.read(result, key).cell() for key in names)]
            for name, result in results
            if result
        ]
        tables.append(Table(f"Probes, {pair.replace(':', ' against ')}", ["Model", *headings(names)], rows, note))
    return tables


def adaptation_table(metrics: Mapping[str, Any]) -> Table:
    """Return the cost and gain of each model compared with the baseline model.

    The columns are the difference in AUC in each domain and, for each pair of domains, the KS distance divided by that
    of the baseline model. Only models with both numbers have a cell. AUC differences are paired; the ratios of KS
    distances have no error.
    """
    plain, models = plain_model(metrics), dict(entries(metrics, "models"))
    held_against = models.get(plain, {})
    domains, compared = told(metrics, "auc"), keys([held_against.get("bias")])
    head = [
        "Model",
        *(f"ΔAUC {domain}" for domain in domains),
        *(f"KS ratio, {pair.partition(':')[2]}" for pair in compared),
    ]
    rows = []
    for name, model in models.items():
        if name == plain:
            continue
        cells: list[Cell] = []
        for domain in domains:
            paired = Quantity.read(model.get("auc_difference"), domain)
            two = _two(model, held_against, "auc", domain)
            cells.append(paired.cell() if paired.value is not None else _computed(*two, lambda new, old: new - old))
        ks = [_two(model, held_against, "bias", pair, "ks") for pair in compared]
        cells += [_computed(new, old, lambda new, old: new / old if old > 0 else None) for new, old in ks]
        rows.append([Cell(name, name), *cells])
    note = f"Against {plain}: below 1, the apparent difference to that domain fell."
    return Table("Cost and gain", head, rows if compared else [], note)


def ratio_table(metrics: Mapping[str, Any]) -> Table:
    """Return the shifts of each model divided by those of the baseline model.

    There is one column for each compared domain and signal efficiency.
    """
    found = [(name, model["shift_ratio"]) for name, model in entries(metrics, "models") if model.get("shift_ratio")]
    columns = [
        (pair, point)
        for pair in keys(ratios for _, ratios in found)
        for point in sorted(keys(get(ratios, pair) for _, ratios in found), key=float, reverse=True)
    ]
    unseen = held_out(metrics)
    head = ["Model"]
    for pair, point in columns:
        other = pair.partition(":")[2]
        head.append(f"{other}{' (unseen)' if other in unseen else ''}, {100 * float(point):g} %")
    rows = [
        [Cell(name, name), *(_ratio(get(ratios, pair), point) for pair, point in columns)] for name, ratios in found
    ]
    note = (
        f"|shift of the efficiency| over that of {plain_model(metrics)}, to each domain, at cuts of the same signal "
        "efficiency; 68 % interval of paired bootstrap replicas. Below 1 it fell. In brackets: the plain model's shift "
        "is within two errors of zero, so the ratio says nothing."
    )
    return Table("Did the bias fall?", head, rows, note)


def _ratio(ratios: object, point: str) -> Cell:
    """Return a ratio as a cell, in brackets if it is not resolved.

    The title of the cell, which the pointer shows, has the two shifts that the ratio is formed of.
    """
    cell = Quantity.read(ratios, point).cell(digits=2)
    if cell.sort is None:
        return cell
    parts = [f"{word} {Quantity.read(get(ratios, point), word).cell().title}" for word in ("adapted", "plain")]
    text, brief = (cell.text, cell.brief) if get(ratios, point, "resolved") else (f"({cell.text})", f"({cell.short})")
    return Cell(text, cell.sort, "; ".join([cell.title, *parts]), brief=brief)


def _two(first: Mapping[str, Any], second: Mapping[str, Any], *path: str) -> tuple[float | None, float | None]:
    """Return the same number of two models, None for a model that does not have it."""
    new, old = (Quantity.read(get(model, *path[:-1]), path[-1]).value for model in (first, second))
    return new, old


def _computed(new: float | None, old: float | None, formula: Callable[[float, float], float | None]) -> Cell:
    result = None if new is None or old is None else formula(new, old)
    return Quantity(result, present=new is not None or old is not None).cell(digits=2)
