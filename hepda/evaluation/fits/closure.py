"""Closure: fit the signal strength in pseudo-data of one domain with the templates of another.

This is a light version for metrics.json, with one signal, one background and the templates' statistics; systematic
variations, toys and the full workspace are in `fitting` and `toys`. The likelihood and its minimum are those of the
full fit (`histfactory`, `profile`). The difference between mu and the injected truth is the bias that a wrong generator
causes; it is resolved if it is much larger than `sample_error`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from hepda.errors import DataError
from hepda.evaluation.arrays import bin_edges, by_class, histogram, sample, vector
from hepda.evaluation.differences.distances import merge_bins
from hepda.evaluation.fits.channels import POI
from hepda.evaluation.fits.histfactory import Model, Observations
from hepda.evaluation.fits.numerics.expectation import Row, RowByRow
from hepda.evaluation.fits.numerics.interpolation import RateFactors
from hepda.evaluation.fits.profile import Strengths, fit_strengths
from hepda.results.evaluation import ClosureFit, FloatArray

_SCALE = "background"
_FREE = 1e4  # relative uncertainty of a free scale: its constraint then moves mu by less than 1e-8 of its error
_NO_INTERVAL = "-2 ln L decreases again next to this minimum: no interval; the error is that of the curvature"


@dataclass(frozen=True, slots=True)
class ClosureSettings:
    """How mu is fitted in a closure test.

    truth: the injected mu; background_uncertainty: relative uncertainty of the scale of the background, 0 fixes it,
    None leaves it free; simulated: whether the data are simulated, False for real data; min_n_eff: smallest effective
    number of background events in a bin.
    """

    truth: float = 1.0
    background_uncertainty: float | None = 0.0
    simulated: bool = True
    min_n_eff: float = 10.0


DEFAULT = ClosureSettings()


def fit_mu(
    signal: ArrayLike,
    background: ArrayLike,
    observed: ArrayLike,
    *,
    signal_sumw2: ArrayLike | None = None,
    background_sumw2: ArrayLike | None = None,
    observed_sumw2: ArrayLike | None = None,
    background_uncertainty: float | None = 0.0,
    truth: float = 1.0,
) -> ClosureFit:
    """Fit mu to binned contents [b]: observed = mu signal + k background.

    The fitted mu is None, with a reason in `why`, if there is no minimum.

    Args:
        signal: contents of the signal template [b].
        background: contents of the background template [b].
        observed: contents to fit [b].
        signal_sumw2: sums of squared weights of the signal template [b]; None means that it is exact.
        background_sumw2: sums of squared weights of the background template [b]; None means that it is exact.
        observed_sumw2: sums of squared weights of the observed contents [b], given if they are simulated, to compute
            `sample_error`.
        background_uncertainty: relative uncertainty of k; 0 fixes it, None leaves it free.
        truth: the injected mu, for the pull.

    Raises:
        ValueError: the lengths differ.
        DataError: contents are not finite, or a bin is without background or has a negative sum (merge it first:
            `closure` does).

    """
    s = vector(signal, "signal template")
    b = vector(background, "background template", len(s))
    n = vector(observed, "observed", len(s))
    if background_uncertainty is not None and background_uncertainty < 0:
        raise ValueError(f"a relative uncertainty is never negative: {background_uncertainty}")
    variance = np.zeros(len(s))
    for sumw2, name in ((signal_sumw2, "signal_sumw2"), (background_sumw2, "background_sumw2")):
        variance += 0.0 if sumw2 is None else vector(sumw2, name, len(s))
    _check_contents(s, b, n)
    width = _FREE if background_uncertainty is None else background_uncertainty
    model = _two_templates(s, b, np.sqrt(variance) / (s + b), width)
    data = model.nominally(n[None])
    fits = fit_strengths(model, data, last_step=True)
    noise = None
    if observed_sumw2 is not None:
        (noise,) = sample_errors(model, data, fits, vector(observed_sumw2, "observed_sumw2", len(s))[None])
    scale = 1.0 + width * float(fits.theta[0, 1:].sum())
    fit = closure_fit(model, data, fits, truth=truth, edges=np.arange(len(s) + 1.0), background_scale=scale)
    return replace(fit, sample_error=noise)


def closure(
    score: ArrayLike,
    label: ArrayLike,
    weight: ArrayLike,
    data_score: ArrayLike,
    data_weight: ArrayLike | None,
    edges: ArrayLike,
    *,
    settings: ClosureSettings = DEFAULT,
) -> ClosureFit:
    """Fit mu in bins of the score, with templates from the source's events and data from data_score [m].

    Bins whose background is not positive or has n_eff below the minimum, or whose signal or data are negative, are
    merged with their neighbours first and counted in `merged`.

    Args:
        score: scores of the source [n].
        label: labels of the source [n] (1 signal, 0 background).
        weight: weights of the source [n], in expected events.
        data_score: scores of the data [m].
        data_weight: weights of the data [m], also in expected events, if they are simulated (their signal was then
            scaled by the injected mu); None for real data.
        edges: edges of the bins of the score.
        settings: injected mu, uncertainty of the background and smallest number of events in a bin.

    """
    templates, remaining = _templates(score, label, weight, data_score, data_weight, edges, settings.min_n_eff)
    limits = bin_edges(edges)
    if remaining is None:
        why = "all bins together have a negative content, no signal, or a background below the smallest n_eff"
        return _unfitted(settings.truth, limits, templates[4], why)
    s, s2, b, b2, n, n2 = np.add.reduceat(templates, remaining[:-1], axis=1)
    result = fit_mu(
        s,
        b,
        n,
        signal_sumw2=s2,
        background_sumw2=b2,
        observed_sumw2=n2 if settings.simulated else None,
        background_uncertainty=settings.background_uncertainty,
        truth=settings.truth,
    )
    return replace(result, edges=limits[remaining], merged=len(limits) - len(remaining))


def _templates(
    score: ArrayLike,
    label: ArrayLike,
    weight: ArrayLike,
    data_score: ArrayLike,
    data_weight: ArrayLike | None,
    edges: ArrayLike,
    min_n_eff: float,
) -> tuple[FloatArray, np.ndarray[tuple[int], np.dtype[np.intp]] | None]:
    """Return the contents [6, b] (sumw and sumw2 of signal, background, data) and the edges that merging keeps."""
    limits = bin_edges(edges)
    signal, background = by_class(score, label, weight, "templates")
    data = sample(data_score, data_weight, "data")
    content = np.concatenate([histogram(p.score, p.weight, limits) for p in (signal, background, data)])

    def usable(x: FloatArray) -> bool:
        return bool(x[0] >= 0 and x[2] > 0 and x[2] ** 2 >= min_n_eff * x[3] and x[4] >= 0)

    return content, merge_bins(content, usable)


def closure_fit(
    model: Model, data: Observations, fits: Strengths, *, truth: float, edges: FloatArray, background_scale: float
) -> ClosureFit:
    """Return the fit of one data set as a result, without `sample_error`; mu is None where there is no minimum.

    Args:
        model: the templates.
        data: one data set.
        fits: its fit with an interval, from `fit_strengths`.
        truth: the injected mu.
        edges: edges of the bins [b + 1].
        background_scale: the fitted scale of the background.

    """
    (observed,) = data.observed
    if not fits.converged[0]:
        return _unfitted(truth, edges, observed, "the fit runs to where a bin expects no events")
    mu, low, high = float(fits.mu[0]), float(fits.low[0]), float(fits.high[0])
    nu = model.expected(fits.theta)
    is_interval = high > low  # else there is another minimum next to this one, and -2 ln L never rises
    error = 0.5 * (high - low) if is_interval else float(fits.error[0])
    return ClosureFit(
        mu=mu,
        error=error,
        low=low if is_interval else None,
        high=high if is_interval else None,
        truth=truth,
        pull=(mu - truth) / error,
        sample_error=None,
        background_scale=background_scale,
        edges=edges,
        observed=observed,
        fitted=(model.gamma(nu, data) * nu)[0],
        why=None if is_interval else _NO_INTERVAL,
    )


def sample_errors(model: Model, data: Observations, fits: Strengths, variances: FloatArray) -> list[float | None]:
    """Return the errors of mu [t] because the data are simulated, with `variances` [t, b]; None without a minimum.

    Linear propagation through the fit: d(mu)/dn by the implicit function theorem.
    """
    noise: list[float | None] = [None] * len(data.observed)
    rows = np.flatnonzero(fits.converged)
    response = model.response(fits.theta[rows], data[rows], fits.hessian[rows])
    spread = np.sqrt(np.sum(response**2 * variances[rows], axis=1))
    for row, value in zip(rows.tolist(), spread.tolist(), strict=True):
        noise[row] = value
    return noise


def _two_templates(signal: FloatArray, background: FloatArray, error: FloatArray, width: float) -> Model:
    """Return mu signal + k background with k = 1 + width alpha, which is a straight line in alpha, unlike a `normsys`.

    Without a width, there is no alpha.
    """
    names = (_SCALE,) if width else ()
    change = np.zeros((2, len(names), len(signal)))
    change[1] = width * background
    rates = np.ones((len(names), 2))
    bins = slice(0, len(signal))
    rows = (Row(bins, 0, signal, change[0], change[0]), Row(bins, None, background, change[1], change[1]))
    return Model((POI,), names, RowByRow(rows, RateFactors.of(rates, rates), 1, len(signal)), error)


def _check_contents(signal: FloatArray, background: FloatArray, observed: FloatArray) -> None:
    if signal.sum() <= 0 or np.any(signal < 0):
        raise DataError("the signal template must have a positive sum and no negative bin; merge bins")
    if np.any(background <= 0):
        raise DataError(f"{np.sum(background <= 0)} bins have no positive background; merge them first")
    if np.any(observed < 0):
        raise DataError(f"{np.sum(observed < 0)} bins have negative data; merge them first")


def _unfitted(truth: float, edges: FloatArray, observed: FloatArray, why: str) -> ClosureFit:
    nothing = np.full(len(edges) - 1, np.nan)
    return ClosureFit(None, None, None, None, truth, None, None, None, edges, observed, nothing, 0, why)
