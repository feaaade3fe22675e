"""Goodness of fit against the saturated model, in which every bin and every constraint is met exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hepda.evaluation.fits.histfactory import Model, fit
from hepda.evaluation.fits.profile import fit_strengths
from hepda.evaluation.fits.templates import Templates
from hepda.evaluation.fits.toys import ALLOWED_FAILURES, fluctuations_about
from hepda.results.fits import Goodness


def goodness(templates: Templates, observed: ArrayLike, *, toys: int = 0, seed: int = 0) -> Goodness:
    """Return -2 ln of the largest L over that of the saturated model, and its p-value.

    Asymptotically it follows a chi2 distribution with as many degrees of freedom as bins less free factors (R. Cousins,
    "Generalization of chisquare goodness-of-fit test for binned data using saturated models", 2013): a nuisance
    parameter and its auxiliary measurement cancel. Toys replace that distribution: counts and auxiliary measurements
    fluctuate about the fit.

    Args:
        templates: the samples and their variations.
        observed: counts [b].
        toys: number of toys; 0 omits them.
        seed: seed of the toys.

    Raises:
        DataError: the templates cannot be fitted.

    """
    from scipy import stats

    model = Model.of(templates)
    data = model.nominally(templates.counts(observed)[None])
    best = fit_strengths(model, data, intervals=False)
    ndf = model.bins - len(model.rates)
    if not best.converged[0]:
        return Goodness(None, ndf, None, why="the fit runs to where a bin expects no events")
    value = 2 * float(best.value[0])
    p_value = float(stats.chi2.sf(value, ndf)) if ndf > 0 else None
    if toys == 0:
        return Goodness(value, ndf, p_value)
    above = good = 0
    for toy in fluctuations_about(model, data, best.theta, toys, seed):
        fits = fit(model, toy, np.repeat(best.theta, len(toy.observed), axis=0))
        good += int(fits.converged.sum())
        above += int(np.sum(2 * fits.at.value[fits.converged] >= value))
    failed = toys - good
    if failed > ALLOWED_FAILURES * toys:
        return Goodness(value, ndf, p_value, None, None, toys, failed, f"{failed} of {toys} toys have no minimum")
    p = above / good
    return Goodness(value, ndf, p_value, p, float(np.sqrt(p * (1 - p) / good)), toys, failed)
