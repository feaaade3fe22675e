"""A network that reads its domain, profiled: the fit decides at which value of the parameter it is read.

At the nominal value stand the templates of the first domain; at the value of another domain those that a two-point
systematic of it makes, in the score read at that value. The strength is that of the value with the best fit, and its
interval the envelope of all values: the discrete profiling of Dauncey et al. (arXiv:1408.6865), with one unit of
-2 ln L for a value that is another generator (one standard deviation away, as `two_point` has it). The counts at two
values are of two scores, so what is compared is -2 ln L over that of the saturated model, less its degrees of freedom.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from hepda.config import AnalysisConfig, NetworkConfig
from hepda.config.events.systematics import TwoPointSystematic
from hepda.errors import DataError
from hepda.evaluation.fits import fitting
from hepda.evaluation.fits.fit_results import FitResult
from hepda.evaluation.fits.templates import SampleTemplate, Templates
from hepda.events.fit.templates import TRUTHS, PseudoData, Region


@dataclass(frozen=True, slots=True)
class Profiled:
    """A fit to one domain's pseudo-data; offset: by value of the parameter, what its fit has over the best one's."""

    truth: float
    mu: float | None = None
    low: float | None = None
    high: float | None = None
    value: float | None = None
    offset: Mapping[float, float] | None = None
    why: str | None = None


def values_of(config: AnalysisConfig, model: str) -> dict[float, tuple[str, ...]]:
    """Values of the parameter of a model other than 0, each with the two-point systematics of its domain.

    Empty for a model without a parameter, and for values whose domain no systematic names.
    """
    section = config.models[model]
    parameter = section.parameter if isinstance(section, NetworkConfig) else None
    found: dict[float, tuple[str, ...]] = {}
    for domain, value in (parameter or {}).items():
        names = tuple(
            name
            for name, own in config.systematics.items()
            if isinstance(own, TwoPointSystematic) and own.domain == domain
        )
        if value != 0.0 and names:
            found[value] = names
    return found


def profile(regions: Mapping[float, Region], shifted: Mapping[float, tuple[str, ...]]) -> dict[str, list[Profiled]]:
    """Fits to the pseudo-data of every domain at every injected strength.

    regions: what is fitted, by the value at which the network is read, 0 among them; shifted: of the other values, the
    two-point systematics that make their templates. Data without truth are fitted as they are, with mu = 1 for it.
    """
    templates = {v: r.unaware if v == 0.0 else moved(r.templates, shifted[v]) for v, r in regions.items()}
    found: dict[str, list[Profiled]] = {}
    for domain, nominal in regions[0.0].domains.items():
        alone = nominal.observed is not None and nominal.background is None
        found[domain] = []
        for mu in (1.0,) if alone else TRUTHS:
            counts = {v: _counts(region.domains[domain], mu) for v, region in regions.items()}
            if any(own is None for own in counts.values()):
                found[domain].append(Profiled(mu, why="the domain lacks a class"))
                continue
            try:
                fits = {v: fitting.fit(templates[v], np.asarray(counts[v])) for v in regions}
            except DataError as reason:
                found[domain].append(Profiled(mu, why=str(reason)))
                continue
            found[domain].append(envelope(fits, mu))
    return found


def _counts(data: PseudoData, mu: float) -> np.ndarray | None:
    contents = data.at(mu)
    return data.observed if contents is None else contents[0]


def moved(templates: Templates, names: tuple[str, ...]) -> Templates:
    """The templates with two-point systematics at their other generator, and without any two-point left to pull."""
    return Templates(templates.edges, tuple(_moved(sample, names) for sample in templates.samples))


def _moved(sample: SampleTemplate, names: tuple[str, ...]) -> SampleTemplate:
    own = next((name for name in names if name in sample.shapes), None)
    shapes = {name: shape for name, shape in sample.shapes.items() if name not in names}
    if own is None:
        return replace(sample, shapes=shapes)
    factor = np.divide(sample.shapes[own][0], sample.sumw, out=np.ones_like(sample.sumw), where=sample.sumw != 0)
    return replace(
        sample,
        sumw=sample.sumw * factor,
        sumw2=sample.sumw2 * factor**2,
        shapes={name: (up * factor, down * factor) for name, (up, down) in shapes.items()},
    )


def envelope(fits: Mapping[float, FitResult], truth: float) -> Profiled:
    """The best of several fits and the interval of all of them, each a parabola to either side of its best mu."""
    told = {}
    for value, fit in fits.items():
        if fit.mu is None or fit.goodness is None or fit.low is None or fit.high is None:
            continue
        told[value] = fit.goodness - fit.ndf + (0.0 if value == 0.0 else 1.0)
    if not told:
        return Profiled(truth, why="; ".join(dict.fromkeys(str(fit.why) for fit in fits.values())))
    best = min(told, key=lambda value: told[value])
    offset = {value: level - told[best] for value, level in told.items()}
    lows, highs = [], []
    for value, above in offset.items():
        fit, share = fits[value], math.sqrt(max(0.0, 1.0 - above))
        if above < 1.0 and fit.mu is not None and fit.low is not None and fit.high is not None:
            lows.append(fit.mu - share * (fit.mu - fit.low))
            highs.append(fit.mu + share * (fit.high - fit.mu))
    return Profiled(truth, fits[best].mu, min(lows), max(highs), best, offset)
