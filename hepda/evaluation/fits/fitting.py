"""The fit of templates with pyhf: workspace and best parameters.

pyhf builds the likelihood from the workspace, MINUIT finds its maximum (`minuit`). What needs many fits uses the same
likelihood in numpy (`histfactory`); tests compare the two implementations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepda.evaluation.fits.channels import POI, STATISTICS, Channel, SampleTemplate
from hepda.evaluation.fits.histfactory import Model
from hepda.evaluation.fits.minuit import FLOOR, NoMinimumError, minimise, model_and_data, pyhf_with_minuit
from hepda.evaluation.fits.templates import Templates
from hepda.results.evaluation import FloatArray
from hepda.results.fits import FitResult, Parameter


def workspace(templates: Templates, observed: ArrayLike) -> dict[str, Any]:
    """Return the fit as a workspace in pyhf's JSON (schema 1.0.0): channels with their data, POI "mu".

    Rates are `normsys`, shapes `histosys` (a shape's change of the rate becomes a normsys of the same name),
    the statistics of the simulation are one `staterror` of all samples of a channel, mu and the other free factors are
    `normfactor`s. Systematics without any effect are omitted.

    Args:
        templates: the samples and their variations.
        observed: counts [b].

    Raises:
        DataError: a bin cannot be fitted (`Templates.check`), no region constrains a free rate, or an observed count is
            negative.

    """
    Model.of(templates)  # raises what cannot be fitted
    counts = templates.counts(observed)
    active = templates.active
    channels = [
        {
            "name": channel.name,
            "samples": [
                {"name": s.name, "data": s.sumw.tolist(), "modifiers": _modifiers(s, active, channel)}
                for s in channel.samples
            ],
        }
        for channel in templates.channels
    ]
    observations = [{"name": name, "data": part.tolist()} for name, part in templates.parts(counts).items()]
    factors = [_factor(name, templates, counts) for name in templates.rates]
    return {
        "channels": channels,
        "observations": observations,
        "measurements": [{"name": "hepda", "config": {"poi": POI, "parameters": factors}}],
        "version": "1.0.0",
    }


def fit(templates: Templates, observed: ArrayLike) -> FitResult:
    """Fit mu and all other parameters to observed [b]: MIGRAD, then HESSE, and MINOS for mu.

    Errors and correlations are those of HESSE. Without a valid minimum the result contains the reason.

    Args:
        templates: the samples and their variations.
        observed: counts [b].

    Raises:
        DataError: as in `workspace`.

    """
    counts = templates.counts(observed)
    spec = workspace(templates, counts)
    with pyhf_with_minuit() as pyhf:
        model, data = model_and_data(pyhf, spec)
        try:
            minuit = minimise(pyhf, model, data)
        except NoMinimumError as reason:
            return _failed(templates, counts, str(reason))
        return _result(templates, counts, minuit, _goodness(pyhf, model, data, counts, minuit.fval))


def _factor(name: str, templates: Templates, observed: FloatArray) -> dict[str, Any]:
    """Return start value and range of a free factor: far wider than its error without other parameters."""
    scaled = np.concatenate([c.scaled_by(name) for c in templates.channels])
    variance = np.maximum(observed, templates.total()) + templates.sumw2
    reach = 10.0 + 50.0 * float(1 / np.sqrt(np.sum(scaled**2 / variance)))
    return {"name": name, "inits": [1.0], "bounds": [[-reach, reach]]}


def _modifiers(sample: SampleTemplate, active: tuple[str, ...], channel: Channel) -> list[dict[str, Any]]:
    """Return the modifiers of one sample, without systematics that do not change it."""
    modifiers: list[dict[str, Any]] = []
    if sample.rate is not None:
        modifiers.append({"name": sample.rate, "type": "normfactor", "data": None})
    for name in active:
        if not sample.changed_by(name):
            continue
        (up, down), (high, low) = sample.split(name)
        modifiers.append({"name": name, "type": "normsys", "data": {"hi": up, "lo": down}})
        if name in sample.shapes:
            contents = {"hi_data": high.tolist(), "lo_data": low.tolist()}
            modifiers.append({"name": name, "type": "histosys", "data": contents})
    error = np.sqrt(sample.sumw2).tolist()
    return [*modifiers, {"name": f"{STATISTICS}_{channel.name}", "type": "staterror", "data": error}]


def _goodness(pyhf: Any, model: Any, data: Any, counts: FloatArray, fval: float) -> float:
    """Return -2 ln of L over L of the saturated model, in which every bin and every constraint is met exactly."""
    backend = pyhf.tensorlib
    met = backend.sum(backend.poisson_logpdf(counts, np.maximum(counts, FLOOR)))
    nominal = backend.astensor(model.config.suggested_init())
    constraints = model.constraint_logpdf(backend.astensor(data[len(counts) :]), nominal)
    return float(fval + 2 * (met + constraints))


def _result(templates: Templates, counts: FloatArray, minuit: Any, goodness: float) -> FitResult:
    from scipy import stats

    names, fixed = list(minuit.parameters), np.asarray(minuit.fixed)
    parameter_names = [*templates.rates, *templates.active, *(n for n in templates.staterrors if n in names)]
    order = [names.index(n) for n in parameter_names if not fixed[names.index(n)]]
    covariance = np.asarray(minuit.covariance, dtype=np.float64)[np.ix_(order, order)]
    values, errors = np.asarray(minuit.values, dtype=np.float64), np.asarray(minuit.errors, dtype=np.float64)
    spread = np.sqrt(covariance.diagonal())
    low, high = _minos(minuit)
    ndf = len(counts) - len(templates.rates)
    return FitResult(
        mu=float(values[names.index(POI)]),
        error=float(errors[names.index(POI)]),
        low=low,
        high=high,
        nll=0.5 * float(minuit.fval),
        parameters=tuple(_parameter(names[i], values[i], errors[i], templates) for i in order),
        correlation=covariance / np.outer(spread, spread),
        not_fitted=_not_fitted(templates, [n for n, f in zip(names, fixed, strict=True) if f]),
        observed=counts,
        goodness=goodness,
        ndf=ndf,
        p_value=float(stats.chi2.sf(goodness, ndf)) if ndf > 0 else None,
    )


def _failed(templates: Templates, counts: FloatArray, why: str) -> FitResult:
    return FitResult(
        *(None, None, None, None, None, ()),
        correlation=np.zeros((0, 0)),
        not_fitted=_not_fitted(templates, []),
        observed=counts,
        why=why,
    )


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
    if name in templates.rates:
        return Parameter(name, "poi" if name == POI else "free", float(value), float(error))
    if name in templates.staterrors:
        prior = float(templates.statistical_error[templates.staterrors.index(name)])
        return Parameter(name, "statistics", float(value), float(error), 1.0, prior)
    return Parameter(name, "systematic", float(value), float(error), 0.0, 1.0)


def _not_fitted(templates: Templates, fixed: list[str]) -> dict[str, str]:
    inert = {n: "it changes no template" for n in templates.systematics if n not in templates.active}
    return inert | dict.fromkeys(fixed, "the templates of this bin have no statistical error")
