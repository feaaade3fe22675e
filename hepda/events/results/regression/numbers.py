"""The numbers of a model that predicts a number: residuals by domain, and differences between domains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepda.errors import DataError
from hepda.evaluation.arrays import sample
from hepda.evaluation.classes import Resampling
from hepda.evaluation.differences.bias import BiasSettings, ModelScores, compare_models
from hepda.evaluation.regression import residuals, target_edges
from hepda.events.domains.blinding import BLINDED
from hepda.events.domains.counterparts import CLASS_NAMES
from hepda.events.domains.roles import blinded_domains
from hepda.events.domains.spec import EvaluationSpec
from hepda.events.specs import ModelSpec
from hepda.events.table.feature_table import FeatureTable
from hepda.results.entries.regression import RegressionNumbers
from hepda.results.evaluation import BiasResult, FloatArray

if TYPE_CHECKING:
    from hepda.events.results.evaluate import EvaluationInput

Array = NDArray[Any]
Mask = NDArray[np.bool_]
LEFT_OUT = (
    "predicts a number and no class, so it has no ROC curve and AUC, no working points, efficiency shifts and "
    "calibration, no significance and no fit of its own; its predictions of data are compared only if "
    "`evaluation.blind` is null"
)
"""What models that predict a number are not part of."""


def target_of(model: ModelSpec, table: FeatureTable) -> Array:
    """Return the number [n] that a model predicts; NaN for events without it."""
    return np.asarray(table.columns[model.target_column], dtype=np.float64)


def learnt_events(spec: EvaluationSpec, table: FeatureTable, model: ModelSpec, domain: str) -> Mask:
    """Return the events [n] of a domain that are of the processes that a model was trained on.

    In the nominal domain they are those of its samples; in another simulated domain those of its samples there, and of
    their counterparts (`hepda.events.domains.counterparts`); of data all events.
    """
    in_domain = table.of_domain(domain)
    if domain in spec.domains.data:
        return in_domain
    return in_domain & table.of_samples(_samples_in(spec, model, domain, table.sample_names))


def _samples_in(spec: EvaluationSpec, model: ModelSpec, domain: str, known: tuple[str, ...]) -> list[str]:
    own = set(model.samples)
    names = set(own)
    for class_name in CLASS_NAMES:
        entry = spec.domains.counterparts_of(domain, class_name)
        for of_nominal, of_other in entry.processes.values():
            names |= set(of_other) if own & set(of_nominal) else set()
    return [name for name in known if name in names]


def bins_of_target(spec: EvaluationSpec, table: FeatureTable, model: ModelSpec) -> FloatArray:
    """Return the edges of the bins of the target, the same for all domains: from the nominal one."""
    section, target = model.regression, target_of(model, table)
    rows = learnt_events(spec, table, model, spec.domains.nominal) & np.isfinite(target)
    return target_edges(target[rows], section.bins, section.range)


def with_target(spec: EvaluationSpec, table: FeatureTable, model: ModelSpec) -> dict[str, Mask]:
    """Return the events [n] with a target, by domain that has some; the nominal domain is the first."""
    finite = np.isfinite(target_of(model, table))
    rows = {name: learnt_events(spec, table, model, name) & finite for name in spec.domains.names}
    return {name: mask for name, mask in rows.items() if mask.any()}


def compared_pairs(spec: EvaluationSpec, table: FeatureTable, model: ModelSpec) -> dict[str, tuple[Mask, Mask] | str]:
    """Return the events of the nominal domain and of each other one whose predictions are compared, or why none are.

    Data are compared with all of the simulation, unless they are blinded.
    """
    nominal = spec.domains.nominal
    blinded = blinded_domains(spec.domains, table)
    pairs: dict[str, tuple[Mask, Mask] | str] = {}
    for other in spec.domains.names:
        if other == nominal:
            continue
        if other in blinded:
            pairs[other] = BLINDED
        elif spec.between is not None and other not in spec.between:
            pairs[other] = "`evaluation.bias.between` does not name it"
        elif other in spec.domains.data:
            pairs[other] = (table.of_domain(nominal) & (table.label >= 0), table.of_domain(other))
        else:
            source, target = (learnt_events(spec, table, model, name) for name in (nominal, other))
            pairs[other] = _same_processes(spec, table, other, source), target
            if not target.any():
                pairs[other] = "it has no events of the processes that the model was trained on"
    return pairs


def _same_processes(spec: EvaluationSpec, table: FeatureTable, other: str, source: Mask) -> Mask:
    """Return those of the events of the nominal domain whose process the other domain has too."""
    matched = {
        name
        for class_name in CLASS_NAMES
        for of_nominal, _ in spec.domains.counterparts_of(other, class_name).processes.values()
        for name in of_nominal
    }
    return source & table.of_samples([name for name in table.sample_names if name in matched]) if matched else source


def regression_numbers(evaluated: EvaluationInput, name: str) -> RegressionNumbers:
    """Return all numbers of one model that predicts a number.

    Args:
        evaluated: the events and the predictions.
        name: the model.

    """
    spec, table = evaluated.spec, evaluated.table
    model, prediction = spec.models[name], np.asarray(evaluated.predictions[name], dtype=np.float64)
    target, edges = target_of(model, table), bins_of_target(spec, table, model)
    numbers, rows = RegressionNumbers(), with_target(spec, table, model)
    for domain, mask in rows.items():
        try:
            numbers.domains[domain] = residuals(
                prediction[mask], target[mask], table.weight[mask], edges, Resampling(spec.replicas, spec.seed)
            )
        except DataError as reason:
            numbers.domains[domain] = str(reason)
    pairs = compared_pairs(spec, table, model)
    settings = BiasSettings((), "all", seed=spec.seed)
    numbers.prediction = _differences(pairs, prediction, table.weight, settings)
    known = np.isfinite(target)
    of_targets = {
        other: pair if isinstance(pair, str) else (pair[0] & known, pair[1] & known)
        for other, pair in pairs.items()
        if other in rows
    }
    numbers.residual = _differences(of_targets, np.where(known, prediction - target, 0.0), table.weight, settings)
    return numbers


def _differences(
    pairs: Mapping[str, tuple[Mask, Mask] | str], values: FloatArray, weight: Array, settings: BiasSettings
) -> dict[str, BiasResult | str]:
    results: dict[str, BiasResult | str] = {}
    for other, pair in pairs.items():
        if isinstance(pair, str):
            results[other] = pair
            continue
        try:
            source, target = (
                sample(values[mask], weight[mask], f"the events of {which}")
                for mask, which in zip(pair, ("the nominal domain", other), strict=True)
            )
            (results[other],) = compare_models([ModelScores(source, target)], settings)
        except DataError as reason:
            results[other] = str(reason)
    return results
