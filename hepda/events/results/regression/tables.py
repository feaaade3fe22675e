"""Tables of models that predict a number: residuals by domain and by bin of the target, differences between domains."""

from __future__ import annotations

from collections.abc import Mapping

from hepda.number_format import Cell, Quantity, Table, number, p_cell
from hepda.results.entries.regression import DifferenceEntry, RegressionEntry
from hepda.results.events import EventMetrics
from hepda.results.record import quantity_of

NUMBERS = {"bias": "Bias", "resolution": "Resolution", "rmse": "RMSE", "correlation": "Correlation"}
_BINS_FOLDED = "In bins of the target"


def regression_tables(metrics: EventMetrics) -> list[Table]:
    """Return all tables of the models that predict a number; none if there are none."""
    entries = metrics.regressions
    if not entries:
        return []
    bins = [table for name, entry in entries.items() if (table := _bins_table(name, entry)).rows]
    differences = [
        _difference_table(
            f"Difference of the {what} between the domains", {n: getattr(e, what) for n, e in entries.items()}
        )
        for what in ("prediction", "residual")
    ]
    return [residual_table(metrics), *bins, *(table for table in differences if table.rows)]


def residual_table(metrics: EventMetrics) -> Table:
    """Return bias, resolution, RMSE and correlation of each model, a row for each domain with a target."""
    rows = []
    for name, entry in metrics.regressions.items():
        for domain, numbers in entry.domains.items():
            unseen = " (unseen)" if domain in metrics.held_out else ""
            title = f"{name}, {domain}{unseen}"
            rows.append(
                [
                    Cell(title, title),
                    Cell(entry.name, entry.name, latex=entry.title if entry.title != entry.name else ""),
                    *(numbers.quantity(key).cell() for key in NUMBERS),
                    numbers.quantity("n_eff").cell(digits=4),
                ]
            )
    note = (
        "Of prediction minus target, on test events with a target, with signed weights, in the units of the target. "
        "Bias: mean; resolution: half the width of the central 68.27 %; RMSE: root of the mean square. 68 % intervals "
        "of bootstrap replicas of the events; the spread between trainings is not included. These models predict no "
        "class and are not in the tables and figures of scores."
    )
    return Table("Predicted numbers", ["Model, domain", "Target", *NUMBERS.values(), "Effective events"], rows, note)


def _bins_table(name: str, entry: RegressionEntry) -> Table:
    """Return bias and resolution in bins of the target, a row for each bin, columns for each domain."""
    by_domain = {domain: numbers.bins for domain, numbers in entry.domains.items() if numbers.bins is not None}
    if not by_domain:
        return Table(f"{name} in bins of the target", [], [])
    edges = next(iter(by_domain.values())).edges
    rows = []
    for b in range(len(edges) - 1):
        text = f"{edges[b]:.4g} to {edges[b + 1]:.4g}"
        row = [Cell(text, float(edges[b]))]
        for bins in by_domain.values():
            for key in ("bias", "resolution"):
                value, low, high = (number(getattr(bins, f"{key}{end}")[b]) for end in ("", "_low", "_high"))
                row.append(Quantity(value, low, high).cell(digits=3))
        rows.append(row)
    head = [f"Target {entry.name}", *(f"{what}, {domain}" for domain in by_domain for what in ("Bias", "Resolution"))]
    note = "In the units of the target; events beyond the first and the last bin are in none."
    return Table(f"{name} in bins of the target", head, rows, note, _BINS_FOLDED)


def _difference_table(title: str, by_model: Mapping[str, Mapping[str, DifferenceEntry]]) -> Table:
    rows = []
    for name, by_pair in by_model.items():
        for pair, entry in by_pair.items():
            text = f"{name}, {pair.replace(':', ' against ')}"
            ks, null = entry.quantity("ks"), entry.quantity("ks_null")
            inside = null.value is not None and ks.value is not None and ks.value <= null.value
            rows.append(
                [
                    Cell(text, text),
                    ks.cell(good=inside),
                    null.cell(),
                    *(entry.quantity(key).cell() for key in ("wasserstein", "chi2_ndf")),
                    p_cell(entry.quantity("p_value"), entry.p_value_is_upper_limit),
                ]
            )
    note = (
        "Null: 95 % quantile of KS for two samples of one generator; a KS below it (marked) is no evidence of a "
        "difference. Wasserstein: in the units of the target."
    )
    known = any(quantity_of(entry.ks).value is not None for of in by_model.values() for entry in of.values())
    return Table(
        title, ["Model, domains", "KS", "Null KS", "Wasserstein", "χ² / ndf", "p-value"], rows if known else [], note
    )
