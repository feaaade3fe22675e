"""Tables of the differences between the domains, and of how adaptation changed them."""

from __future__ import annotations

from collections.abc import Callable

from hepda.events.results.tables.cells import (
    EVENTS_ALONE,
    REPRESENTATIONS,
    keys_of,
    pair_title,
    quantity,
    shift_cell,
)
from hepda.events.results.tables.summary import domains_with_values
from hepda.number_format import Cell, Quantity, Table, p_cell
from hepda.results.events import BiasEntry, EventMetrics, ProbeEntry, ShiftRatioEntry, StatisticEntry
from hepda.results.record import quantity_in, quantity_of

STATISTICS = {
    "ks": "KS",
    "wasserstein": "Wasserstein",
    "energy": "Energy",
    "chi2": "χ²",
    "jensen_shannon": "Jensen-Shannon",
}
CLASSIFIERS = {"bdt": "trees", "mlp": "network"}


def bias_tables(metrics: EventMetrics) -> list[Table]:
    """Return one table for each pair of domains: KS with its null distribution, shifts of the efficiency, distances."""
    tables = []
    for pair in metrics.pairs:
        entries = {name: model.bias[pair] for name, model in metrics.classifiers.items() if pair in model.bias}
        points = sorted(keys_of(entry.efficiency_shift for entry in entries.values()), key=float)
        shifts = [f"Shift at {100 * float(point):g} %" for point in points]
        head = ["Model", "KS", "Null KS", *shifts, "Wasserstein", "χ² / ndf", "p-value"]
        rows = [[Cell(name, name), *_bias_cells(entry, points)] for name, entry in entries.items()]
        which = next((entry.class_name for entry in entries.values() if entry.class_name), "background")
        note = (
            f"The score of {which} in both domains. Null: 95 % quantile for two samples of one generator; a KS below "
            "it (marked) is no evidence of a difference. Shift: relative change of the efficiency at the cut with "
            "this signal efficiency ε, with errors from sumw2 of both domains; marked if it is within the "
            "central 95 % of the shifts between two samples of one generator. "
            f"{EVENTS_ALONE}"
        )
        tables.append(Table(pair_title(metrics, pair), head, rows, note))
    return tables


def _bias_cells(entry: BiasEntry, points: list[str]) -> list[Cell]:
    ks, null = entry.quantity("ks"), entry.quantity("ks_null")
    inside = null.value is not None and ks.value is not None and ks.value <= null.value
    return [
        ks.cell(good=inside),
        null.cell(),
        *(shift_cell(entry, point, marked=True) for point in points),
        *(entry.quantity(key).cell() for key in ("wasserstein", "chi2_ndf")),
        p_cell(entry.quantity("p_value"), entry.p_value_is_upper_limit),
    ]


def processes_table(metrics: EventMetrics) -> Table:
    """Return which processes of two domains are compared; the table is empty if all have a counterpart."""
    rows = []
    for pair, by_class in metrics.processes.items():
        source, _, other = pair.partition(":")
        for which, processes in by_class.items():
            excluded = processes.without_counterpart
            if not (excluded.source or excluded.other):
                continue
            matched = "; ".join(
                f"{', '.join(sides.source)} with {', '.join(sides.other)}" for sides in processes.compared.values()
            )
            words = [which, matched or "none: unknown", ", ".join(excluded.source), ", ".join(excluded.other)]
            name = f"{source} against {other}"
            rows.append([Cell(name, name), *(Cell(word, word or None) for word in words)])
    head = ["Domains", "Class", "Compared", "Only in the first", "Only in the other"]
    note = (
        "Domains are compared for the processes that both have. A process without a counterpart is omitted; in the "
        "significance with bias and in fits to another domain, it is taken from the nominal domain. `process` of a "
        "sample defines which processes are the same."
    )
    return Table("Compared processes", head, rows, note)


def two_sample_tables(metrics: EventMetrics) -> list[Table]:
    """Return two-sample tests of the score, one table for each pair and class: statistics with p-values."""
    tables = []
    note = (
        "Each statistic with its p-value from permutations; marked if it is below the 95 % quantile for two samples "
        "of one generator."
    )
    for pair in keys_of(model.tests for model in metrics.classifiers.values()):
        by_model = {name: model.tests.get(pair, {}) for name, model in metrics.classifiers.items()}
        for which in keys_of(by_model.values()):
            rows = [
                [Cell(name, name), *(_test(by_class[which].get(key)) for key in STATISTICS)]
                for name, by_class in by_model.items()
                if by_class.get(which)
            ]
            title = f"Two-sample tests, {which}, {pair.replace(':', ' against ')}"
            tables.append(Table(title, ["Model", *STATISTICS.values()], rows, note, "Two-sample tests of each class"))
    return tables


def _test(entry: StatisticEntry | None) -> Cell:
    """Return a statistic and its p-value in one cell."""
    value, p_value, null = (quantity(entry, name) for name in ("value", "p_value", "null"))
    cell = value.cell()
    if entry is None or value.value is None or p_value.value is None:
        return cell
    inside = null.value is not None and value.value <= null.value
    title = f"{cell.title}, p {p_value.value!r}" + (f", null {null.value!r}" if null.value is not None else "")
    p_text = p_cell(p_value, entry.p_value_is_upper_limit, 2).text
    return Cell(f"{cell.text} (p {p_text})", cell.sort, title, inside, cell.short)


def probe_tables(metrics: EventMetrics) -> list[Table]:
    """Return the AUC of fresh classifiers of the domains, one table for each pair and class."""
    note = (
        "AUC of classifiers of the domains (trees, network) that are trained afterwards, on their test events; 0.5: "
        "no separation. Of a model that predicts a number, its prediction is its score. Last row: the same on the "
        "inputs of all models."
    )
    columns = [(representation, kind) for representation in ("score", "embedding") for kind in CLASSIFIERS]
    head = ["Model", *(f"{REPRESENTATIONS[what]}: {CLASSIFIERS[kind]}" for what, kind in columns)]
    tables: list[Table] = []
    for pair in keys_of(model.probes for model in metrics.models.values()):
        by_model = {name: model.probes.get(pair, {}) for name, model in metrics.models.items()}
        for which in keys_of(by_model.values()):
            rows = [
                [Cell(name, name), *(_probe(by_class[which], kind, what) for what, kind in columns)]
                for name, by_class in by_model.items()
                if which in by_class
            ]
            inputs = metrics.guards.inputs.get(pair, {}).get(which)
            if inputs is not None:
                cells = [_probe(inputs, kind, "inputs") for kind in CLASSIFIERS]
                rows.append([Cell("inputs", "inputs"), *cells, *cells])
            title = f"Probes, {which}, {pair.replace(':', ' against ')}"
            tables.append(Table(title, head, rows, note, "" if not tables else "Probes of other classes and domains"))
    return tables or _trees_alone(metrics)


def _probe(entry: ProbeEntry, kind: str, representation: str) -> Cell:
    by_representation = (entry.bdt if kind == "bdt" else entry.mlp) or {}
    if representation == "score" and "prediction" in by_representation:
        representation = "prediction"
    return quantity_in(by_representation, representation).cell()


def _trees_alone(metrics: EventMetrics) -> list[Table]:
    """Return the tables for metrics without `probes`, from `domain_auc`."""
    tables = []
    note = "AUC of classifiers of the domains that are trained afterwards; 0.5: no separation."
    for pair in keys_of(model.domain_auc for model in metrics.classifiers.values()):
        entries = {
            name: model.domain_auc[pair] for name, model in metrics.classifiers.items() if pair in model.domain_auc
        }
        names = {name for entry in entries.values() for name in entry.model_fields_set}
        columns = {name: title for name, title in REPRESENTATIONS.items() if name in names}
        rows = [[Cell(name, name), *(entry.quantity(c).cell() for c in columns)] for name, entry in entries.items()]
        head = ["Model", *columns.values()]
        tables.append(Table(f"Probes, {pair.replace(':', ' against ')}", head, rows, note))
    return tables


def adaptation_table(metrics: EventMetrics) -> Table:
    """Return the cost and gain of each model compared with the baseline model.

    The columns are the difference in AUC in each domain and, for each pair of domains, the KS distance divided by that
    of the baseline model. Only models with both numbers have a cell. AUC differences are paired; the ratios of KS
    distances have no error.
    """
    name_of_baseline = metrics.baseline_model
    baseline = metrics.classifiers.get(name_of_baseline)
    if baseline is None:
        return Table("Cost and gain", ["Model"], [])
    domains = domains_with_values(model.auc for model in metrics.classifiers.values())
    pairs = list(baseline.bias)
    head = ["Model", *(f"ΔAUC {domain}" for domain in domains), *(f"KS ratio, {p.partition(':')[2]}" for p in pairs)]
    rows = []
    for name, model in metrics.classifiers.items():
        if name == name_of_baseline:
            continue
        cells: list[Cell] = []
        for domain in domains:
            paired = quantity_in(model.auc_difference, domain)
            new, old = (quantity_in(m.auc, domain).value for m in (model, baseline))
            cells.append(paired.cell() if paired.value is not None else _computed(new, old, lambda new, old: new - old))
        for pair in pairs:
            new, old = (quantity(m.bias.get(pair), "ks").value for m in (model, baseline))
            cells.append(_computed(new, old, lambda new, old: new / old if old > 0 else None))
        rows.append([Cell(name, name), *cells])
    note = f"Relative to {name_of_baseline}; below 1, the apparent difference to that domain decreased."
    return Table("Cost and gain", head, rows if pairs else [], note)


def _computed(new: float | None, old: float | None, formula: Callable[[float, float], float | None]) -> Cell:
    result = None if new is None or old is None else formula(new, old)
    return Quantity(result, present=new is not None or old is not None).cell(digits=2)


def ratio_table(metrics: EventMetrics) -> Table:
    """Return the shifts of each model divided by those of the baseline model.

    There is one column for each compared domain and signal efficiency.
    """
    by_model = {name: model.shift_ratio for name, model in metrics.classifiers.items() if model.shift_ratio}
    columns = [
        (pair, point)
        for pair in keys_of(by_model.values())
        for point in sorted(keys_of(by_pair.get(pair, {}) for by_pair in by_model.values()), key=float, reverse=True)
    ]
    head = ["Model"]
    for pair, point in columns:
        other = pair.partition(":")[2]
        head.append(f"{other}{' (unseen)' if other in metrics.held_out else ''}, {100 * float(point):g} %")
    rows = [
        [Cell(name, name), *(_ratio(by_pair.get(pair, {}).get(point)) for pair, point in columns)]
        for name, by_pair in by_model.items()
    ]
    note = (
        f"|shift of the efficiency| divided by that of {metrics.baseline_model}, for each domain, at cuts of the same "
        "signal efficiency; 68 % interval of paired bootstrap replicas. Below 1, the shift decreased. In parentheses: "
        "not significant, because the shift of the baseline is within two errors of zero; the ratio is undefined."
    )
    return Table("Shifts relative to the baseline", head, rows, note)


def _ratio(entry: ShiftRatioEntry | None) -> Cell:
    """Return a ratio as a cell, in brackets if it is not resolved.

    The title of the cell, which the pointer shows, has the two shifts that the ratio is formed of.
    """
    cell = Quantity(None, present=False).cell() if entry is None else quantity_of(entry).cell(digits=2)
    if entry is None or cell.sort is None:
        return cell
    shifts = [("adapted", entry.adapted), ("baseline", entry.plain)]
    parts = [f"{word} {quantity_of(shift).cell().title}" for word, shift in shifts]
    text, brief = (cell.text, cell.brief) if entry.resolved else (f"({cell.text})", f"({cell.short})")
    return Cell(text, cell.sort, "; ".join([cell.title, *parts]), brief=brief)
