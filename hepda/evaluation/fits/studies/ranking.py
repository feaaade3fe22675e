"""What mu depends on: impacts of the other parameters, and the origins of its error.

Both need many fits; they use the likelihood in numpy (`histfactory`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hepda.evaluation.fits.channels import POI
from hepda.evaluation.fits.fitting import fit
from hepda.evaluation.fits.histfactory import Model, Observations
from hepda.evaluation.fits.histfactory import fit as newton_fit
from hepda.evaluation.fits.profile import curvature_error, fit_strengths
from hepda.evaluation.fits.templates import Templates
from hepda.results.fits import ErrorBudget, FitResult, Impact


def impacts(templates: Templates, observed: ArrayLike, result: FitResult | None = None) -> tuple[Impact, ...]:
    """Return the impact of each other parameter on mu, largest first: the shift of mu with the parameter fixed.

    It is fixed one post-fit error above and below its best value, and, if it has a prior, one pre-fit error above and
    below its best value (as in cabinetry: its pre-fit impact). All other parameters are fitted again. The result is
    empty if the fit has no minimum.

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
    others = [p for p in result.parameters if p.name != POI]
    best = newton_fit(model, model.nominally(counts[None]))
    if not best.converged[0]:
        return ()
    steps = [(p.error, -p.error, *((p.prior_error, -p.prior_error) if p.prior_error else ())) for p in others]
    owners = [i for i, shifts in enumerate(steps) for _ in shifts]
    values = [others[i].value + shift for i, shifts in enumerate(steps) for shift in shifts]
    start = np.repeat(best.point, len(values), axis=0)
    free = np.ones(start.shape, dtype=np.bool_)
    fixed_gamma = np.full((len(values), model.bins), np.nan)
    for row, (i, value) in enumerate(zip(owners, values, strict=True)):
        name = others[i].name
        if others[i].kind == "statistics":
            fixed_gamma[row, templates.staterrors.index(name)] = value
        else:
            column = model.parameters.index(name)
            start[row, column], free[row, column] = value, False
    data = model.nominally(np.repeat(counts[None], len(values), axis=0))
    fits = newton_fit(model, Observations(data.observed, data.alpha, data.gamma, fixed_gamma), start, free)
    shifts_of: list[list[float | None]] = [[] for _ in others]
    for i, mu, ok in zip(owners, fits.point[:, 0], fits.converged, strict=True):
        shifts_of[i].append(float(mu - best.point[0, 0]) if ok else None)
    entries = []
    for p, shifts in zip(others, shifts_of, strict=True):
        up, down, prefit_up, prefit_down = [*shifts, None, None][:4]  # a parameter without prior has no pre-fit shifts
        entries.append(Impact(p.name, p.kind, p.pull, p.constraint, up, down, prefit_up, prefit_down, p.value, p.error))
    return tuple(sorted(entries, key=lambda impact: -impact.size))


def error_budget(templates: Templates, observed: ArrayLike) -> ErrorBudget:
    """Return the error of mu (from the curvature) by origin.

    The part of the data is the error with all other parameters fixed at their best values. The part of the simulation
    is what freeing its factors adds to that in quadrature, the part of the free rates (and further strengths) what
    freeing these adds then. The part of the systematics is the rest.
    """
    model = Model.of(templates)
    data = model.nominally(templates.counts(observed)[None])
    best = fit_strengths(model, data, intervals=False)
    if not best.converged[0]:
        return ErrorBudget(None, None, None, None, None, "the fit runs to where a bin expects no events")
    fixed_data = Observations(data.observed, data.alpha, data.gamma, model.gamma(model.expected(best.theta), data))
    fixed = curvature_error(model.derivatives(best.theta, fixed_data).hessian[:, :1, :1])[0]
    free = len(model.rates)
    with_simulation, with_rates = (curvature_error(best.hessian[:, :k, :k])[0] for k in (1, free))
    total = best.error[0]
    return ErrorBudget(
        float(total),
        float(fixed),
        float(np.sqrt(max(total**2 - with_rates**2, 0.0))),
        float(np.sqrt(max(with_simulation**2 - fixed**2, 0.0))),
        float(np.sqrt(max(with_rates**2 - with_simulation**2, 0.0))),
    )
