"""The results of a fit as the terminal shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hepda.events.fit.fits import ALL, UNAWARE
from hepda.results.fit_file import FitFile, FittedModel, ParameterEntry
from hepda.results.record import Number
from hepda.runtime.terminal import NumberTable

PULL = 1.0
"""Pulls that are larger are listed."""
_MOST = 6


def summary_table(fits: FitFile) -> NumberTable:
    """Return expected error and significance, the observed strength, and the bias at mu = 1 by domain."""
    domains = list(dict.fromkeys(domain for fitted in fits.models.values() for domain in fitted.closure.of(UNAWARE)))
    rows = []
    for name, fitted in fits.models.items():
        at_one = fitted.closure.at_one(UNAWARE)
        cells: list[tuple[Number | None, Number | None]] = [
            (fitted.expected.error, None),
            (fitted.expected.significance, None),
        ]
        cells += [(fitted.observed.mu, fitted.observed.error)]
        cells += [(None, None) if entry is None else (entry.bias, entry.error) for entry in map(at_one.get, domains)]
        rows.append([name, *(_cell(value, error) for value, error in cells)])
    head = ["model", "error", "Z", "observed", *(f"bias, {domain}" for domain in domains)]
    two_point = any(entry.kind == "two_point" for entry in fits.systematics.values())
    note = "bias of mu = 1" + ": templates without the two-point systematics" * two_point
    return NumberTable(head, rows, "signal strength", note)


def summary_lines(fits: FitFile) -> list[str]:
    """Return a few lines for each model: regions, free rates, pulls, goodness of fit, bias, what was changed."""
    lines = []
    if fits.pruning is not None:
        rate, shape = fits.pruning.rate, fits.pruning.shape
        lines.append(f"pruning: changes of the rate below {rate:.2%} and of the shape below {shape:.2%} are left out")
    if fits.smoothing is not None:
        lines.append(f"smoothing: ratios of varied to nominal contents, {fits.smoothing}")
    for name, fitted in fits.models.items():
        lines += [f"{name}: {line}" for line in _of_model(fitted)]
    return lines


def _number(count: int, what: str) -> str:
    """Return a number of things as text."""
    return f"{count} {what}" + "s" * (count != 1)


def _of_model(fitted: FittedModel) -> Iterator[str]:
    if len(fitted.regions) > 1:
        regions = ", ".join(
            f"{name} ({_number(len(r.edges) - 1, 'bin')}, {r.role})" for name, r in fitted.regions.items()
        )
        yield f"regions: {regions}"
    on_data = fitted.observed.mu is not None
    shown = fitted.observed if on_data else fitted.expected
    what = f"fit to {fitted.fitted_to if on_data else 'Asimov data'}"
    if shown.mu is None:
        yield f"{what} has no minimum: {shown.why}"
    else:
        yield f"{what}: {', '.join([f'mu {_cell(shown.mu, shown.error)}', *_rates(shown.parameters or ())])}"
    if on_data:
        yield _pulls(shown.parameters or ())
    yield from _control(fitted)
    if fitted.goodness is not None and fitted.goodness.value is not None:
        goodness = fitted.goodness
        asymptotic = "-" if goodness.p_value is None else f"{goodness.p_value:.2g}"
        by_toys = "" if goodness.toys_p_value is None else f", {goodness.toys_p_value:.2g} by toys"
        yield f"goodness of fit: {goodness.value:.1f} for {goodness.ndf} degrees of freedom, p = {asymptotic}{by_toys}"
    yield from _closure(fitted)
    if fitted.pruned:
        parameters = dict.fromkeys(entry.parameter for entry in fitted.pruned)
        yield f"pruned: {_number(len(fitted.pruned), 'effect')} of {_listed(list(parameters))}"
    if fitted.smoothed:
        largest = max(fitted.smoothed, key=lambda entry: entry.change)
        yield (
            f"smoothed: {_number(len(fitted.smoothed), 'variation')}; the largest change of a bin is "
            f"{largest.change:.1%}, of {largest.sample} in {largest.region} by {largest.parameter}"
        )
    for name, region in fitted.regions.items():
        if region.omitted:
            yield f"{name} has no template of {_listed(list(region.omitted))}: {next(iter(region.omitted.values()))}"
        if region.blinded and len(fitted.regions) > 1:
            yield f"{name} is blinded: its data are used nowhere"


def _control(fitted: FittedModel) -> Iterator[str]:
    """Yield the fit of control regions alone."""
    control = fitted.control
    if control is None:
        return
    what = f"fit to {control.domain} in {', '.join(control.regions)} at mu = 1"
    if control.why is not None:
        yield f"{what}: {control.why}"
        return
    yield f"{what}: {'; '.join([*_rates(control.parameters), _pulls(control.parameters)])}"


def _rates(parameters: Sequence[ParameterEntry]) -> list[str]:
    return [f"{p.name} {_cell(p.value, p.error)}" for p in parameters if p.kind == "free"]


def _pulls(parameters: Sequence[ParameterEntry]) -> str:
    large = [(p.name, p.pull) for p in parameters if p.pull is not None and abs(p.pull) > PULL]
    if not large:
        return f"no pull is beyond {PULL:g}"
    large.sort(key=lambda pair: -abs(pair[1]))
    return f"pulls beyond {PULL:g}: {_listed([f'{name} {pull:+.2f}' for name, pull in large])}"


def _closure(fitted: FittedModel) -> Iterator[str]:
    """Yield the bias of mu = 1 in pseudo-data of every domain, with the free rates that these data ask for."""
    variant = ALL if fitted.closure.of(ALL) else UNAWARE
    at_one = fitted.closure.at_one(variant)
    for domain in fitted.closure.of(variant):
        entry = at_one.get(domain)
        if entry is not None and entry.bias is not None:
            true = {name: f" (true: {rate.value:.2f})" for name, rate in fitted.true_rates.get(domain, {}).items()}
            rates = [f"{n} {_cell(rate.value, rate.error)}{true.get(n, '')}" for n, rate in entry.rates.items()]
            sample = "" if entry.sample_error is None else f" (± {entry.sample_error:.2f} of the pseudo-data)"
            yield f"bias of mu in {domain}: {', '.join([_cell(entry.bias, entry.error) + sample, *rates])}"
        paired = fitted.paired.get(variant, {}).get(domain)
        if paired is not None and paired.low is not None and paired.high is not None:
            interval = f"[{paired.low:+.2f}, {paired.high:+.2f}]"
            yield f"|bias of the baseline| - |bias| in {domain}: {paired.value:+.2f} {interval}"


def _listed(names: list[str]) -> str:
    rest = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {rest} more" if rest > 0 else "")


def _cell(value: Number | None, error: Number | None) -> str:
    if value is None:
        return "-"
    text = f"{round(value, 2) + 0.0:.2f}"  # no -0.00
    return text if error is None else f"{text} ± {error:.2f}"
