"""The results of `hepda fit` as tables of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hepda.events.results.tables.fit_groups import groups_table
from hepda.events.results.tables.fit_parameters import (
    goodness_table,
    origins_table,
    pruned_table,
    ranking_table,
    rates_table,
    smoothed_table,
)
from hepda.events.results.tables.fit_yields import yields_tables
from hepda.number_format import Cell, Quantity, Table
from hepda.results.fit_file import ClosedEntry, FitFile, ToysEntry

TITLES = {
    "without_two_point": "Bias of µ without the other generators as systematics",
    "all": "Bias of µ with the other generator as a systematic",
}
"""Titles of the variants of the closure."""


def fit_tables(fits: FitFile, labels: Mapping[str, str] | None = None) -> list[Table]:
    """Return the tables of the report's section "fit", those of what the fits have.

    Args:
        fits: the fits.
        labels: labels of the samples, which LaTeX writes.

    """
    tables = [
        _summary(fits),
        groups_table(fits),
        *(_headline(fits, variant) for variant in TITLES),
        *(_paired(fits, variant) for variant in TITLES),
        rates_table(fits),
        origins_table(fits),
        goodness_table(fits),
        *yields_tables(fits, labels),
        _profiled(fits),
        _scores(fits),
        _closure(fits, "without_two_point"),
        ranking_table(fits),
        _systematics(fits),
        pruned_table(fits),
        smoothed_table(fits),
    ]
    return [table for table in tables if table.rows]


def _summary(fits: FitFile) -> Table:
    """Return one row for each model: the expected results, and the observed ones if data are not blinded."""
    head = ["Model", "Bins", "Expected error of µ", "of that: data", "free rates", "systematics", "simulation",
            "Expected Z [σ]", "Observed µ", "Observed Z [σ]", "p-value of the fit",
            "Expected limit (CLs, 95 %)"]  # fmt: skip
    rows = []
    for name, model in fits.models.items():
        budget, observed = model.error_budget, model.observed
        numbers = [
            Quantity(sum(len(r.edges) - 1.0 for r in model.regions.values() if r.role != "validation")),
            Quantity(model.expected.error),
            *(Quantity(part) for part in (budget.data, budget.rates, budget.systematics, budget.simulation)),
            Quantity(model.expected.significance),
            Quantity(observed.mu).with_error(observed.error),
            Quantity(observed.significance),
            Quantity(observed.p_value),
            Quantity(model.expected.limit),
        ]
        rows.append([Cell(name, name), *(number.cell() for number in numbers)])
    note = (
        "Templates of the score with all systematics. The error is half of the interval in which −2 ln L rises by "
        "less than one; its components are from the curvature."
    )
    return Table("Signal strength", head, rows, note)


def _headline(fits: FitFile, variant: str) -> Table:
    """Return the bias at mu = 1 and the coverage: one row for each model, columns for domains used as data."""
    at_one = {name: found for name, model in fits.models.items() if (found := model.closure.at_one(variant))}
    domains = list(dict.fromkeys(domain for by_domain in at_one.values() for domain in by_domain))
    covered = {
        domain: any(by_domain[domain].toys.coverage is not None for by_domain in at_one.values() if domain in by_domain)
        for domain in domains
    }
    head = ["Model"]
    for domain in domains:
        head += [f"Bias, {domain}"] + [f"Coverage, {domain} [%]"] * covered[domain]
    rows = []
    for model, by_domain in at_one.items():
        cells = [Cell(model, model)]
        for domain in domains:
            closed = by_domain.get(domain)
            cells.append(Cell("") if closed is None else Quantity(closed.bias).with_error(closed.error).cell())
            if covered[domain]:
                cells.append(Cell("") if closed is None else _coverage(closed.toys))
        rows.append(cells)
    note = (
        f"Templates from {fits.source}, data from another domain at µ = 1 (data: µ = 1 is assumed as the truth); the "
        "error is that of the fit. Coverage of the 68.27 % interval, from toys of the pseudo-data."
    )
    return Table(TITLES[variant], head, rows, note)


def _paired(fits: FitFile, variant: str) -> Table:
    """Return by how much the bias of each model is smaller than that of the baseline, by domain."""
    domains = dict.fromkeys(domain for model in fits.models.values() for domain in model.paired.get(variant, {}))
    rows = []
    for name, model in fits.models.items():
        if entries := model.paired.get(variant, {}):
            of_domains = [entries.get(domain) for domain in domains]
            cells = [Cell("") if e is None else Quantity(e.value, e.low, e.high).cell() for e in of_domains]
            rows.append([Cell(name, name), *cells])
    note = (
        "|bias of the baseline| - |bias of the model| at µ = 1, with the 68.27 % interval of bootstrap replicas of the "
        "pseudo-data, which both models share; a positive number is a smaller bias."
    )
    title = TITLES[variant].replace("Bias of µ", "Bias of µ compared with the baseline,")
    return Table(title, ["Model", *domains], rows, note)


def _profiled(fits: FitFile) -> Table:
    """Return the bias of networks that read their domain, with the value of the domain chosen by the fit."""
    rows = [
        [
            Cell(name, name),
            Cell(domain, domain),
            Quantity(entry.truth).cell(),
            Quantity(entry.bias).with_error(entry.error).cell(),
            Quantity(entry.value).cell(),
        ]
        for name, model in fits.models.items()
        for domain, entries in model.profiled.items()
        for entry in entries
    ]
    note = (
        "The network is evaluated at the value of its parameter that fits best, with the templates of that domain; "
        "the error is half of the interval of the envelope (discrete profiling, arXiv:1408.6865)."
    )
    head = ["Model", "Data from", "Injected µ", "Bias of µ ± error", "Value"]
    return Table("Networks with the domain as an input, profiled", head, rows, note)


def _scores(fits: FitFile) -> Table:
    """Return the interval score by model and domain, without and with the other generator as a systematic."""
    endings = {"without_two_point": "without generator systematic", "all": "as a systematic"}
    scores = {
        name: {
            (variant, domain): score
            for variant in endings
            for domain, score in model.interval_score.get(variant, {}).items()
        }
        for name, model in fits.models.items()
    }
    columns = dict.fromkeys(
        column for by_column in scores.values() for column, score in by_column.items() if score.intervals
    )
    rows = [
        [
            Cell(name, name),
            *(Quantity(by_column[c].value).cell() if c in by_column else Cell("") for c in columns),
        ]
        for name, by_column in scores.items()
    ]
    note = (
        "−ln of the mean width of the 68.27 % intervals times a penalty for wrong coverage (FAIR Universe, "
        "arXiv:2410.02867), for all injected signal strengths together; larger is better."
    )
    head = ["Model", *(f"{domain}, {endings[variant]}" for variant, domain in columns)]
    return Table("Score of the intervals", head, rows if columns else [], note)


def _closure(fits: FitFile, variant: str) -> Table:
    """Return one row for each model, domain that is used as data, and injected strength."""
    head = ["Model", "Data from", "Injected µ", "Bias of µ ± error", "Finite pseudo-data", "Toys: bias", "Pull width",
            "Coverage [%]", "Interval width"]  # fmt: skip
    rows = [
        [
            Cell(model, model),
            Cell(domain, domain),
            Quantity(entry.truth).cell(),
            Quantity(entry.bias).with_error(entry.error).cell(),
            Quantity(entry.sample_error).cell(),
            Quantity(entry.toys.bias).with_error(entry.toys.bias_error).cell(),
            Quantity(entry.toys.pull_width).cell(),
            _coverage(entry.toys),
            Quantity(entry.toys.width).cell(),
        ]
        for model, domain, entry in _entries(fits, variant)
    ]
    note = (
        "All systematics except the two-point ones (fit.json has both variants). Finite pseudo-data: contribution of "
        "the finite simulation used as data to the error of the fitted strength. Toys fluctuate counts and auxiliary "
        "measurements."
    )
    return Table("Closure at every injected strength", head, rows, note)


def _entries(fits: FitFile, variant: str) -> Iterator[tuple[str, str, ClosedEntry]]:
    for name, model in fits.models.items():
        for domain, entries in model.closure.of(variant).items():
            for entry in entries:
                yield name, domain, entry


def _coverage(toys: ToysEntry) -> Cell:
    return Quantity(toys.coverage).with_error(toys.coverage_error).scaled(100.0).cell()


def _systematics(fits: FitFile) -> Table:
    """Return what was varied, and how."""
    rows = [
        [Cell(name, name), Cell(entry.kind, entry.kind), Cell(", ".join(entry.samples)), Cell(entry.how)]
        for name, entry in fits.systematics.items()
    ]
    return Table("Systematics", ["Parameter", "Kind", "Samples", "How"], rows)
