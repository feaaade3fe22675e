"""Parameters of a fit as tables of the report: free rates, impacts, goodness of fit, pruned and smoothed variations."""

from __future__ import annotations

import math
from collections.abc import Iterable

from hepda.number_format import Cell, Quantity, Table, p_text
from hepda.results.fit_file import FitFile, FittedModel, GoodnessEntry, OriginEntry, ParameterEntry, PrunedEntry

MOST = 20
"""Parameters of each model in the table of impacts."""


def rates_table(fits: FitFile) -> Table:
    """Return the free rates of each model: expected error, fit to data, fits to the other domains at mu = 1."""
    domains: dict[str, None] = {}
    for model in fits.models.values():
        domains |= dict.fromkeys(_rates_at_one(model))
    head = ["Model", "Rate", "Expected error", "Fit to data", "Control regions alone"]
    head += [text for domain in domains for text in (f"Fit to {domain}", f"True in {domain}")]
    rows = []
    for name, model in fits.models.items():
        of_data = model.observed.parameters, None if model.control is None else model.control.parameters
        on_data, in_control = ({p.name: p for p in _free(parameters or ())} for parameters in of_data)
        elsewhere = _rates_at_one(model)
        for rate in _free(model.expected.parameters or ()):
            cells = [Quantity(rate.error).cell()]
            for fitted in (on_data.get(rate.name), in_control.get(rate.name)):
                cells.append(Cell("") if fitted is None else _factor(fitted.value, fitted.error))
            for domain in domains:
                entry = elsewhere.get(domain, {}).get(rate.name)
                cells.append(Cell("") if entry is None else _factor(*entry))
                true = model.true_rates.get(domain, {}).get(rate.name)
                cells.append(Cell("") if true is None else _factor(true.value, true.error))
            rows.append([Cell(name, name), Cell(rate.name, rate.name), *cells])
    note = (
        "Factors on what the templates predict, without a prior: further strengths and free rates. Control regions are "
        "fitted alone, at µ = 1, where others are blinded. Fits to other domains are those of the closure at µ = 1, "
        "with all systematics; the true rates are the yields of the processes in these pseudo-data."
    )
    return Table("Free rates", head, rows, note)


def _free(parameters: Iterable[ParameterEntry]) -> list[ParameterEntry]:
    return [p for p in parameters if p.kind == "free"]


def _factor(value: float | None, error: float | None) -> Cell:
    return Quantity(None if value is None else float(value)).with_error(error).cell()


def _rates_at_one(model: FittedModel) -> dict[str, dict[str, tuple[float, float | None]]]:
    """Return the rates that each domain asks for at mu = 1: value and error by domain and rate."""
    variant = "all" if model.closure.of("all") else "without_two_point"
    return {
        domain: {name: (rate.value, rate.error) for name, rate in entry.rates.items()}
        for domain, entry in model.closure.at_one(variant).items()
        if entry.rates
    }


def origins_table(fits: FitFile) -> Table:
    """Return where the bias of mu comes from: by model, process and domain, the parts of the bias at mu = 1."""
    found: dict[tuple[str, str], dict[str, list[OriginEntry]]] = {}
    for name, model in fits.models.items():
        for domain, entry in model.closure.at_one("without_two_point").items():
            for origin in entry.origins:
                found.setdefault((name, origin.process), {}).setdefault(domain, []).append(origin)
    domains = list(dict.fromkeys(domain for by_domain in found.values() for domain in by_domain))
    parts = {"rate": "rate", "regions": "between regions", "shape": "shapes"}
    head = ["Model", "Process", *(f"{text}, {domain}" for domain in domains for text in parts.values())]
    rows = [
        [Cell(name, name), Cell(process, process)]
        + [_together(o for o in by_domain.get(d, ()) if o.part == part) for d in domains for part in parts]
        for (name, process), by_domain in found.items()
    ]
    note = (
        "Change of µ if one difference between pseudo-data and templates is added to the templates alone: the rate of "
        "a process, how it is distributed over the regions, its shape within them. Errors: of the finite pseudo-data. "
        "The parts add up to the bias as far as the fit is linear; generators are no systematics in it."
    )
    return Table("Origins of the bias of µ", head, rows, note)


def _together(parts: Iterable[OriginEntry]) -> Cell:
    """Return the sum of parts whose events are not the same: the shapes in all regions."""
    found = list(parts)
    if not found or any(origin.value is None for origin in found):
        return Cell("")
    error = math.sqrt(sum(float(origin.error or 0.0) ** 2 for origin in found))
    return _factor(sum(float(origin.value or 0.0) for origin in found), error)


def goodness_table(fits: FitFile) -> Table:
    """Return the goodness of fit to data, against the saturated model: a row for each model."""
    rows = []
    for name, model in fits.models.items():
        goodness = _goodness(model)
        if goodness is None:
            continue
        rows.append(
            [
                Cell(name, name),
                Quantity(goodness.value).cell(),
                Quantity(float(goodness.ndf)).cell(),
                Quantity(goodness.p_value).cell(),
                _p_of_toys(goodness),
            ]
        )
    note = (
        "−2 ln of the likelihood over that of the saturated model, in which every bin is met exactly; its p-value for "
        "a χ² of as many degrees of freedom, and from toys."
    )
    head = ["Model", "−2 ln λ", "Degrees of freedom", "p-value", "p-value from toys"]
    return Table("Goodness of fit", head, rows, note)


def _goodness(model: FittedModel) -> GoodnessEntry | None:
    fit = model.observed
    if model.goodness is not None or fit.goodness is None or fit.ndf is None:
        return model.goodness
    return GoodnessEntry(value=fit.goodness, ndf=fit.ndf, p_value=fit.p_value)


def _p_of_toys(goodness: GoodnessEntry) -> Cell:
    """Return the p-value from toys; of none that is as bad, an upper limit."""
    if goodness.toys_p_value == 0 and goodness.toys:
        limit = 1.0 / goodness.toys
        return Cell(p_text(limit, is_limit=True), limit, f"none of {goodness.toys} toys")
    return Quantity(goodness.toys_p_value).with_error(goodness.toys_p_error).cell()


def ranking_table(fits: FitFile) -> Table:
    """Return the largest impacts of each model, after and before the fit."""
    rows = [
        [
            Cell(name, name),
            Cell(impact.name, impact.name),
            _factor(impact.value, impact.error) if impact.pull is None else Cell(""),
            *(Quantity(x).cell() if impact.pull is not None else Cell("") for x in (impact.pull, impact.constraint)),
            *(Quantity(x).cell() for x in (impact.mu_up, impact.mu_down)),
            *(Cell("") if x is None else Quantity(x).cell() for x in (impact.prefit_up, impact.prefit_down)),
        ]
        for name, model in fits.models.items()
        for impact in model.impacts[:MOST]
    ]
    head = ["Model", "Parameter", "Value", "Pull", "Error after / before", "µ: parameter up", "µ: down",
            "µ: up, before the fit", "µ: down, before the fit"]  # fmt: skip
    used = {model.fitted_to for model in fits.models.values()}
    note = (
        f"The {MOST} largest of each model, in the fit to {', '.join(sorted(used))}: shifts of µ by one error of the "
        "parameter after and before the fit. A free rate has a value instead of a pull."
    )
    return Table("Impacts", head, rows, note)


def pruned_table(fits: FitFile) -> Table:
    """Return the effects of systematics that the fits leave out: a row for each model, parameter, and part."""
    rows = []
    for name, model in fits.models.items():
        groups: dict[tuple[str, str], list[PrunedEntry]] = {}
        for entry in model.pruned:
            groups.setdefault((entry.parameter, entry.part), []).append(entry)
        for (parameter, part), entries in groups.items():
            regions: dict[str, list[str]] = {}
            for entry in entries:
                regions.setdefault(entry.region, []).append(entry.sample)
            where = "; ".join(f"{region}: {', '.join(samples)}" for region, samples in regions.items())
            largest = max(entries, key=lambda entry: abs(entry.size))
            rows.append(
                [
                    Cell(name, name),
                    Cell(parameter, parameter),
                    Cell(part, part),
                    Cell(where, where),
                    Quantity(100.0 * largest.size).cell(),
                    Quantity(100.0 * largest.threshold).cell(),
                ]
            )
    head = ["Model", "Parameter", "Part", "Region: samples", "Largest effect [%]", "Threshold [%]"]
    note = "Effects on the rate of a sample in a region, or on its shape in any bin, that are below the threshold."
    return Table("Pruned systematics", head, rows, note, fold="Pruned and smoothed systematics")


def smoothed_table(fits: FitFile) -> Table:
    """Return the variations that were smoothed: a row for each model and parameter."""
    rows = []
    for name, model in fits.models.items():
        for parameter in dict.fromkeys(entry.parameter for entry in model.smoothed):
            entries = [entry for entry in model.smoothed if entry.parameter == parameter]
            largest = max(entries, key=lambda entry: entry.change)
            where = f"{largest.sample} in {largest.region}"
            rows.append(
                [
                    Cell(name, name),
                    Cell(parameter, parameter),
                    Quantity(float(len(entries))).cell(),
                    Quantity(100.0 * largest.change).cell(),
                    Cell(where, where),
                ]
            )
    head = ["Model", "Parameter", "Templates", "Largest change of a bin [%]", "Where"]
    note = f"Ratios of varied to nominal contents are smoothed: {fits.smoothing or 'not at all'}."
    return Table("Smoothed systematics", head, rows, note, fold="Pruned and smoothed systematics")
