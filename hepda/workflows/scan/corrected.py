"""The numbers of a chosen point, corrected for its having been chosen.

A scan chooses and reports on different events, so the fluctuations of the events that choose are not in what is
reported. But the networks are the same: of two points that are equally good, the one whose trainings had better luck is
chosen, and its luck is in the report too. The correction repeats the choice, by its own rule, on simulated trainings
(`hepda.evaluation.best_of`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hepda.evaluation.best_of import best_of_choice
from hepda.evaluation.best_of.simulation import Rule
from hepda.results.best_of import BestOf
from hepda.results.evaluation import FloatArray
from hepda.workflows.scan.choice import Criterion, Result, choose, smallest_loss
from hepda.workflows.scan.measuring import LOSS, PHYSICS

BestNumbers = Mapping[str, BestOf]
"""By the name of a reported number; empty where nothing was chosen, or there was only one point to choose."""


def corrected_numbers(
    results: Sequence[Result], of_model: Sequence[Result], criterion: Criterion, seed: int = 0
) -> BestNumbers:
    """Return every reported number of the chosen one of some points: naive, and corrected for the choice.

    Args:
        results: the points of which one was chosen.
        of_model: all points of the model; the smallest loss, from which a tolerance counts, is that of any of them.
        criterion: the rule of the choice.
        seed: of the simulation.

    """
    columns = criteria_of(criterion)
    candidates = [r for r in of_model if not r.failed and all(r.mean.get(name) is not None for name in columns)]
    allowed = np.array([any(r is one for one in results) for r in candidates], dtype=np.bool_)
    if np.count_nonzero(allowed) < 2:
        return {}
    chosen = choose(results, criterion, smallest_loss(of_model))
    if chosen is None:
        return {}
    names = [
        name
        for name, value in chosen.mean.items()
        if value is not None and not name.startswith("choice_") and not name.endswith("_error")
    ]
    signs = np.array(list(columns.values()))
    found = best_of_choice(
        _values(candidates, list(columns)) * signs, _values(candidates, names), rule_of(criterion, allowed), seed=seed
    )
    return dict(zip(names, found, strict=True))


def criteria_of(criterion: Criterion) -> dict[str, float]:
    """Return the numbers that choose, each with the sign that makes larger ones better."""
    if criterion.name == PHYSICS:
        return {"choice_loss": -1.0, "choice_probe": -1.0}
    return {f"choice_{criterion.name}": -1.0 if criterion.name == LOSS else 1.0}


def rule_of(criterion: Criterion, allowed: NDArray[np.bool_]) -> Rule:
    """Return the choice of `hepda.workflows.scan.choice` for many sets of means at once.

    Args:
        criterion: the rule.
        allowed: which points may be chosen [points]; the others count for the smallest loss only.

    """

    def largest_allowed(means: FloatArray) -> NDArray[np.intp]:
        return np.asarray(np.where(allowed, means[..., 0], -np.inf).argmax(axis=-1))

    def physics(means: FloatArray) -> NDArray[np.intp]:
        loss, probe = -means[..., 0], np.maximum(-means[..., 1], 0.5)
        within = allowed & (loss <= loss.min(axis=-1, keepdims=True) * (1.0 + criterion.tolerance))
        found = np.where(within, probe, np.inf)
        best = within & (found == found.min(axis=-1, keepdims=True))
        point = np.where(best, loss, np.inf).argmin(axis=-1)
        # in a simulated scan perhaps no point of this curve is within the tolerance
        return np.asarray(np.where(within.any(axis=-1), point, largest_allowed(means)))

    return physics if criterion.name == PHYSICS else largest_allowed


def _values(results: Sequence[Result], names: Sequence[str]) -> FloatArray:
    """Return numbers [points, seeds, names]; NaN where there is none."""
    rows = [[[row["numbers"].get(name) for name in names] for row in result.rows] for result in results]
    return np.array(rows, dtype=np.float64)
