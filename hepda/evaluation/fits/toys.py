"""Toys: pseudo-experiments fitted in parallel; bias, pulls and coverage of mu, and fluctuations without signal.

Both counts and auxiliary measurements fluctuate, as the frequentist coverage requires; every toy is fitted with the
full likelihood of `histfactory`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from hepda.errors import DataError
from hepda.evaluation.fits.closure import closure_fit, sample_errors
from hepda.evaluation.fits.histfactory import Model, Observations
from hepda.evaluation.fits.profile import Strengths, fit_strengths, profile, q0
from hepda.evaluation.fits.templates import Templates
from hepda.results.evaluation import ClosureFit, FloatArray, ToyClosure
from hepda.results.fits import IntervalScore, ToySignificance

_CHUNK = 5000  # toys fitted at once: about 100 MB
ONE_SIGMA = 0.6827
"""Coverage of the intervals."""
ALLOWED_FAILURES = 0.05
"""Largest share of toys that may have no minimum."""


def toy_fits(templates: Templates, truth: ArrayLike, mu: float, *, toys: int = 1000, seed: int = 0) -> ToyClosure:
    """Fit `templates` to Poisson fluctuations about `truth` [b].

    `error` and the pulls use the curvature; coverage and width are those of the interval where -2 ln L rises by one.

    Args:
        templates: the samples and their variations.
        truth: expected events [b] with signal at mu, of any generator: `templates.total(mu)` for the generator of the
            templates.
        mu: the strength in `truth`.
        toys: number of toys.
        seed: seed of the toys.

    Raises:
        DataError: the templates cannot be fitted, a truth is negative, or more than 5 % of the toys have no minimum.
        ValueError: there are fewer than two toys.

    """
    if toys < 2:
        raise ValueError(f"at least two toys are needed, not {toys}")
    model, expected = Model.of(templates), templates.counts(truth, "the truth of the toys")
    generator = np.random.default_rng(seed)
    parts = []
    for first in range(0, toys, _CHUNK):
        data = model.fluctuated(expected, min(_CHUNK, toys - first), generator)
        fits = fit_strengths(model, data)
        parts.append(fits[fits.converged])
    failed = toys - sum(len(part.mu) for part in parts)
    if failed > ALLOWED_FAILURES * toys:
        raise DataError(f"{failed} of {toys} toys have no best fit; use fewer or wider bins")
    return _closure(parts, mu, failed)


def expected_fits(
    templates: Templates, truths: ArrayLike, mus: ArrayLike, *, variances: ArrayLike | None = None
) -> tuple[ClosureFit, ...]:
    """Fit expected events without fluctuations, which gives the bias at once.

    The fitted mu is None, with a reason in `why`, where there is no minimum.

    Args:
        templates: the samples and their variations.
        truths: expected events [k, b].
        mus: strengths in the truths [k].
        variances: sumw2 of the simulation of each truth [k, b], for `sample_error`; None omits it.

    Raises:
        DataError: as in `toy_fits`.

    """
    model = Model.of(templates)
    rows = np.stack([templates.counts(truth, "the pseudo-data") for truth in np.atleast_2d(np.asarray(truths))])
    strengths = np.broadcast_to(np.asarray(mus, dtype=np.float64), len(rows))
    data = model.nominally(rows)
    fits = fit_strengths(model, data)
    noise: list[float | None] = [None] * len(rows)
    if variances is not None:
        noise = sample_errors(model, data, fits, np.broadcast_to(np.atleast_2d(variances), rows.shape))
    fitted = []
    for k in range(len(rows)):
        row = np.array([k])
        fit = _expected_fit(model, templates, data[row], fits[row], float(strengths[k]))
        fitted.append(replace(fit, sample_error=noise[k], rates={} if fit.mu is None else _rates(model, fits[row])))
    return tuple(fitted)


def winkler_scores(low: FloatArray, high: FloatArray, truth: float) -> FloatArray:
    """Return the Winkler scores [n] of 68.27 % intervals [n], the smaller the better.

    The width of the interval, and 2 / (1 - 0.6827) times the distance by which it misses the truth (Winkler 1972;
    Gneiting & Raftery 2007, equation 43: the "interval score"). Its mean is smallest for the true quantiles.
    """
    missed = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
    scores: FloatArray = high - low + 2 / (1 - ONE_SIGMA) * missed
    return scores


def interval_score(toys: Sequence[ToyClosure]) -> IntervalScore:
    """Return width and coverage of intervals as one number, the larger the better (FAIR Universe, arXiv:2410.02867).

    s = -ln((w + 0.001) f(c)) with the mean width w and the coverage c of N intervals; f is 1 within two binomial errors
    s68 of 0.6827, else 1 + (d / s68)^4 below and 1 + (d / s68)^3 above with d counted from there.

    Args:
        toys: toys of several truths, which are combined.

    Raises:
        ValueError: there are no toys, or their widths are not known.

    """
    counts = np.array([len(toy.mu) for toy in toys])
    widths = [toy.width for toy in toys if toy.width is not None]
    total = int(counts.sum())
    if total == 0 or len(widths) != len(toys):
        raise ValueError("an interval score needs toys with the width of their intervals")
    width = float(counts @ widths / total)
    coverage = float(counts @ [toy.coverage for toy in toys] / total)
    error = np.sqrt(ONE_SIGMA * (1 - ONE_SIGMA) / total)
    below, above = ONE_SIGMA - 2 * error - coverage, coverage - ONE_SIGMA - 2 * error
    penalty = 1 + max(below / error, 0) ** 4 + max(above / error, 0) ** 3
    return IntervalScore(float(-np.log((width + 1e-3) * penalty)), width, coverage, total)


def discovery_toys(templates: Templates, observed: ArrayLike, *, toys: int = 10_000, seed: int = 0) -> ToySignificance:
    """Return how often data without signal look at least as much like signal as `observed` [b].

    The toys are drawn at the nuisance parameters that fit the observed data best at mu = 0, and their
    auxiliary measurements fluctuate about those.

    Args:
        templates: the samples and their variations.
        observed: counts [b].
        toys: number of toys.
        seed: seed of the toys.

    Raises:
        DataError: as in `toy_fits`.

    """
    model = Model.of(templates)
    data = model.nominally(templates.counts(observed)[None])
    best = fit_strengths(model, data, intervals=False)
    reached = float(q0(model, data, best)[0])
    if not np.isfinite(reached):
        return ToySignificance(None, None, None, toys, 0, "the fit to the data has no minimum")
    without = profile(model, data, np.zeros(1), best.theta)
    above = failed = 0
    for toy in fluctuations_about(model, data, without.point, toys, seed):
        statistic = q0(model, toy, fit_strengths(model, toy, intervals=False))
        failed += int(np.isnan(statistic).sum())
        above += int(np.sum(statistic >= reached))
    return _toy_significance(above, toys, failed)


def fluctuations_about(
    model: Model, data: Observations, point: FloatArray, toys: int, seed: int
) -> Iterator[Observations]:
    """Yield toys in portions: fluctuations of counts and auxiliary measurements about the fit to one data set.

    Args:
        model: the templates.
        data: the data set.
        point: its best parameters [1, q].
        toys: number of toys.
        seed: seed of the toys.

    """
    nu = model.expected(point)
    gamma = model.gamma(nu, data)[0]
    generator = np.random.default_rng(seed)
    for first in range(0, toys, _CHUNK):
        count = min(_CHUNK, toys - first)
        yield model.fluctuated(gamma * nu[0], count, generator, point[0, len(model.rates) :], gamma)


def _toy_significance(above: int, toys: int, failed: int) -> ToySignificance:
    from scipy import stats

    good = toys - failed
    if failed > ALLOWED_FAILURES * toys:
        return ToySignificance(None, None, None, toys, failed, f"{failed} of {toys} toys have no minimum")
    p = above / good
    error = float(np.sqrt(p * (1 - p) / good))
    if above == 0:
        return ToySignificance(None, None, None, toys, failed, f"none of {good} toys reaches it: p < {1 / good:.1e}")
    if above == good:
        return ToySignificance(0.0, 1.0, error, toys, failed)
    return ToySignificance(float(stats.norm.isf(p)), p, error, toys, failed)


def _closure(parts: list[Strengths], truth: float, failed: int) -> ToyClosure:
    mu, error, low, high = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("mu", "error", "low", "high")
    )
    pull, count = (mu - truth) / error, len(mu)
    coverage = float(np.mean((low <= truth) & (truth <= high)))
    return ToyClosure(
        truth=truth,
        mu=mu,
        error=error,
        bias=float(mu.mean() - truth),
        bias_error=float(mu.std(ddof=1) / np.sqrt(count)),
        pull_mean=float(pull.mean()),
        pull_width=float(pull.std(ddof=1)),
        coverage=coverage,
        coverage_error=float(np.sqrt(coverage * (1 - coverage) / count)),
        failed=failed,
        width=float(np.mean(high - low)),
        winkler=float(np.mean(winkler_scores(low, high, truth))),
    )


def _rates(model: Model, fits: Strengths) -> dict[str, tuple[float, float]]:
    """Return the free factors but mu of one data set, with their errors from the curvature."""
    if len(model.rates) == 1:
        return {}
    variance = np.linalg.pinv(fits.hessian[0], hermitian=True).diagonal()
    errors = np.sqrt(np.where(variance > 0, variance, np.nan))  # NaN where there is no minimum
    return {name: (float(fits.theta[0, k]), float(errors[k])) for k, name in enumerate(model.rates) if k > 0}


def _expected_fit(model: Model, templates: Templates, data: Observations, fits: Strengths, truth: float) -> ClosureFit:
    mu_is_zero = np.where(np.arange(fits.theta.shape[1]) == 0, 0.0, fits.theta)
    background = model.gamma(model.expected(fits.theta), data) * model.expected(mu_is_zero)
    scale = float(background.sum() / templates.background.sum())
    return closure_fit(model, data, fits, truth=truth, edges=templates.edges, background_scale=scale)
