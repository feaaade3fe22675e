"""The spread of a number between trainings, which errors over events do not contain.

Errors of AUC, shifts and significance are those of finite samples of events, for the given networks. Trainings with
another seed give other networks. The members of an ensemble show this noise separately, on the same events; without an
ensemble, the folds show it together with the noise of their events, which are different ones in each fold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from hepda.errors import DataError
from hepda.evaluation.differences.bias import efficiency_shift
from hepda.evaluation.roc import auc
from hepda.events.domains.roles import compared

if TYPE_CHECKING:
    from hepda.events.results.evaluate import EvaluationInput
    from hepda.events.table.feature_table import FeatureTable

Array = NDArray[Any]
_BLOCK = 500_000
"""Number of events that are read from the table at once to be scored again."""


@dataclass(frozen=True, slots=True)
class TrainingSpread:
    """The values of a number in each training; the trainings are a sample of those with other seeds."""

    values: tuple[float, ...]

    @property
    def spread(self) -> float:
        """Return the standard deviation between trainings, with n - 1."""
        return float(np.std(self.values, ddof=1))

    @property
    def error(self) -> float:
        """Return the error of the mean of these trainings."""
        return self.spread / float(np.sqrt(len(self.values)))


@dataclass(frozen=True, slots=True)
class TrainingNoise:
    """Numbers by training of one model: AUC in the source, shifts by other domain and signal efficiency.

    over: "members" of an ensemble on the same events, or "folds", each on its own events, so that the spread contains
    their statistical fluctuations.
    """

    over: Literal["members", "folds"]
    trainings: int
    auc: TrainingSpread | None
    shifts: dict[str, dict[float, TrainingSpread]] = field(default_factory=dict)


def training_noise(evaluated: EvaluationInput, model: str, score: Array) -> TrainingNoise:
    """Return the spread over the members of an ensemble, or over folds if there is no ensemble.

    Args:
        evaluated: the events, scores and networks.
        model: name of the model.
        score: the score [n] of all events, as used in the evaluation.

    """
    about = evaluated.spec.models.get(model)
    members = 1 if about is None else about.members
    everything = np.ones(len(evaluated.table), dtype=bool)
    if members > 1 and evaluated.rescore is not None:
        rescore = evaluated.rescore
        used = _used(evaluated)
        parts = (
            (_member_score(evaluated.table, used, model, member, rescore), everything) for member in range(members)
        )
        return _noise(evaluated, "members", members, parts)
    folds = evaluated.spec.folds
    return _noise(evaluated, "folds", folds, ((score, evaluated.table.fold == fold) for fold in range(folds)))


def _used(evaluated: EvaluationInput) -> NDArray[np.bool_]:
    """Return the mask [n] of the events that any of the numbers uses."""
    table, spec = evaluated.table, evaluated.spec
    used = table.of_domain(spec.domains.nominal) & (table.label >= 0)
    for other in evaluated.others:
        used |= compared(spec, table, other)[1].mask
    return used


def _member_score(
    table: FeatureTable, used: NDArray[np.bool_], model: str, member: int, rescore: Callable[..., Array]
) -> Array:
    """Return the score [n] by one member of every fold; NaN for events that are not used."""
    score = np.full(len(table), np.nan)
    for fold in np.unique(table.fold[used]).tolist():
        places = np.flatnonzero(used & (table.fold == fold))
        for start in range(0, len(places), _BLOCK):
            rows = places[start : start + _BLOCK]
            score[rows] = rescore(table.select(rows), model, fold, member)
    return score


def _noise(
    evaluated: EvaluationInput,
    over: Literal["members", "folds"],
    trainings: int,
    parts: Iterator[tuple[Array, NDArray[np.bool_]]],
) -> TrainingNoise:
    """Return the numbers of each part.

    Args:
        evaluated: the events, scores and networks.
        over: what the parts are.
        trainings: number of parts.
        parts: for each part its score and the mask of the events that it is evaluated on, both [n].

    """
    table, spec = evaluated.table, evaluated.spec
    source = table.of_domain(spec.domains.nominal)
    pairs = {other: [side.mask for side in compared(spec, table, other)] for other in evaluated.others}
    points = spec.settings.working_points
    areas: list[float] = []
    shifts: dict[str, dict[float, list[float]]] = {other: {point: [] for point in points} for other in pairs}
    for score, mask in parts:
        inner = mask & source & (table.label >= 0)
        try:
            areas.append(auc(score[inner], table.label[inner], table.weight[inner]))
        except DataError:
            continue  # too few events of a class in this fold, so it has no number
        signal = inner & (table.label == 1)
        for other, sides in pairs.items():
            source_mask, target_mask = (mask & side for side in sides)
            try:
                shifts_of_part = efficiency_shift(
                    score[signal], table.weight[signal], score[source_mask], table.weight[source_mask],
                    score[target_mask], table.weight[target_mask], points,
                )  # fmt: skip
            except DataError:
                continue
            for shift in shifts_of_part:
                if shift.shift is not None:
                    shifts[other][shift.signal_efficiency].append(shift.shift)
    return TrainingNoise(
        over,
        trainings,
        _spread(areas, trainings),
        {
            other: {
                point: spread
                for point, values in by_point.items()
                if (spread := _spread(values, trainings)) is not None
            }
            for other, by_point in shifts.items()
        },
    )


def _spread(values: list[float], trainings: int) -> TrainingSpread | None:
    """Return the spread of the values; None unless every training has a value.

    The trainings without a value are not a random selection, so the others do not represent all trainings.
    """
    return TrainingSpread(tuple(values)) if len(values) == trainings > 1 else None
