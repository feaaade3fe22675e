"""The fits of one model: expected and observed strength, impacts, and closure with data from every domain."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hepda.errors import DataError
from hepda.evaluation.fits import fitting
from hepda.evaluation.fits.discovery import significance
from hepda.evaluation.fits.limits import upper_limit
from hepda.evaluation.fits.postfit import postfit, prefit
from hepda.evaluation.fits.studies.goodness import goodness
from hepda.evaluation.fits.studies.origins import origins
from hepda.evaluation.fits.studies.ranking import error_budget, impacts
from hepda.evaluation.fits.studies.scan import scan
from hepda.evaluation.fits.templates import Templates
from hepda.evaluation.fits.toys import expected_fits, toy_fits
from hepda.events.domains.blinding import BLINDED
from hepda.events.fit.control import ControlFit, control_fit
from hepda.events.fit.inputs import TRUTHS, FitInput, PseudoData
from hepda.events.fit.replicas import replicated_strengths
from hepda.results.evaluation import ClosureFit, FloatArray, ToyClosure
from hepda.results.fits import (
    ErrorBudget,
    FitResult,
    Goodness,
    Impact,
    Origin,
    RegionContents,
    Scan,
    SignificanceResult,
    UpperLimit,
)

ALL, UNAWARE = "all", "without_two_point"
"""Variants of the closure: with every systematic, and without the systematics that are another generator."""
NO_TOYS = "toys need an expectation to fluctuate about, and data have none that is known"


@dataclass(frozen=True, slots=True, eq=False)
class MainFit:
    """Fits with all systematics: to the Asimov data at mu = 1, and to the data unless they are blinded."""

    expected: FitResult
    observed: FitResult | str  # or the reason why there is none
    significance: SignificanceResult
    limit: UpperLimit
    impacts: tuple[Impact, ...]
    budget: ErrorBudget  # expected
    fitted_to: str  # the data of what follows and of the impacts: the name of their domain or "Asimov data"
    prefit: tuple[RegionContents, ...]  # fitted regions, then those of validation
    postfit: tuple[RegionContents, ...]  # none if the fit has no minimum
    scan: Scan | None
    goodness: Goodness | None  # of the fit to data
    control: ControlFit | None = None  # of the regions whose data are not blinded, where others are

    @property
    def shown(self) -> FitResult:
        """Return the fit that figures draw."""
        return self.expected if isinstance(self.observed, str) else self.observed


@dataclass(frozen=True, slots=True, eq=False)
class Closed:
    """A fit to one domain's pseudo-data at one injected strength, and its toys or the reason why there are none."""

    fit: ClosureFit
    toys: ToyClosure | str
    replicas: FloatArray | None = None  # fitted mu of bootstrap replicas of the pseudo-data at mu = 1
    origins: tuple[Origin, ...] = ()  # parts of the bias at mu = 1, where the processes of the pseudo-data are known


def main_fit(fit_input: FitInput, toys: int, seed: int) -> MainFit:
    """Fit the Asimov data at mu = 1 and the data, or the first domain of several.

    Args:
        fit_input: templates and pseudo-data of the model.
        toys: number of toys for the significance and the goodness of fit.
        seed: seed of the toys.

    Raises:
        DataError: the bins cannot be fitted.

    """
    templates = fit_input.templates
    asimov = templates.total()
    observed_counts = {name: data.observed for name, data in fit_input.domains.items() if data.observed is not None}
    first = next(iter(observed_counts), None)
    counts = None if first is None else observed_counts[first]
    expected = fitting.fit(templates, asimov)
    observed: FitResult | str
    if counts is None:
        observed = BLINDED if BLINDED in fit_input.excluded.values() else "there are no data"
    else:
        observed = fitting.fit(templates, counts)
    shown, fitted_counts = (expected, asimov) if isinstance(observed, str) or counts is None else (observed, counts)
    has_minimum = shown.mu is not None
    return MainFit(
        expected,
        observed,
        significance(templates, counts, toys=toys, seed=seed),
        upper_limit(templates, counts),
        impacts(templates, fitted_counts, shown),
        error_budget(templates, asimov),
        "Asimov data" if first is None else first,
        (*prefit(templates), *prefit(fit_input.validation)),
        postfit(templates, shown, validation=fit_input.validation),
        scan(templates, fitted_counts) if has_minimum else None,
        None if counts is None else goodness(templates, counts, toys=toys, seed=seed),
        control_fit(fit_input),
    )


def closure_of(
    fit_input: FitInput, variant: str, toys: int, seed: int, replicas: int = 0
) -> dict[str, tuple[Closed, ...]]:
    """Fit pseudo-data of every domain with the strengths of TRUTHS, and generate toys for them.

    In domains whose classes are known the signal is scaled by mu. Data are fitted without change, and their true mu is
    taken to be 1.

    Args:
        fit_input: templates and pseudo-data of the model.
        variant: ALL for every systematic, UNAWARE to leave out those that are another generator.
        toys: number of toys of each fit.
        seed: seed of the toys.
        replicas: number of bootstrap replicas of the pseudo-data at mu = 1.

    Returns:
        By domain, one fit for each injected strength.

    """
    templates = fit_input.templates if variant == ALL else fit_input.unaware
    closed = {
        domain: (Closed(expected_fits(templates, data.observed[None], [1.0])[0], NO_TOYS),)
        if data.observed is not None and data.background is None
        else _closed(templates, data, toys, seed + 1000 * index)
        for index, (domain, data) in enumerate(fit_input.domains.items())
    }
    return {
        domain: tuple(_explained(c, fit_input, domain, templates, replicas) if c.fit.truth == 1 else c for c in fits)
        for domain, fits in closed.items()
    }


def _explained(closed: Closed, fit_input: FitInput, domain: str, templates: Templates, replicas: int) -> Closed:
    """Return the fit at mu = 1 with the parts of its bias, and with bootstrap replicas of the pseudo-data."""
    if closed.fit.mu is not None and domain in fit_input.processes:
        closed = replace(closed, origins=origins(templates, fit_input.processes[domain]))
    if domain in fit_input.events and replicas >= 2:
        closed = replace(closed, replicas=replicated_strengths(templates, fit_input.events[domain], replicas))
    return closed


def _closed(templates: Templates, data: PseudoData, toys: int, seed: int) -> tuple[Closed, ...]:
    closed = []
    for number, mu in enumerate(TRUTHS):
        contents = data.at(mu)
        if contents is None:
            lacks = "background" if data.background is None else "signal"
            closed.append(_unfitted(templates, mu, f"the domain has no {lacks} events"))
            continue
        try:
            (fit,) = expected_fits(templates, contents[0][None], [mu], variances=contents[1][None])
            closed.append(Closed(fit, _toys(templates, contents[0], mu, toys, seed + number)))
        except DataError as reason:
            closed.append(_unfitted(templates, mu, str(reason)))
    return tuple(closed)


def _unfitted(templates: Templates, mu: float, why: str) -> Closed:
    nothing = np.full(templates.bins, np.nan)
    return Closed(
        ClosureFit(None, None, None, None, mu, None, None, None, templates.edges, nothing, nothing, 0, why), why
    )


def _toys(templates: Templates, truth: np.ndarray, mu: float, toys: int, seed: int) -> ToyClosure | str:
    if toys < 2:
        return "no toys were requested"
    try:
        return toy_fits(templates, truth, mu, toys=toys, seed=seed)
    except DataError as reason:
        return str(reason)
