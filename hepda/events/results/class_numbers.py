"""The numbers of several classes: separation by each model and domain, and their entry in metrics.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepda.evaluation.classes import Resampling, class_events, class_numbers, cuts_of, score_against_class
from hepda.results.entries.classes import ClassNumbers, ClassWorkingPoint, ConfusionMatrix
from hepda.results.entries.decomposition import Contribution
from hepda.results.evaluation import FloatArray, Interval, entry_or_why

if TYPE_CHECKING:
    from hepda.events.results.evaluate import EvaluationInput


@dataclass(slots=True)
class ModelClasses:
    """The numbers of one model; a text in place of a number is the reason why there is none.

    outputs: the classes that it predicts, none for a model of signal against the rest; domains: the separation of these
    classes, by domain; score: AUC of its score for all signal against each other class, by domain and class.
    """

    outputs: tuple[str, ...] = ()
    domains: dict[str, ClassNumbers] = field(default_factory=dict)
    score: dict[str, dict[str, Interval | str]] = field(default_factory=dict)


def model_classes(evaluated: EvaluationInput, model: str) -> ModelClasses:
    """Return the numbers of the classes for one model, in every domain with events of two classes or more."""
    spec, table = evaluated.spec, evaluated.table
    index = np.asarray(spec.classes.index(table), dtype=np.intp)
    weight = np.asarray(table.weight, dtype=np.float64)
    score = np.asarray(evaluated.scores[model], dtype=np.float64)
    resampling = Resampling(spec.replicas, spec.seed)
    result = ModelClasses(spec.models[model].classes)
    in_domain = {name: table.of_domain(name) & (index >= 0) for name in table.domain_names}
    with_classes = {name: mask for name, mask in in_domain.items() if len(np.unique(index[mask])) > 1}
    for domain, mask in with_classes.items():
        signal = np.asarray(table.label[mask] == 1)
        against = {
            name: score_against_class(score[mask], signal, of_class, weight[mask], resampling)
            for number, name in enumerate(spec.classes.names)
            if name not in spec.classes.signal and (of_class := index[mask] == number).any() and signal.any()
        }
        if against:
            result.score[domain] = against
    if not result.outputs:
        return result
    outputs = evaluated.outputs[model]

    def events(mask: NDArray[np.bool_]) -> Any:
        return class_events(outputs[mask], index[mask], weight[mask], result.outputs)

    cuts = cuts_of(events(in_domain[spec.domains.nominal]), spec.settings.working_points)
    result.domains = {domain: class_numbers(events(mask), cuts, resampling) for domain, mask in with_classes.items()}
    return result


def classes_of(result: ModelClasses) -> dict[str, Any]:
    """Return models.<model>.classes of metrics.json."""
    domains = {domain: _domain(numbers) for domain, numbers in result.domains.items()}
    return {
        "outputs": list(result.outputs),
        **({"domains": domains} if domains else {}),
        "score_auc": {
            domain: {name: entry_or_why(area) for name, area in by_class.items()}
            for domain, by_class in result.score.items()
        },
    }


def _domain(numbers: ClassNumbers) -> dict[str, Any]:
    confusion = {} if numbers.confusion is None else {"confusion": _confusion(numbers.confusion)}
    return {
        "auc": {
            name: entry_or_why(curves if isinstance(curves, str) else curves[0].auc)
            for name, curves in numbers.against_rest.items()
        },
        "auc_pairs": {f"{first}:{second}": entry_or_why(area) for (first, second), area in numbers.against_one.items()},
        **confusion,
        "working_points": {
            name: {f"{point.requested:g}": _point(point) for point in points}
            for name, points in numbers.working.items()
        },
        "calibration": {
            name: {"expected_error": None, "why": curve} if isinstance(curve, str)
            else {"expected_error": curve.expected_error} | ({"why": curve.why} if curve.why else {})
            for name, curve in numbers.calibration.items()
        },
    }  # fmt: skip


def _measured(value: Contribution | None) -> dict[str, Any] | None:
    return None if value is None else {"value": value.value, "error": value.error}


def _rows(matrix: FloatArray) -> list[list[float | None] | None]:
    """Return the rows of a matrix; a row without any number is None."""
    rows = [[x if np.isfinite(x) else None for x in row] for row in matrix.tolist()]
    return [None if all(x is None for x in row) else row for row in rows]


def _confusion(matrix: ConfusionMatrix) -> dict[str, Any]:
    names = ("efficiency", "efficiency_error", "purity", "purity_error")
    shares = {name: _rows(getattr(matrix, name)) for name in names}
    complete = all(row is not None and None not in row for rows in shares.values() for row in rows)
    why = {} if complete else {"why": "the weights of a true or predicted class do not sum to a positive number"}
    return {
        "sumw": matrix.sumw.tolist(),
        **shares,
        "accuracy": _measured(matrix.accuracy),
        "balanced_accuracy": _measured(matrix.balanced_accuracy),
        **why,
    }


def _point(point: ClassWorkingPoint) -> dict[str, Any]:
    limits = {name: of_class.limit for name, of_class in point.classes.items() if of_class.limit is not None}
    rejections: dict[str, Any] = {}
    for name, of_class in point.classes.items():
        if of_class.rejection is None:
            rejections[name] = {"value": None, "why": "the efficiency is not positive at the cut"}
        else:
            rejections[name] = {"value": of_class.rejection, "error": of_class.rejection_error}
    return {
        "cut": point.cut,
        "efficiency": {
            name: {"value": of_class.efficiency, "error": of_class.efficiency_error}
            for name, of_class in point.classes.items()
        },
        "rejection": rejections,
        **({"efficiency_upper_limit": limits} if limits else {}),
    }
