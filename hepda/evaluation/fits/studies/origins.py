"""The origins of a bias of mu: how the fit responds to each part in which pseudo-data differ from the templates.

The expected events of each process differ from its templates in three ways: their number in all regions together (the
rate), how they are distributed over the regions, and their shape within each region. With contents D of the pseudo-data
and T of the templates in bin b of region r, and their sums over bins and over regions,

    D_rb - T_rb = (D/T - 1) T_rb  +  (D_r/T_r - D/T) T_rb  +  (D_rb - D_r/T_r T_rb).
                  rate               between regions          shape in region r

Each term is added to the templates alone and fitted: mu - 1 is its part of the bias. The terms add up exactly, the fit
is nearly linear in them; what is left is the bias that they have together only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from hepda.evaluation.fits.histfactory import Model
from hepda.evaluation.fits.profile import fit_strengths
from hepda.evaluation.fits.templates import Templates
from hepda.results.evaluation import FloatArray
from hepda.results.fits import Origin


@dataclass(frozen=True, slots=True, eq=False)
class ProcessContents:
    """A process in the bins [b] of all fitted regions, signals at mu = 1.

    expected: of its templates; sumw, sumw2: of the pseudo-data.
    """

    expected: FloatArray
    sumw: FloatArray
    sumw2: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Change:
    """A change [b] of the expected events, and its derivatives [b, b] by the contents of the pseudo-data."""

    process: str
    part: str
    region: str | None
    change: FloatArray
    by_content: FloatArray


def origins(templates: Templates, processes: Mapping[str, ProcessContents]) -> tuple[Origin, ...]:
    """Return the parts of the bias of mu in a fit to pseudo-data at mu = 1.

    The error of a part is that of the finite pseudo-data, by linear propagation; errors of the parts of a process are
    correlated. A part is None where it makes the content of a bin negative, or the fit has no minimum.

    Args:
        templates: the templates of the fit.
        processes: the contents of every process; together they are the pseudo-data.

    Raises:
        DataError: the templates cannot be fitted.

    """
    model, total = Model.of(templates), templates.total()
    changes = [change for name, contents in processes.items() for change in _changes(templates, name, contents)]
    rows = total + np.stack([np.zeros_like(total), *(c.change for c in changes)])
    usable = rows.min(axis=1) >= 0
    data = model.nominally(np.where(usable[:, None], rows, total))
    fits = fit_strengths(model, data, intervals=False, last_step=True)
    first = np.array([0])
    response = model.response(fits.theta[first], data[first], fits.hessian[first])[0]
    mu = np.where(usable & fits.converged, fits.mu, np.nan)
    found = []
    for change, moved in zip(changes, (mu[1:] - mu[0]).tolist(), strict=True):
        error = float(np.sqrt(np.sum((response @ change.by_content) ** 2 * processes[change.process].sumw2)))
        value = moved if np.isfinite(moved) else None
        found.append(Origin(change.process, change.part, change.region, value, None if value is None else error))
    return tuple(found)


def _changes(templates: Templates, name: str, of: ProcessContents) -> Iterator[_Change]:
    """Yield the terms of the sum above of one process; a shape only where the process has events."""
    everywhere = _scaled(of, np.ones(len(of.sumw), dtype=np.bool_))
    within: dict[str, FloatArray] = {}
    for region, bins in templates.slices.items():
        inside = np.zeros(len(of.sumw), dtype=np.bool_)
        inside[bins] = True
        within[region] = _scaled(of, inside)
    yield _Change(name, "rate", None, everywhere @ of.sumw - of.expected, everywhere)
    if len(within) > 1:
        between = sum(within.values(), -everywhere)
        yield _Change(name, "regions", None, between @ of.sumw, between)
    for region, bins in templates.slices.items():
        if np.any(of.sumw2[bins]) or np.any(of.expected[bins]):
            own = np.zeros_like(everywhere)
            own[bins, bins] = np.eye(bins.stop - bins.start)
            shape = own - within[region]
            yield _Change(name, "shape", region, shape @ of.sumw, shape)


def _scaled(of: ProcessContents, inside: np.ndarray) -> FloatArray:
    """Return the matrix [b, b] that gives the templates in some bins, scaled to the sum of the contents there."""
    expected = np.where(inside, of.expected, 0.0)
    total = expected.sum()
    if not total > 0:
        return np.zeros((len(expected), len(expected)))
    matrix: FloatArray = np.outer(expected / total, inside.astype(np.float64))
    return matrix
