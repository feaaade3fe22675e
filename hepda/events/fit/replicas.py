"""The bootstrap of pseudo-data: how much a fitted strength, and the difference of two models, depends on their events.

A replica gives every event a Poisson(1) count that follows from its key alone. Models, trainings and runs on the same
events thus have the same replicas, so that their differences are paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.errors import DataError
from hepda.evaluation.bootstrap import interval, poisson_of
from hepda.evaluation.fits.histfactory import Model
from hepda.evaluation.fits.profile import fit_strengths
from hepda.evaluation.fits.templates import Templates
from hepda.events.dataset.splits import splitmix64
from hepda.results.evaluation import FloatArray, Interval
from hepda.results.fit_file import ClosedEntry, ClosureVariants, FittedModel, PairedEntry

LEVELS = (0.6827, 0.95)
_AT_ONCE = 2000


@dataclass(frozen=True, slots=True, eq=False)
class PseudoEvents:
    """The events of a domain at mu = 1: bin [n] of all fitted regions one after the other, weight [n], key [n]."""

    index: NDArray[np.intp]
    weight: FloatArray
    key: NDArray[np.uint64]

    def replica(self, number: int, bins: int) -> FloatArray:
        """Return the contents [bins] with every weight multiplied by the count of the event in a replica."""
        bits = splitmix64(self.key ^ splitmix64(np.array([number], dtype=np.uint64)))
        counts = poisson_of((bits >> np.uint64(48)).astype(np.uint16))
        return np.bincount(self.index, weights=self.weight * counts, minlength=bins).astype(np.float64, copy=False)


def replicated_strengths(templates: Templates, events: PseudoEvents, replicas: int) -> FloatArray:
    """Return the fitted mu of replicas [r]; NaN where a bin is negative or there is no minimum.

    Args:
        templates: the templates.
        events: the pseudo-data.
        replicas: their number.

    """
    model = Model.of(templates)
    strengths = np.full(replicas, np.nan)
    for start in range(0, replicas, _AT_ONCE):
        numbers = np.arange(start, min(start + _AT_ONCE, replicas))
        rows = np.stack([events.replica(int(number), templates.bins) for number in numbers])
        usable = rows.min(axis=1) >= 0
        if usable.any():
            fits = fit_strengths(model, model.nominally(rows[usable]), intervals=False)
            strengths[numbers[usable]] = np.where(fits.converged, fits.mu, np.nan)
    return strengths


def with_paired(models: Mapping[str, FittedModel], baseline: str) -> dict[str, FittedModel]:
    """Return the fits with the paired differences of their biases to those of the baseline.

    Args:
        models: the fits by model.
        baseline: the model that the others are compared with; nothing is done if it is not among them.

    """
    if baseline not in models:
        return dict(models)
    reference = models[baseline].closure
    return {
        name: fitted if name == baseline else fitted.model_copy(update={"paired": _paired(fitted.closure, reference)})
        for name, fitted in models.items()
    }


def _paired(closure: ClosureVariants, reference: ClosureVariants) -> dict[str, dict[str, PairedEntry]]:
    paired: dict[str, dict[str, PairedEntry]] = {}
    for variant in ("without_two_point", "all"):
        for domain, entries in closure.of(variant).items():
            for entry, of_baseline in zip(entries, reference.of(variant).get(domain, ()), strict=False):
                if entry.replicas and of_baseline.replicas and entry.bias is not None and of_baseline.bias is not None:
                    paired.setdefault(variant, {})[domain] = _difference(entry, of_baseline)
    return paired


def _difference(entry: ClosedEntry, of_baseline: ClosedEntry) -> PairedEntry:
    """Return |bias of the baseline| - |bias of the model|, with intervals of the replicas."""
    sides = [(float(side.bias or 0.0), _moved(side)) for side in (of_baseline, entry)]
    result: dict[str, Any] = {"value": abs(sides[0][0]) - abs(sides[1][0]), "replicas": len(entry.replicas)}
    try:
        narrow, wide = smaller_distance(*sides)
    except DataError as reason:
        return PairedEntry(**result, low=None, high=None, low_95=None, high_95=None, why=str(reason))
    return PairedEntry(**result, low=narrow.low, high=narrow.high, low_95=wide.low, high_95=wide.high)


def _moved(entry: ClosedEntry) -> FloatArray:
    mu = np.array([np.nan if value is None else float(value) for value in entry.replicas])
    return mu - float(entry.truth)


def smaller_distance(
    of_baseline: tuple[float, FloatArray], of_model: tuple[float, FloatArray]
) -> tuple[Interval, Interval]:
    """Return by how much a bias is smaller than that of the baseline, |b_0| - |b|, with its intervals at `LEVELS`.

    Args:
        of_baseline: the bias of the baseline, and that of each replica [r].
        of_model: the same of the model, in the same replicas.

    Raises:
        DataError: more than 5 % of the replicas are NaN.

    """
    value = abs(of_baseline[0]) - abs(of_model[0])
    differences = np.abs(of_baseline[1]) - np.abs(of_model[1])
    narrow, wide = (interval(value, value, differences, level) for level in LEVELS)
    return narrow, wide
