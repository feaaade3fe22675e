"""The uncertainty of mu by groups of parameters, as a table of the report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hepda.number_format import Cell, Quantity, Table
from hepda.results.evaluation import FloatArray
from hepda.results.fit_file import FitFile, FittedModel

KINDS = {
    "norm": "Normalisations", "weight": "Weights", "shape": "Varied events", "two_point": "Other generators",
}  # fmt: skip
"""Groups of systematics, by their kind in the analysis file."""


def groups_table(fits: FitFile) -> Table:
    """Return the expected uncertainty of mu by group: data, each kind of systematics, free rates, simulation."""
    rows = []
    for name, model in fits.models.items():
        budget = model.error_budget
        if not budget.total:
            continue
        parts: list[tuple[str, int | None, float | None]] = [("Data", None, budget.data)]
        parts += [
            (KINDS.get(kind, kind), len(of), _uncertainty(model, of)) for kind, of in _groups(fits, model).items()
        ]
        parts += [("All systematics", None, budget.systematics), ("Free rates", None, budget.rates),
                  ("Simulation statistics", None, budget.simulation), ("Total", None, budget.total)]  # fmt: skip
        rows += [
            [
                Cell(name, name),
                Cell(group, group),
                Cell("") if count is None else Quantity(float(count)).cell(),
                Quantity(part).cell(),
                Quantity(100.0 * (part / budget.total) ** 2).cell(),
            ]
            for group, count, part in parts
            if part is not None
        ]
    note = (
        "Expected at µ = 1. A group of systematics: by how much, in quadrature, the uncertainty decreases if its "
        "parameters are fixed, from the covariance of the fit; because groups are correlated, their squares do not add "
        "up. Data, all systematics, free rates and simulation add up to the total in quadrature."
    )
    head = ["Model", "Group", "Parameters", "Uncertainty of µ", "Squared, of the total [%]"]
    return Table("Uncertainties of µ by group", head, rows, note)


def _groups(fits: FitFile, model: FittedModel) -> dict[str, list[str]]:
    """Return the fitted systematics by kind; several parameters may belong to one systematic of the analysis file."""
    groups: dict[str, list[str]] = {}
    for parameter in model.expected.parameters or ():
        if parameter.kind != "systematic":
            continue
        owners = [s for s in fits.systematics if parameter.name == s or parameter.name.startswith(f"{s}_")]
        kind = fits.systematics[max(owners, key=len)].kind if owners else "other"
        groups.setdefault(kind, []).append(parameter.name)
    return groups


def _uncertainty(model: FittedModel, names: Sequence[str]) -> float | None:
    """Return by how much the uncertainty of mu decreases in quadrature with parameters fixed; None without a fit."""
    fit = model.expected
    if fit.correlation is None:
        return None
    errors = {p.name: p.error for p in fit.parameters or ()}
    chosen = [fit.correlation.names.index(name) for name in names if name in fit.correlation.names]
    mu = fit.correlation.names.index("mu")
    error = errors.get("mu")
    if error is None or not chosen:
        return None
    return float(error * np.sqrt(explained_variance(np.array(fit.correlation.matrix, dtype=np.float64), mu, chosen)))


def explained_variance(correlation: FloatArray, of: int, by: Sequence[int]) -> float:
    """Return the share of the variance of a parameter that vanishes if others are fixed: r^T R^-1 r.

    In a Gaussian approximation the covariance with some parameters fixed is the Schur complement of their block.

    Args:
        correlation: correlations [p, p].
        of: number of the parameter.
        by: numbers of those that are fixed.

    """
    block, row = correlation[np.ix_(by, by)], correlation[of, list(by)]
    return float(np.clip(row @ np.linalg.lstsq(block, row, rcond=None)[0], 0.0, 1.0))
