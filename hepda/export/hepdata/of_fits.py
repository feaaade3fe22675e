"""The numbers of the figures of a fit; arguments are those of the functions that draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hepda.export.hepdata.tables import (
    Axis,
    Dependent,
    FigureTable,
    Uncertainties,
    axis,
    bins,
    interval,
    names,
    numbers,
    symmetric,
)
from hepda.plotting.fit.regions import RegionTexts
from hepda.results.fit_file import (
    ClosedEntry,
    ContentsEntry,
    CorrelationEntry,
    FitEntry,
    FittedModel,
    ImpactEntry,
    OriginEntry,
    ParameterEntry,
    RegionEntry,
    ScanEntry,
    YieldEntry,
)

ALL = "all uncertainties"
EVENTS = "Events"


def region(shown: RegionEntry, texts: RegionTexts, **_: Any) -> list[FigureTable]:
    """Return contents of each sample and of all, before and after the fit, and the data, by bin."""
    name = f"{texts.variable or shown.variable}{f' [{texts.unit}]' * bool(texts.unit)}"
    columns = [column for stage, contents in _stages(shown).items() for column in _contents(stage, contents)]
    if shown.observed is not None:
        columns.append(Dependent(EVENTS, numbers(shown.observed), of={"Process": texts.data}))
    return [FigureTable([bins(name, shown.edges)], columns)]


def summary(regions: Mapping[str, RegionEntry], texts: RegionTexts, **_: Any) -> list[FigureTable]:
    """Return yields of each sample and of all, before and after the fit, and the data, by region."""
    columns = []
    stages: dict[str, dict[str, ContentsEntry]] = {}
    for name, shown in regions.items():
        for stage, contents in _stages(shown).items():
            stages.setdefault(stage, {})[name] = contents
    for stage, by_region in stages.items():
        for sample in dict.fromkeys(s for contents in by_region.values() for s in contents.yields):
            found = [by_region[r].yields.get(sample) if r in by_region else None for r in regions]
            columns.append(_yields(found, {"Process": sample, "Stage": stage}))
        totals = [by_region[r].total_yield if r in by_region else None for r in regions]
        columns.append(_yields(totals, {"Process": "Total", "Stage": stage}))
    data = [None if shown.observed is None else sum(shown.observed) for shown in regions.values()]
    if any(value is not None for value in data):
        columns.append(Dependent(EVENTS, numbers(data), of={"Process": texts.data}))
    return [FigureTable([names("Region", list(regions))], columns)]


def _stages(shown: RegionEntry) -> dict[str, ContentsEntry]:
    after = {} if shown.postfit is None else {"post-fit": shown.postfit}
    return {"pre-fit": shown.prefit, **after}


def _contents(stage: str, contents: ContentsEntry) -> list[Dependent]:
    columns = [
        Dependent(
            EVENTS, numbers(values), [symmetric(ALL, contents.sample_errors[name])], {"Process": name, "Stage": stage}
        )
        for name, values in contents.samples.items()
    ]
    of = {"Process": "Total", "Stage": stage}
    return [*columns, Dependent(EVENTS, numbers(contents.total), [symmetric(ALL, contents.error)], of)]


def _yields(found: Sequence[YieldEntry | None], of: Mapping[str, str]) -> Dependent:
    values = [None if entry is None else entry.value for entry in found]
    errors = [None if entry is None else entry.error for entry in found]
    return Dependent(EVENTS, numbers(values), [symmetric(ALL, errors)], of)


def parameters(fitted: Sequence[ParameterEntry], **_: Any) -> list[FigureTable]:
    """Return pulls with the errors relative to those before the fit, and the parameters without a prior."""
    pulled = [p for p in fitted if p.pull is not None]
    free = [p for p in fitted if p.pull is None]
    tables = []
    if pulled:
        pulls = Dependent("Pull", numbers([p.pull for p in pulled]), [symmetric("fit", [p.constraint for p in pulled])])
        tables.append(FigureTable([_parameters([p.name for p in pulled])], [pulls], "pulls"))
    if free:
        values = Dependent("Value", numbers([p.value for p in free]), [symmetric("fit", [p.error for p in free])])
        tables.append(FigureTable([_parameters([p.name for p in free])], [values], "free"))
    return tables


def _parameters(found: Sequence[str], name: str = "Parameter") -> Axis:
    return names(name, found)


def ranking(impacts: Sequence[ImpactEntry], **_: Any) -> list[FigureTable]:
    """Return the shifts of mu by each parameter, after and before the fit."""
    sides = {
        ("post-fit", "up"): "mu_up", ("post-fit", "down"): "mu_down",
        ("pre-fit", "up"): "prefit_up", ("pre-fit", "down"): "prefit_down",
    }  # fmt: skip
    columns = [
        Dependent(
            "Shift of $\\mu$", numbers([getattr(i, key) for i in impacts]), of={"Error": stage, "Parameter": side}
        )
        for (stage, side), key in sides.items()
    ]
    pulls = Dependent("Pull", numbers([i.pull for i in impacts]), [symmetric("fit", [i.constraint for i in impacts])])
    return [FigureTable([_parameters([i.name for i in impacts])], [*columns, pulls])]


def origins(domains: Mapping[str, tuple[float, Sequence[OriginEntry]]], **_: Any) -> list[FigureTable]:
    """Return the parts of the bias of mu by domain, and the bias."""
    rows = list(dict.fromkeys((o.process, o.part, o.region) for _, parts in domains.values() for o in parts))
    texts = [f"{process}, {part}{'' if region is None else f' in {region}'}" for process, part, region in rows]
    columns = []
    for domain, (bias, parts) in domains.items():
        found = {(o.process, o.part, o.region): o for o in parts}
        entries = [found.get(row) for row in rows]
        values = [*(None if o is None else o.value for o in entries), bias]
        errors = [*(None if o is None else o.error for o in entries), None]
        columns.append(
            Dependent("Shift of $\\mu$", numbers(values), [symmetric("pseudo-data", errors)], {"Domain": domain})
        )
    return [FigureTable([_parameters([*texts, "all together"], "Origin")], columns)]


def correlations(found: CorrelationEntry, fitted: Sequence[ParameterEntry], **_: Any) -> list[FigureTable]:
    """Return the correlation of each pair of parameters."""
    pairs = [(one, two) for one in range(len(found.names)) for two in range(len(found.names))]
    axes = [
        _parameters([found.names[one] for one, _ in pairs], "Parameter 1"),
        _parameters([found.names[two] for _, two in pairs], "Parameter 2"),
    ]
    return [FigureTable(axes, [Dependent("Correlation", numbers([found.matrix[one][two] for one, two in pairs]))])]


def scan(found: ScanEntry, **_: Any) -> list[FigureTable]:
    """Return the likelihood against its parameter: profiled, and with all others fixed."""
    columns = [
        Dependent(r"$-2\,\Delta\ln L$", numbers(values), of={"Other parameters": others})
        for others, values in (("profiled", found.twice_delta_nll), ("fixed at their best values", found.fixed))
    ]
    return [FigureTable([axis(found.parameter, found.values)], columns)]


def strengths(models: Mapping[str, FittedModel], *, data: str = "data", **_: Any) -> list[FigureTable]:
    """Return mu and the free rates of each model, expected and observed."""
    columns = []
    for what, text in (("expected", "Asimov data"), ("observed", data)):
        fits: list[FitEntry] = [getattr(model, what) for model in models.values()]
        if all(fit.mu is None for fit in fits):
            continue
        values = [fit.mu for fit in fits]
        errors = interval(values, [fit.low for fit in fits], [fit.high for fit in fits])
        columns.append(Dependent(r"$\mu$", numbers(values), [errors], {"Fit to": text}))
        by_name = [{p.name: p for p in fit.parameters or () if p.kind == "free"} for fit in fits]
        for rate in dict.fromkeys(name for rates in by_name for name in rates):
            found = [rates.get(rate) for rates in by_name]
            error = symmetric("fit", [None if p is None else p.error for p in found])
            of = {"Fit to": text, "Parameter": rate}
            columns.append(Dependent("Rate", numbers([None if p is None else p.value for p in found]), [error], of))
    return [FigureTable([names("Model", list(models))], columns)]


def closure(fits: Mapping[str, Mapping[str, Sequence[ClosedEntry]]], *, source: str, **_: Any) -> list[FigureTable]:
    """Return bias and coverage by model: a table for each injected strength, columns for each domain used as data."""
    models = list(dict.fromkeys(model for by_model in fits.values() for model in by_model))
    truths = sorted({e.truth for by_model in fits.values() for entries in by_model.values() for e in entries})
    tables = []
    for truth in truths:
        columns = []
        for domain, by_model in fits.items():
            found = [next((e for e in by_model.get(m, ()) if e.truth == truth), None) for m in models]
            of = {"Templates": source, "Data": domain, "Injected strength": f"{truth:g}"}
            errors: list[Uncertainties] = [
                symmetric(label, [None if e is None else getattr(e, key) for e in found])
                for label, key in (("fit", "error"), ("finite pseudo-data", "sample_error"))
            ]
            biases = numbers([None if e is None else e.bias for e in found])
            columns.append(Dependent(r"$\hat{\mu} - \mu$", biases, errors, of))
            coverage = numbers([None if e is None else e.toys.coverage for e in found])
            if any(value is not None for value in coverage):
                error = symmetric("toys", [None if e is None else e.toys.coverage_error for e in found])
                columns.append(Dependent("Coverage of the 68.27 % interval", coverage, [error], of))
        tables.append(FigureTable([names("Model", models)], columns, f"mu_{truth:g}" if len(truths) > 1 else ""))
    return tables
