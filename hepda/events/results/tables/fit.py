"""The results of `hepda fit` as tables of the report, from the content of fit.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hepda.number_format import Cell, Quantity, Table

MOST = 8  # nuisance parameters of each model in the table of impacts
TITLES = {
    "without_two_point": "Bias of µ when nobody knew of the other generators",
    "all": "Bias of µ with the other generator as a systematic",
}
"""Titles of the variants of the closure."""


def fit_tables(found: Mapping[str, Any]) -> list[Table]:
    """Return the tables of the report's section "fit", from the content of fit.json."""
    return [
        _summary(found),
        *(_headline(found, variant) for variant in TITLES),
        _profiled(found),
        _scores(found),
        _closure(found, "without_two_point"),
        _impacts(found),
        _systematics(found),
    ]


def _summary(found: Mapping[str, Any]) -> Table:
    """Return one row for each model: the expected results, and the observed ones if data are not blinded."""
    head = ["Model", "Bins", "Expected error of µ", "of that: data", "systematics", "simulation", "Expected Z [σ]",
            "Observed µ", "Observed Z [σ]", "p-value of the fit", "Expected limit (CLs, 95 %)"]  # fmt: skip
    rows = []
    for name, model in found["models"].items():
        expected, observed = model["expected"], model["observed"]
        error = expected["error"]
        rows.append(
            [
                Cell(name, name),
                Quantity(len(model["edges"]) - 1.0).cell(),
                Quantity(error).cell(),
                *(Quantity(model["error_budget"][part]).cell() for part in ("data", "systematics", "simulation")),
                Quantity(expected["significance"]).cell(),
                _with_error(observed["mu"], observed["error"]).cell(),
                Quantity(observed["significance"]).cell(),
                Quantity(observed["p_value"]).cell(),
                Quantity(expected["limit"]).cell(),
            ]
        )
    note = (
        "Templates of the score with all systematics. The error is half of the interval where −2 ln L rises by one; "
        "its parts are from the curvature."
    )
    return Table("Signal strength", head, rows, note)


def _with_error(value: float | None, error: float | None) -> Quantity:
    return Quantity(value) if value is None or error is None else Quantity(value, value - error, value + error)


def _headline(found: Mapping[str, Any], variant: str) -> Table:
    """Return the bias at mu = 1 and the coverage: one row for each model, columns for domains used as data."""
    at_one: dict[str, dict[str, Mapping[str, Any]]] = {}
    for model, domain, entry in _entries(found, variant):
        if entry["truth"] == 1:
            at_one.setdefault(model, {})[domain] = entry
    domains = list(dict.fromkeys(domain for own in at_one.values() for domain in own))
    head = ["Model"]
    for domain in domains:
        covered = any(own[domain]["toys"]["coverage"] is not None for own in at_one.values() if domain in own)
        head += [f"Bias, {domain}"] + [f"Coverage, {domain} [%]"] * covered
    rows = []
    for model, own in at_one.items():
        cells = [Cell(model, model)]
        for domain in domains:
            at = own.get(domain)
            cells.append(Cell("") if at is None else _with_error(at["bias"], at["error"]).cell())
            if f"Coverage, {domain} [%]" in head:
                cells.append(Cell("") if at is None else _toys(at["toys"])[2])
        rows.append(cells)
    note = (
        f"Templates from {found['source']}, data from another domain at µ = 1 (data themselves: µ = 1 is taken for the "
        "truth); the error is that of the fit. Coverage: of the 68.27 % interval, by toys of the pseudo-data."
    )
    return Table(TITLES[variant], head, rows, note)


def _profiled(found: Mapping[str, Any]) -> Table:
    """Return the bias of networks that read their domain, with the value of the domain chosen by the fit."""
    rows = [
        [
            Cell(name, name),
            Cell(domain, domain),
            Quantity(entry["truth"]).cell(),
            _with_error(entry["bias"], entry["error"]).cell(),
            Quantity(entry["value"]).cell(),
        ]
        for name, model in found["models"].items()
        for domain, entries in (model.get("profiled") or {}).items()
        for entry in entries
    ]
    note = (
        "The network is read at the value of its parameter with the better fit, at each with the templates of that "
        "domain; the error is half of the envelope's interval (discrete profiling, arXiv:1408.6865)."
    )
    head = ["Model", "Data from", "Injected µ", "Bias of µ ± error", "Value"]
    return Table("Networks that read their domain, profiled", head, rows, note)


def _scores(found: Mapping[str, Any]) -> Table:
    """Return the interval score by model and domain, without and with the other generator as a systematic."""
    short = {"without_two_point": "nobody knew", "all": "as a systematic"}
    known = {
        name: {(v, d): score for v in short for d, score in ((model.get("interval_score") or {}).get(v) or {}).items()}
        for name, model in found["models"].items()
    }
    columns = dict.fromkeys(column for own in known.values() for column, score in own.items() if score["intervals"])
    rows = [
        [Cell(name, name), *(Quantity(own[c]["value"]).cell() if c in own else Cell("") for c in columns)]
        for name, own in known.items()
    ]
    note = (
        "−ln of the mean width of the 68.27 % intervals times a penalty where their coverage is wrong (FAIR Universe, "
        "arXiv:2410.02867), all injected strengths together; the larger the better."
    )
    head = ["Model", *(f"{domain}, {short[variant]}" for variant, domain in columns)]
    return Table("Score of the intervals", head, rows if columns else [], note)


def _closure(found: Mapping[str, Any], variant: str) -> Table:
    """Return one row for each model, domain that is used as data, and injected strength."""
    head = ["Model", "Data from", "Injected µ", "Bias of µ ± error", "Finite pseudo-data", "Toys: bias", "Pull width",
             "Coverage [%]", "Interval width"]  # fmt: skip
    rows = [
        [
            Cell(model, model),
            Cell(domain, domain),
            Quantity(entry["truth"]).cell(),
            _with_error(entry["bias"], entry["error"]).cell(),
            Quantity(entry["sample_error"]).cell(),
            *_toys(entry["toys"]),
        ]
        for model, domain, entry in _entries(found, variant)
    ]
    note = (
        "All systematics but the two-point ones (fit.json has both variants). Finite pseudo-data: what the finite "
        "simulation that plays data adds to the fitted strength. Toys fluctuate counts and auxiliary measurements."
    )
    return Table("Closure at every injected strength", head, rows, note)


def _entries(found: Mapping[str, Any], variant: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for name, model in found["models"].items():
        for domain, entries in (model["closure"].get(variant) or {}).items():
            for entry in entries:
                yield name, domain, entry


def _toys(toys: Mapping[str, Any]) -> list[Cell]:
    return [
        _with_error(toys["bias"], toys["bias_error"]).cell(),
        Quantity(toys["pull_width"]).cell(),
        _with_error(toys["coverage"], toys["coverage_error"]).scaled(100.0).cell(),
        Quantity(toys["width"]).cell(),
    ]


def _impacts(found: Mapping[str, Any]) -> Table:
    """Return the largest impacts of each model."""
    rows = [
        [
            Cell(name, name),
            Cell(impact["name"], impact["name"]),
            Quantity(impact["pull"]).cell(),
            Quantity(impact["constraint"]).cell(),
            Quantity(impact["mu_up"]).cell(),
            Quantity(impact["mu_down"]).cell(),
        ]
        for name, model in found["models"].items()
        for impact in model["impacts"][:MOST]
    ]
    head = ["Model", "Parameter", "Pull", "Error after / before", "µ: parameter up", "µ: down"]
    used = {model["fitted_to"] for model in found["models"].values()}
    note = f"The {MOST} largest of each model, in the fit to {', '.join(sorted(used))}; shifts by one post-fit error."
    return Table("Impacts", head, rows, note)


def _systematics(found: Mapping[str, Any]) -> Table:
    """Return what was varied, and how."""
    rows = [
        [Cell(name, name), Cell(entry["kind"], entry["kind"]), Cell(", ".join(entry["samples"])), Cell(entry["how"])]
        for name, entry in found["systematics"].items()
    ]
    return Table("Systematics", ["Parameter", "Kind", "Samples", "How"], rows)
