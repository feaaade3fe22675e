"""Fits of runs that differ by the seed alone as tables: mean bias, its errors, and the noise of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hepda.events.fit.seeds import BiasOverSeeds, bias_over_seeds
from hepda.events.results.tables.fit import TITLES
from hepda.number_format import Cell, Quantity, Table
from hepda.results.fit_file import FitFile

Averages = Mapping[str, Mapping[str, BiasOverSeeds]]


def seeds_tables(fits: Sequence[FitFile], baseline: str) -> list[Table]:
    """Return the tables of a mean over seeds: bias, differences to the baseline, intervals and rates.

    Args:
        fits: the fits of runs that differ by their seed alone.
        baseline: the model that the others are compared with.

    """
    tables = []
    for variant, title in TITLES.items():
        averages = bias_over_seeds(fits, baseline, variant)
        ending = f", mean of {len(fits)} seeds"
        tables += [
            _biases(averages, title + ending),
            _differences(averages, title.replace("Bias of µ", "Bias of µ compared with the baseline,") + ending),
            _intervals(averages, title.replace("Bias", "Intervals") + ending),
            _rates(averages, title.replace("Bias of µ", "Fitted rates") + ending),
        ]
    return [table.filled for table in tables if table.has_values]


def _domains(averages: Averages) -> list[str]:
    return list(dict.fromkeys(domain for by_domain in averages.values() for domain in by_domain))


def _biases(averages: Averages, title: str) -> Table:
    domains = _domains(averages)
    head = ["Model", "Expected error of µ"]
    for domain in domains:
        head += [f"Bias, {domain}", f"Noise of training, {domain}"]
    rows = []
    for model, by_domain in averages.items():
        first = next(iter(by_domain.values()), None)
        cells = [Cell(model, model), Quantity(None if first is None else first.expected_error).cell()]
        for domain in domains:
            of = by_domain.get(domain)
            cells.append(Cell("") if of is None else Quantity(of.bias).with_error(of.data_error).cell())
            cells.append(Cell("") if of is None else Quantity(of.noise).cell(digits=2))
        rows.append(cells)
    note = (
        "At µ = 1. The error of a bias is that of the finite pseudo-data, which are the same events for every seed "
        "(bootstrap of the events). Noise of training: standard deviation over the seeds; the error of the mean is "
        "smaller by the square root of their number."
    )
    return Table(title, head, rows, note)


def _differences(averages: Averages, title: str) -> Table:
    domains = _domains(averages)
    head = ["Model"]
    for domain in domains:
        head += [domain, f"95 % interval, {domain}"]
    rows = []
    for model, by_domain in averages.items():
        cells = [Cell(model, model)]
        for domain in domains:
            smaller = by_domain[domain].smaller if domain in by_domain else None
            if smaller is None:
                cells += [Cell(""), Cell("")]
                continue
            narrow, wide = smaller
            cells.append(Quantity(narrow.value, narrow.low, narrow.high).cell())
            text = f"{wide.low:+.2f} to {wide.high:+.2f}".replace("-", "−")
            cells.append(Cell(text, wide.low, f"[{wide.low!r}, {wide.high!r}]"))
        if any(cell.sort is not None for cell in cells[1:]):
            rows.append(cells)
    note = (
        "|bias of the baseline| − |bias of the model| at µ = 1; positive: a smaller bias. Intervals of bootstrap "
        "replicas, each of which draws the events of the pseudo-data and the seeds, the same ones for all models."
    )
    return Table(title, head, rows, note)


def _intervals(averages: Averages, title: str) -> Table:
    domains = _domains(averages)
    head = ["Model"]
    for domain in domains:
        head += [f"Coverage, {domain} [%]", f"Winkler score, {domain}", f"Goodness of fit, {domain}"]
    rows = []
    for model, by_domain in averages.items():
        cells = [Cell(model, model)]
        for domain in domains:
            of = by_domain.get(domain)
            if of is None:
                cells += [Cell("")] * 3
                continue
            cells.append(Quantity(of.coverage).scaled(100).cell())
            cells.append(Quantity(of.winkler).cell())
            fitted = Quantity(of.goodness).cell(digits=2)
            known = of.goodness is not None and of.ndf is not None
            cells.append(Cell(f"{fitted.text} / {of.ndf:.0f}", of.goodness, fitted.title) if known else fitted)
        rows.append(cells)
    note = (
        "68.27 % intervals of toys of the pseudo-data at µ = 1. Winkler score: width, and 6.3 times the distance by "
        "which the truth is missed; smaller is better. Goodness of fit: −2 ln L against the saturated model / degrees "
        "of freedom, for the expectation of the pseudo-data, which does not fluctuate."
    )
    return Table(title, head, rows, note)


def _rates(averages: Averages, title: str) -> Table:
    places = [(model, domain) for model, by_domain in averages.items() for domain in by_domain]
    names = list(dict.fromkeys(name for model, domain in places for name in averages[model][domain].rates))
    rows = []
    for model, domain in places:
        rates = averages[model][domain].rates
        known = [Quantity(rates[n][0]).with_error(rates[n][1]).cell() if n in rates else Cell("") for n in names]
        rows.append([Cell(model, model), Cell(domain, domain), *known])
    note = "In units of the templates; the error is the standard deviation over the seeds."
    return Table(title, ["Model", "Data from", *names], rows if names else [], note)
