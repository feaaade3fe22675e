"""Profiling of a network that reads its domain: the fit determines the value of the parameter.

At the nominal value of the parameter the templates are those of the nominal domain. At the value of another domain they
are those that a two-point systematic of that domain makes, in the score evaluated at that value. The strength is that
of the value with the best fit, and its interval is the envelope of all values: the discrete profiling of Dauncey et al.
(arXiv:1408.6865), with one unit of -2 ln L for a value that is another generator (one standard deviation away, as in
`two_point`). The counts at two values belong to two different scores. Therefore -2 ln L relative to the saturated
model, minus its degrees of freedom, is compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from hepda.config.events.systematics import TwoPointSystematic
from hepda.errors import DataError
from hepda.evaluation.fits import fitting
from hepda.evaluation.fits.channels import SampleTemplate
from hepda.evaluation.fits.templates import Templates
from hepda.events.fit.inputs import TRUTHS, FitInput, PseudoData, without
from hepda.events.specs import ModelSpec, SystematicsSpec
from hepda.results.fits import FitResult


@dataclass(frozen=True, slots=True)
class Profiled:
    """A fit to the pseudo-data of one domain.

    offset: for each value of the parameter, the difference between its fit and the best fit in the compared quantity.
    """

    truth: float
    mu: float | None = None
    low: float | None = None
    high: float | None = None
    value: float | None = None
    offset: Mapping[float, float] | None = None
    why: str | None = None


def values_of(model: ModelSpec, systematics: SystematicsSpec) -> dict[float, tuple[str, ...]]:
    """Return the values of the parameter of a model other than 0, each with the two-point systematics of its domain.

    The mapping is empty for a model without a parameter. It does not contain values whose domain no systematic names.
    """
    values: dict[float, tuple[str, ...]] = {}
    for domain, value in (model.parameter or {}).items():
        names = tuple(
            name
            for name, section in systematics.sections.items()
            if isinstance(section, TwoPointSystematic) and section.domain == domain
        )
        if value != 0.0 and names:
            values[value] = names
    return values


def profile(inputs: Mapping[float, FitInput], shifted: Mapping[float, tuple[str, ...]]) -> dict[str, list[Profiled]]:
    """Fit the pseudo-data of every domain at every injected strength.

    Data whose truth is unknown are fitted without change, and their true mu is taken to be 1.

    Args:
        inputs: templates and pseudo-data by the value at which the network is evaluated; 0 is one of the values.
        shifted: for the other values, the two-point systematics that make their templates.

    Returns:
        By domain, one fit for each injected strength.

    """
    templates = {
        v: fit_input.unaware
        if v == 0.0
        else moved(fit_input.templates, tuple(p for name in shifted[v] for p in fit_input.two_points[name]))
        for v, fit_input in inputs.items()
    }
    by_domain: dict[str, list[Profiled]] = {}
    for domain, nominal in inputs[0.0].domains.items():
        truth_unknown = nominal.observed is not None and nominal.background is None
        by_domain[domain] = []
        for mu in (1.0,) if truth_unknown else TRUTHS:
            counts = {v: _counts(fit_input.domains[domain], mu) for v, fit_input in inputs.items()}
            if any(contents is None for contents in counts.values()):
                by_domain[domain].append(Profiled(mu, why="the domain lacks a class"))
                continue
            try:
                fits = {v: fitting.fit(templates[v], np.asarray(counts[v])) for v in inputs}
            except DataError as reason:
                by_domain[domain].append(Profiled(mu, why=str(reason)))
                continue
            by_domain[domain].append(envelope(fits, mu))
    return by_domain


def _counts(data: PseudoData, mu: float) -> np.ndarray | None:
    contents = data.at(mu)
    return data.observed if contents is None else contents[0]


def moved(templates: Templates, names: tuple[str, ...]) -> Templates:
    """Return the templates at the other generator of two-point systematics.

    These systematics are then no longer among those that the fit can pull.

    Args:
        templates: the nominal templates with their variations.
        names: the parameters of the two-point systematics.

    """
    return templates.mapped(lambda sample: _moved(sample, names))


def _moved(sample: SampleTemplate, names: tuple[str, ...]) -> SampleTemplate:
    factor = np.ones_like(sample.sumw)
    for name in names:
        if name in sample.shapes:
            up = sample.shapes[name][0]
            factor = factor * np.divide(up, sample.sumw, out=np.ones_like(sample.sumw), where=sample.sumw != 0)
        if name in sample.norms:
            factor = factor * sample.norms[name][0]
    remaining = without(sample, set(names))
    return replace(
        remaining,
        sumw=sample.sumw * factor,
        sumw2=sample.sumw2 * factor**2,
        shapes={name: (up * factor, down * factor) for name, (up, down) in remaining.shapes.items()},
    )


def envelope(fits: Mapping[float, FitResult], truth: float) -> Profiled:
    """Return the best of several fits and the interval of all of them.

    Each -2 ln L is described by a parabola on either side of its best mu.

    Args:
        fits: the fit at each value of the parameter.
        truth: the true mu of the pseudo-data.

    """
    levels = {}
    for value, fit in fits.items():
        if fit.mu is None or fit.goodness is None or fit.low is None or fit.high is None:
            continue
        levels[value] = fit.goodness - fit.ndf + (0.0 if value == 0.0 else 1.0)
    if not levels:
        return Profiled(truth, why="; ".join(dict.fromkeys(str(fit.why) for fit in fits.values())))
    best = min(levels, key=lambda value: levels[value])
    offset = {value: level - levels[best] for value, level in levels.items()}
    lows, highs = [], []
    for value, above in offset.items():
        fit, share = fits[value], math.sqrt(max(0.0, 1.0 - above))
        if above < 1.0 and fit.mu is not None and fit.low is not None and fit.high is not None:
            lows.append(fit.mu - share * (fit.mu - fit.low))
            highs.append(fit.mu + share * (fit.high - fit.mu))
    return Profiled(truth, fits[best].mu, min(lows), max(highs), best, offset)
