"""The fit of control regions alone, where the data of signal regions are blinded: rates and pulls, with mu fixed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hepda.errors import DataError
from hepda.evaluation.fits.histfactory import Model
from hepda.evaluation.fits.profile import profile
from hepda.events.fit.inputs import FitInput
from hepda.results.fits import Parameter

MU = 1.0
"""The strength at which control regions are fitted: their signal is small, and mu is what is blinded."""
_UNKNOWN = 10.0
"""Error of a free rate from which the regions do not determine it."""


@dataclass(frozen=True, slots=True)
class ControlFit:
    """A fit to the data of some regions at mu = 1. parameters: free rates and systematics; why: it has no result."""

    domain: str
    regions: tuple[str, ...]
    parameters: tuple[Parameter, ...] = ()
    why: str | None = None


def control_fit(fit_input: FitInput) -> ControlFit | None:
    """Fit the data of the regions that are not blinded, at mu = 1; None where no such region has data.

    Where no region is blinded there is nothing to do either: the fit of all regions has the result.

    Args:
        fit_input: templates and pseudo-data of the model.

    """
    fitted = [region for region in fit_input.regions if region.spec.fitted]
    seen = {
        domain: {
            region.spec.name: region.domains[domain].observed
            for region in fitted
            if domain in region.domains and region.domains[domain].observed is not None
        }
        for domain in dict.fromkeys(domain for region in fitted for domain in region.blinded)
    }
    domain = next((name for name, regions in seen.items() if regions), None)
    if domain is None:
        return None
    counts, names = list(seen[domain].values()), tuple(seen[domain])
    try:
        templates = fit_input.templates.only(names)
        model = Model.unchecked(templates)
        data = model.nominally(templates.counts(np.concatenate([np.asarray(part) for part in counts]))[None])
    except DataError as reason:
        return ControlFit(domain, names, why=str(reason))
    best = profile(model, data, np.array([MU]), model.start[None])
    if not best.converged[0]:
        return ControlFit(domain, names, why="the fit runs to where a bin expects no events")
    information = best.at.hessian[0][1:, 1:]
    scale = np.sqrt(information.diagonal())
    if not np.all(scale > 0) or np.linalg.eigvalsh(information / np.outer(scale, scale))[0] < 1e-10:
        return ControlFit(domain, names, why="these regions cannot tell the free rates apart")
    errors = np.sqrt(np.linalg.inv(information).diagonal())
    values = dict(zip(model.parameters[1:], zip(best.point[0, 1:], errors, strict=True), strict=True))
    unknown = [name for name in model.rates[1:] if values[name][1] > _UNKNOWN]
    if unknown:
        return ControlFit(domain, names, why=f"these regions do not determine {', '.join(unknown)}")
    return ControlFit(domain, names, tuple(_parameter(model, name, *pair) for name, pair in values.items()))


def _parameter(model: Model, name: str, value: float, error: float) -> Parameter:
    if name in model.rates:
        return Parameter(name, "free", float(value), float(error))
    return Parameter(name, "systematic", float(value), float(error), 0.0, 1.0)
