"""The fit of templates with pyhf: workspace, best parameters, impacts, significance.

pyhf (Heinrich, Feickert, Stark, Cranmer, JOSS 6 (2021) 2823) builds the likelihood from the workspace, MINUIT
finds its maximum. Impacts and the origins of the error need many fits: they use the same likelihood in
`histfactory`, and tests compare the two implementations. pyhf is imported where it is used.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepda.evaluation.fits.histfactory import Model, Observations
from hepda.evaluation.fits.histfactory import fit as newton_fit
from hepda.evaluation.fits.profile import curvature_error, fit_strengths
from hepda.evaluation.fits.templates import POI, STATISTICS, SampleTemplate, Templates
from hepda.evaluation.fits.toys import discovery_toys
from hepda.results.evaluation import FloatArray
from hepda.results.fits import ErrorBudget, FitResult, Impact, Parameter, SignificanceResult

_FLOOR = 1e-9  # smallest number of events of a bin, where a step of the minimiser would make it negative
_STEP = 1e-4  # step of a parameter, in units of its error, for the derivative of the expectation
_MINUIT = {"tolerance": 1e-3}  # of the distance to the minimum: mu is then within about 1e-3 of its error
_CAREFULLY = {"tolerance": 1e-3, "strategy": 2}


class _NoMinimumError(ValueError):
    """Error for a fit that fails."""

    def __init__(self, why: str = "MINUIT finds no valid minimum; use fewer or wider bins") -> None:
        super().__init__(why)


def workspace(templates: Templates, observed: ArrayLike, *, name: str = "score") -> dict[str, Any]:
    """Return the fit as a workspace in pyhf's JSON (schema 1.0.0): channel `name`, its data, POI "mu".

    Rates are `normsys`, shapes `histosys` (a shape's change of the rate becomes a normsys of the same name),
    the statistics of the simulation are one `staterror` of all samples, mu is a `normfactor` of the signals.
    Systematics without any effect are omitted.

    Args:
        templates: the samples and their variations.
        observed: counts [b].
        name: name of the channel.

    Raises:
        DataError: a bin cannot be fitted (`Templates.check`) or an observed count is negative.

    """
    templates.check()
    counts = templates.counts(observed)
    reach = 10.0 + 50.0 * _rough_error(templates, counts)
    strength = {"name": POI, "inits": [1.0], "bounds": [[-reach, reach]]}
    samples = [
        {"name": s.name, "data": s.sumw.tolist(), "modifiers": _modifiers(s, templates, name)}
        for s in templates.samples
    ]
    return {
        "channels": [{"name": name, "samples": samples}],
        "observations": [{"name": name, "data": counts.tolist()}],
        "measurements": [{"name": "hepda", "config": {"poi": POI, "parameters": [strength]}}],
        "version": "1.0.0",
    }


def fit(templates: Templates, observed: ArrayLike, *, name: str = "score") -> FitResult:
    """Fit mu and all nuisance parameters to observed [b]: MIGRAD, then HESSE, and MINOS for mu.

    Errors and correlations are those of HESSE. Without a valid minimum the result contains the reason.

    Args:
        templates: the samples and their variations.
        observed: counts [b].
        name: name of the channel.

    Raises:
        DataError: as in `workspace`.

    """
    counts = templates.counts(observed)
    spec = workspace(templates, counts, name=name)
    with _pyhf() as pyhf:
        model, data = _model(pyhf, spec)
        try:
            minuit = _minimise(pyhf, model, data)
        except _NoMinimumError as reason:
            return _failed(templates, counts, str(reason))
        return _result(templates, counts, model, minuit, _goodness(pyhf, model, data, counts, minuit.fval))


def impacts(templates: Templates, observed: ArrayLike, result: FitResult | None = None) -> tuple[Impact, ...]:
    """Return the impact of each nuisance parameter on mu, largest first: it is fixed one post-fit error up or down.

    The result is empty if the fit has no minimum.

    Args:
        templates: the samples and their variations.
        observed: counts [b].
        result: result of `fit` to the same counts; None runs that fit.

    """
    counts = templates.counts(observed)
    result = fit(templates, counts) if result is None else result
    if result.mu is None:
        return ()
    model = Model.of(templates)
    nuisances = [p for p in result.parameters if p.name != POI]
    best = newton_fit(model, model.nominally(counts[None]))
    if not best.converged[0]:
        return ()
    rows = 2 * len(nuisances)
    start, free = np.repeat(best.point, rows, axis=0), np.ones((rows, best.point.shape[1]), dtype=np.bool_)
    fixed_gamma = np.full((rows, model.bins), np.nan)
    for i, p in enumerate(nuisances):
        values = p.value + p.error, p.value - p.error
        if p.kind == "systematic":
            column = 1 + model.names.index(p.name)
            start[2 * i : 2 * i + 2, column], free[2 * i : 2 * i + 2, column] = values, False
        else:
            fixed_gamma[2 * i : 2 * i + 2, _bin(p.name)] = values
    data = model.nominally(np.repeat(counts[None], rows, axis=0))
    fits = newton_fit(model, Observations(data.observed, data.alpha, data.gamma, fixed_gamma), start, free)
    shifts = [
        float(mu - best.point[0, 0]) if ok else None for mu, ok in zip(fits.point[:, 0], fits.converged, strict=True)
    ]
    entries = [
        Impact(p.name, p.kind, p.pull or 0.0, p.constraint or 0.0, shifts[2 * i], shifts[2 * i + 1])
        for i, p in enumerate(nuisances)
    ]
    return tuple(sorted(entries, key=lambda impact: -impact.size))


def error_budget(templates: Templates, observed: ArrayLike) -> ErrorBudget:
    """Return the error of mu (from the curvature) by origin: data, systematics, statistics of the simulation.

    The part of the data is the error with all nuisance parameters fixed at their best values. The part of the
    simulation is what freeing its factors adds to that in quadrature. The part of the systematics is the rest.
    """
    model = Model.of(templates)
    data = model.nominally(templates.counts(observed)[None])
    best = fit_strengths(model, data, intervals=False)
    if not best.converged[0]:
        return ErrorBudget(None, None, None, None, "the fit runs to where a bin expects no events")
    fixed_data = Observations(data.observed, data.alpha, data.gamma, model.gamma(model.expected(best.theta), data))
    total, without_systematics = best.error[0], curvature_error(best.hessian[:, :1, :1])[0]
    fixed = curvature_error(model.derivatives(best.theta, fixed_data).hessian[:, :1, :1])[0]
    return ErrorBudget(
        float(total),
        float(fixed),
        float(np.sqrt(max(total**2 - without_systematics**2, 0.0))),
        float(np.sqrt(max(without_systematics**2 - fixed**2, 0.0))),
    )


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
    with _pyhf() as pyhf:
        model, data = _model(pyhf, spec)
        values = model.config.suggested_init()
        values[model.config.poi_index] = mu
        expected, why = _discovery(pyhf, model, model.expected_data(values))
        observed_significance = None
        if observed is not None:
            observed_significance, why = _discovery(pyhf, model, data)
    by_toys = discovery_toys(templates, counts, toys=toys, seed=seed) if toys else None
    return SignificanceResult(expected, observed_significance, mu, by_toys, why)


def _rough_error(templates: Templates, observed: FloatArray) -> float:
    """Return the error of mu without systematics, used for ranges."""
    variance = np.maximum(observed, templates.total()) + templates.sumw2
    return float(1 / np.sqrt(np.sum(templates.signal**2 / variance)))


def _modifiers(sample: SampleTemplate, templates: Templates, region: str) -> list[dict[str, Any]]:
    """Return the modifiers of one sample, without systematics that do not change it."""
    modifiers: list[dict[str, Any]] = [{"name": POI, "type": "normfactor", "data": None}] if sample.signal else []
    for name in templates.active:
        if not sample.changed_by(name):
            continue
        (up, down), (high, low) = sample.split(name)
        modifiers.append({"name": name, "type": "normsys", "data": {"hi": up, "lo": down}})
        if name in sample.shapes:
            contents = {"hi_data": high.tolist(), "lo_data": low.tolist()}
            modifiers.append({"name": name, "type": "histosys", "data": contents})
    error = np.sqrt(sample.sumw2).tolist()
    return [*modifiers, {"name": f"{STATISTICS}_{region}", "type": "staterror", "data": error}]


@contextmanager
def _pyhf() -> Iterator[Any]:
    """Yield pyhf with numpy and MINUIT and without output; the previous settings are restored afterwards."""
    import pyhf

    before, log = pyhf.get_backend(), logging.getLogger("pyhf")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)  # its errors are raised as well, and are converted here
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(**_MINUIT))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # problems are raised as errors here
            yield pyhf
    finally:
        pyhf.set_backend(*before)
        log.setLevel(level)


def _model(pyhf: Any, spec: dict[str, Any]) -> tuple[Any, Any]:
    pyhf_workspace = pyhf.Workspace(spec)
    model = pyhf_workspace.model(clip_bin_data=_FLOOR)
    return model, pyhf_workspace.data(model)


def _minimise(pyhf: Any, model: Any, data: Any) -> Any:
    """Return the Minuit object at its minimum; a second, more careful attempt follows if the first fails.

    HESSE is run again without limits: the mapping that keeps parameters within them distorts the likelihood,
    which made errors of nuisance parameters up to 3 % too small.
    """
    options = {"return_result_obj": True, "return_uncertainties": True}
    try:
        minuit = _tried(pyhf, pyhf.infer.mle.fit, data, model, **options)[1].minuit
    except _NoMinimumError:
        minuit = _tried(pyhf, pyhf.infer.mle.fit, data, model, **options, **_CAREFULLY)[1].minuit
    minuit.limits = [(-np.inf, np.inf)] * minuit.npar
    minuit.hesse()
    if minuit.covariance is None or not np.all(np.isfinite(minuit.errors)):
        raise _NoMinimumError
    if np.min(model.main_model.expected_data(np.asarray(minuit.values))) <= _FLOOR:
        raise _NoMinimumError("the fit runs to where a bin expects no events; use fewer or wider bins")
    return minuit


def _tried(pyhf: Any, function: Any, *arguments: Any, **options: Any) -> Any:
    """Run a fit of pyhf; raise _NoMinimumError if it fails."""
    try:
        return function(*arguments, **options)
    except (pyhf.exceptions.FailedMinimization, AttributeError) as reason:
        # AttributeError: pyhf 0.7 reads a correlation from MINUIT where HESSE has found none
        raise _NoMinimumError from reason


def _discovery(pyhf: Any, model: Any, data: Any) -> tuple[float | None, str | None]:
    """Return the square root of q0 (0 where the best mu is negative), or None and the reason."""
    mle, poi = pyhf.infer.mle, model.config.poi_index
    start, fixed = model.config.suggested_init(), model.config.suggested_fixed()
    start[poi], fixed[poi] = 0.0, True
    try:
        best, least = _tried(pyhf, mle.fit, data, model, return_fitted_val=True)
        if best[poi] <= 0:
            return 0.0, None
        if all(fixed):  # no free parameter is left, which MINUIT refuses
            without = mle.twice_nll(pyhf.tensorlib.astensor(start), pyhf.tensorlib.astensor(data), model)
        else:
            _, without = _tried(pyhf, mle.fixed_poi_fit, 0.0, data, model, return_fitted_val=True)
    except _NoMinimumError as reason:
        return None, str(reason)
    return float(np.sqrt(max(float(np.squeeze(without)) - float(least), 0.0))), None


def _goodness(pyhf: Any, model: Any, data: Any, counts: FloatArray, fval: float) -> float:
    """Return -2 ln of L over L of the saturated model, in which every bin and every constraint is met exactly."""
    backend = pyhf.tensorlib
    met = backend.sum(backend.poisson_logpdf(counts, np.maximum(counts, _FLOOR)))
    nominal = backend.astensor(model.config.suggested_init())
    constraints = model.constraint_logpdf(backend.astensor(data[len(counts) :]), nominal)
    return float(fval + 2 * (met + constraints))


def _result(templates: Templates, counts: FloatArray, model: Any, minuit: Any, goodness: float) -> FitResult:
    from scipy import stats

    names, fixed = list(minuit.parameters), np.asarray(minuit.fixed)
    parameter_names = [POI, *templates.active, *(n for n in names if n.startswith(STATISTICS))]
    order = [names.index(n) for n in parameter_names if not fixed[names.index(n)]]
    covariance = np.asarray(minuit.covariance, dtype=np.float64)[np.ix_(order, order)]
    values, errors = np.asarray(minuit.values, dtype=np.float64), np.asarray(minuit.errors, dtype=np.float64)
    expected = _by_sample(model, values)
    slopes = []
    for i in order:
        step = np.zeros_like(values)
        step[i] = _STEP * errors[i]
        difference = _by_sample(model, values + step).sum(axis=0) - _by_sample(model, values - step).sum(axis=0)
        slopes.append(difference / (2 * step[i]))
    spread = np.sqrt(covariance.diagonal())
    low, high = _minos(minuit)
    ndf = len(counts) - 1
    return FitResult(
        mu=float(values[names.index(POI)]),
        error=float(errors[names.index(POI)]),
        low=low,
        high=high,
        nll=0.5 * float(minuit.fval),
        parameters=tuple(_parameter(names[i], values[i], errors[i], templates) for i in order),
        correlation=covariance / np.outer(spread, spread),
        not_fitted=_not_fitted(templates, [n for n, f in zip(names, fixed, strict=True) if f]),
        edges=templates.edges,
        observed=counts,
        prefit=templates.total(),
        prefit_error=templates.uncertainty(),
        fitted=expected.sum(axis=0),
        fitted_error=np.sqrt(np.einsum("pb,pq,qb->b", slopes, covariance, slopes)),
        samples=dict(zip(model.config.samples, expected, strict=True)),
        signal=tuple(s.name for s in templates.samples if s.signal),
        goodness=goodness,
        ndf=ndf,
        p_value=float(stats.chi2.sf(goodness, ndf)) if ndf else None,
    )


def _failed(templates: Templates, counts: FloatArray, why: str) -> FitResult:
    nothing = np.full(len(counts), np.nan)
    return FitResult(
        *(None, None, None, None, None, ()),
        correlation=np.zeros((0, 0)),
        not_fitted=_not_fitted(templates, []),
        edges=templates.edges,
        observed=counts,
        prefit=templates.total(),
        prefit_error=templates.uncertainty(),
        fitted=nothing,
        fitted_error=nothing,
        samples={s.name: nothing for s in templates.samples},
        signal=tuple(s.name for s in templates.samples if s.signal),
        why=why,
    )


def _by_sample(model: Any, values: FloatArray) -> FloatArray:
    return np.asarray(model.main_model.expected_data(values, return_by_sample=True), dtype=np.float64)


def _minos(minuit: Any) -> tuple[float | None, float | None]:
    """Return the ends of mu's interval; None where MINOS does not find one."""
    try:
        minuit.minos(POI)
    except RuntimeError:  # raised for a minimum that MINUIT considers invalid
        return None, None
    ends, mu = minuit.merrors[POI], minuit.values[POI]
    return (
        float(mu + ends.lower) if ends.lower_valid else None,
        float(mu + ends.upper) if ends.upper_valid else None,
    )


def _parameter(name: str, value: float, error: float, templates: Templates) -> Parameter:
    if name == POI:
        return Parameter(name, "strength", float(value), float(error))
    if name.startswith(STATISTICS):
        prior = float(templates.statistical_error[_bin(name)])
        return Parameter(name, "statistics", float(value), float(error), 1.0, prior)
    return Parameter(name, "systematic", float(value), float(error), 0.0, 1.0)


def _bin(name: str) -> int:
    """Return the bin of a parameter staterror_<region>[bin]."""
    return int(name[name.rindex("[") + 1 : -1])


def _not_fitted(templates: Templates, fixed: list[str]) -> dict[str, str]:
    inert = {n: "it changes no template" for n in templates.systematics if n not in templates.active}
    return inert | dict.fromkeys(fixed, "the templates of this bin have no statistical error")
