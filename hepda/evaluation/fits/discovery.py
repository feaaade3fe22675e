"""Discovery significance of the signal: asymptotic, from pyhf, and from toys."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepda.evaluation.fits.fitting import workspace
from hepda.evaluation.fits.minuit import NoMinimumError, model_and_data, pyhf_with_minuit, tried
from hepda.evaluation.fits.templates import Templates
from hepda.evaluation.fits.toys import discovery_toys
from hepda.results.fits import SignificanceResult


def significance(
    templates: Templates,
    observed: ArrayLike | None = None,
    *,
    mu: float = 1.0,
    toys: int = 0,
    seed: int = 0,
) -> SignificanceResult:
    """Return the discovery significance sqrt(q0), expected and observed.

    Args:
        templates: the samples and their variations.
        observed: counts [b]; None computes the expected significance only.
        mu: strength of the Asimov data set of the expected significance.
        toys: number of toys without signal from which the observed significance (without data: that of the Asimov
            data set) is computed in addition; 0 omits it.
        seed: seed of the toys.

    """
    counts = templates.total(mu) if observed is None else observed
    spec = workspace(templates, counts)
    with pyhf_with_minuit() as pyhf:
        model, data = model_and_data(pyhf, spec)
        values = model.config.suggested_init()
        values[model.config.poi_index] = mu
        expected, why = discovery(pyhf, model, model.expected_data(values))
        observed_significance = None
        if observed is not None:
            observed_significance, why = discovery(pyhf, model, data)
    by_toys = discovery_toys(templates, counts, toys=toys, seed=seed) if toys else None
    return SignificanceResult(expected, observed_significance, mu, by_toys, why)


def discovery(pyhf: Any, model: Any, data: Any) -> tuple[float | None, str | None]:
    """Return the square root of q0 (0 where the best mu is negative), or None and the reason."""
    mle, poi = pyhf.infer.mle, model.config.poi_index
    start, fixed = model.config.suggested_init(), model.config.suggested_fixed()
    start[poi], fixed[poi] = 0.0, True
    try:
        best, least = tried(pyhf, mle.fit, data, model, return_fitted_val=True)
        if best[poi] <= 0:
            return 0.0, None
        if all(fixed):  # no free parameter is left, which MINUIT refuses
            without = mle.twice_nll(pyhf.tensorlib.astensor(start), pyhf.tensorlib.astensor(data), model)
        else:
            _, without = tried(pyhf, mle.fixed_poi_fit, 0.0, data, model, return_fitted_val=True)
    except NoMinimumError as reason:
        return None, str(reason)
    return float(np.sqrt(max(float(np.squeeze(without)) - float(least), 0.0))), None
