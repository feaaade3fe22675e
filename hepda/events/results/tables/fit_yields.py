"""Yields by process and region before and after the fit, as tables of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hepda.number_format import Cell, Quantity, Table
from hepda.results.fit_file import ContentsEntry, FitFile, FittedModel, RegionEntry, YieldEntry

FOLD = "Yields by process and region"
_NOT_FITTED = " (not fitted)"


def yields_tables(fits: FitFile, labels: Mapping[str, str] | None = None) -> list[Table]:
    """Return tables of the yields of each model: before the fit, after it.

    A row is a process, then the sum and the data; a column is a region. Models whose regions contain the same events
    share the table before the fit.

    Args:
        fits: the fits.
        labels: labels of the samples, which LaTeX writes.

    """
    same: dict[str, list[str]] = {}
    for name, model in fits.models.items():
        same.setdefault(repr(_before(model)), []).append(name)
    tables = []
    for names in same.values():
        model = fits.models[names[0]]
        note = (
            "Expected events at µ = 1 with the errors of all uncertainties, for processes of different samples and for "
            "the sum with their correlations. Regions with (not fitted) validate the fit."
        )
        title = "Yields before the fit" + ("" if len(same) == 1 else f": {', '.join(names)}")
        tables.append(Table(title, *_rows(model.regions, _before(model), labels or {}), note, FOLD))
    for name, model in fits.models.items():
        after = {region: entry.postfit for region, entry in model.regions.items() if entry.postfit is not None}
        if after:
            note = f"With the parameters of the fit to {model.fitted_to}, their errors and correlations."
            title = f"Yields after the fit: {name}"
            tables.append(Table(title, *_rows(model.regions, after, labels or {}), note, FOLD))
    return tables


def _before(model: FittedModel) -> dict[str, ContentsEntry]:
    return {name: region.prefit for name, region in model.regions.items()}


def _rows(
    regions: Mapping[str, RegionEntry], contents: Mapping[str, ContentsEntry], labels: Mapping[str, str]
) -> tuple[Sequence[str], Sequence[Sequence[Cell]]]:
    """Return head and rows of a table."""
    head = ["Process", *(f"{name}{_NOT_FITTED * (regions[name].role == 'validation')}" for name in contents)]
    samples = dict.fromkeys(sample for entry in contents.values() for sample in entry.yields)
    rows = [
        [
            Cell(sample, sample, latex=labels.get(sample, "")),
            *(_yield(entry.yields.get(sample)) for entry in contents.values()),
        ]
        for sample in samples
    ]
    rows.append([Cell("Sum", "Sum"), *(_yield(entry.total_yield) for entry in contents.values())])
    rows.append([Cell("Data", "Data"), *(_data(regions[name]) for name in contents)])
    return head, rows


def _yield(entry: YieldEntry | None) -> Cell:
    if entry is None:
        return Cell("", None, "the sample has no events in this region")
    return Quantity(float(entry.value)).with_error(entry.error).cell(digits=4)


def _data(region: RegionEntry) -> Cell:
    if region.observed is not None:
        return Quantity(float(sum(region.observed))).cell(digits=4)
    if region.blinded:
        return Cell("blinded", None, "; ".join(dict.fromkeys(region.blinded.values())))
    return replace(Quantity(None).cell(), title=region.observed_why or "there are no data")
