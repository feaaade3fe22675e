"""Computation of all numbers from scores: separation, differences between domains, and their effect on the analysis.

Every number is over events that the scoring network has not seen, with the sign of every weight. Which domains are
compared, and by which events, is defined in `domains`. The parts are computed in parallel, in processes of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.errors import DataError
from hepda.evaluation.differences.ratios import DomainComparison, RatioSettings, shift_ratios
from hepda.evaluation.efficiency import weighted_efficiency
from hepda.evaluation.inputs import input_separations
from hepda.evaluation.roc import rocs
from hepda.events.domains.roles import (
    blinded_domains,
    compared_domains,
    excluded_domains,
    labelled_domains,
    missing_class,
    without_counterpart,
)
from hepda.events.domains.spec import EvaluationSpec
from hepda.events.results.class_numbers import model_classes
from hepda.events.results.embeddings.few_labels import model_few_labels
from hepda.events.results.embeddings.probes import importance, input_removal, probes
from hepda.events.results.labels import model_labels
from hepda.events.results.per_model import ModelNumbers, bias_numbers, input_importance, model_numbers
from hepda.events.results.regression.numbers import regression_numbers
from hepda.events.results.thresholds import model_thresholds
from hepda.events.table.feature_table import FeatureTable
from hepda.results.entries.regression import RegressionNumbers
from hepda.results.evaluation import (
    FeatureImportance,
    InputRemoval,
    InputSeparation,
    Interval,
    ProbeResult,
    Roc,
    RocBand,
    ShiftRatio,
)
from hepda.runtime.pool import Send, open_pool
from hepda.timing import timed

Array = NDArray[Any]
Rescore = Callable[..., Array]
"""Function that returns the score [n] of the events of a table.

The arguments are the table, the name of a model and the fold whose trainings are used, independently of the folds of
the events; a fourth argument selects one member of an ensemble."""


@dataclass(slots=True)
class Numbers:
    """The numbers of a run in the form that figures need; `to_json.py` converts them to metrics.json."""

    source: str  # the nominal domain
    baseline: str = ""  # the model with which the others are compared
    rocs: dict[str, dict[str, tuple[Roc, RocBand]]] = field(default_factory=dict)  # by domain and model
    models: dict[str, ModelNumbers] = field(default_factory=dict)  # those that predict classes
    regressions: dict[str, RegressionNumbers] = field(default_factory=dict)  # and those that predict a number
    inputs: dict[str, dict[str, tuple[ProbeResult, ...] | str]] = field(default_factory=dict)  # by domain and class
    importance: dict[str, FeatureImportance | str] = field(default_factory=dict)  # for the domains, by other domain
    separations: tuple[InputSeparation, ...] = ()  # of signal and background by each input alone, in the source
    removal: dict[str, InputRemoval | str] = field(default_factory=dict)  # of the most separating inputs, by domain
    priors: dict[str, tuple[float, float]] = field(default_factory=dict)  # share of signal and its error, by domain
    unlabelled: tuple[str, ...] = ()  # other domains whose classes are unknown: data
    missing_class: dict[str, str] = field(default_factory=dict)  # other domain -> the class of which it has no events
    excluded: dict[str, str] = field(default_factory=dict)  # other domain that is not compared -> reason
    blinded: tuple[str, ...] = ()  # domains of data for which no number is given

    def auc(self, model: str, domain: str) -> Interval:
        """Return the AUC of a model in a domain whose classes are known."""
        return self.rocs[domain][model][0].auc


@dataclass(frozen=True, slots=True)
class EvaluationInput:
    """The input of the evaluation: the score [n] of each model that predicts classes, and the files of networks with an
    embedding.
    """

    spec: EvaluationSpec
    table: FeatureTable
    scores: Mapping[str, Array]
    networks: Mapping[str, Path] = field(default_factory=dict)  # by model: its network of fold 0
    rescore: Rescore | None = None  # a function of a module, because it is sent to other processes
    outputs: Mapping[str, Array] = field(
        default_factory=dict
    )  # by model of several classes: probabilities [n, classes]
    predictions: Mapping[str, Array] = field(default_factory=dict)  # [n] by model that predicts a number
    columns: Mapping[str, Array] = field(default_factory=dict)  # all score columns [n], for the working points

    @property
    def models(self) -> list[str]:
        """Return the models with a score or a prediction."""
        return [*self.scores, *self.predictions]

    @property
    def others(self) -> list[str]:
        """Return the domains that are compared with the source."""
        return compared_domains(self.spec, self.table)


def evaluate(evaluated: EvaluationInput, processes: int, progress: Send) -> Numbers:
    """Compute all numbers; the parts are computed in parallel.

    Args:
        evaluated: the events, scores and networks.
        processes: number of processes.
        progress: function that receives the progress of the parts.

    Raises:
        DataError: the source has no events of a class, or a number cannot be computed from these events.

    """
    spec, table = evaluated.spec, evaluated.table
    source, labelled = spec.domains.nominal, labelled_domains(table)
    if source not in labelled and evaluated.scores:
        raise DataError(f"the domain {source!r} lacks signal or background events; its scores cannot be evaluated")
    parts = _parts(evaluated, labelled)
    with open_pool(min(processes, len(parts)), shared=evaluated, progress=progress) as pool:
        results = pool.map(_compute, parts)
    missing = {name: missing_class(table, name) for name in table.domain_names if name not in labelled}
    numbers = Numbers(
        source,
        _reference(evaluated),
        priors={name: _prior(table, name) for name in labelled},
        unlabelled=tuple(name for name, class_name in missing.items() if class_name is None),
        missing_class={name: class_name for name, class_name in missing.items() if class_name is not None},
        excluded=excluded_domains(spec, table),
        blinded=blinded_domains(spec.domains, table),
    )
    by_part = dict(zip(parts, results, strict=True))
    numbers.models = {model: by_part["model", model, ""] for model in evaluated.scores}
    numbers.regressions = {model: by_part["regression", model, ""] for model in evaluated.predictions}
    for (kind, model, domain), result in by_part.items():
        if kind == "roc":
            numbers.rocs[domain] = result
        elif kind == "importance":
            numbers.importance[domain], numbers.removal[domain] = result
        elif kind == "probe" and model:
            of_model = numbers.regressions[model] if model in numbers.regressions else numbers.models[model]
            of_model.probes[domain] = result
        elif kind == "probe":
            numbers.inputs[domain] = result
        elif kind == "inputs":
            numbers.separations = result
        elif kind == "inputs of model":
            numbers.models[model].importance = result
        elif kind == "classes":
            numbers.models[model].classes = result
        elif kind == "labels":
            numbers.models[model].labels = result
        elif kind == "thresholds":
            numbers.models[model].thresholds = result
        elif kind == "few labels":
            numbers.models[model].few_labels = result
        elif kind == "bias":
            for name, comparison in result.items():
                numbers.models[name].add(domain, comparison)
        elif kind == "ratio":
            for name, by_domain in result.items():
                numbers.models[name].ratios = by_domain
    return numbers


Part = tuple[str, str, str]
"""A part of the evaluation: kind, model ("" for none) and domain ("" for all)."""
_KINDS = {
    "probe": "probes", "importance": "importance of inputs", "model": "numbers of models", "classes": "several classes",
    "thresholds": "working points", "labels": "labels", "few labels": "few labels",
    "regression": "predicted numbers",
    "inputs": "separation by inputs", "inputs of model": "inputs of models", "ratio": "ratios of shifts",
    "roc": "ROC curves", "bias": "differences",
}  # fmt: skip
"""What a profile calls the kinds."""


def _parts(evaluated: EvaluationInput, labelled: tuple[str, ...]) -> list[Part]:
    """Return the parts of the evaluation, the longest first, so that no process waits long for the last one."""
    parts: list[Part] = []
    if evaluated.spec.settings.probes:
        networks = [model for model in evaluated.networks if model in evaluated.models]
        parts += [("probe", model, other) for other in evaluated.others for model in networks]
        parts += [("importance", "", other) for other in evaluated.others]
        parts += [("inputs of model", model, "") for model in evaluated.scores]
    if evaluated.spec.settings.few_labels is not None:
        parts += [("few labels", model, "") for model in evaluated.networks if model in evaluated.scores]
    if evaluated.scores:
        parts += [("bias", "", other) for other in evaluated.others]
    parts += [("model", model, "") for model in evaluated.scores]
    parts += [("regression", model, "") for model in evaluated.predictions]
    described = [(name, model) for name, model in evaluated.spec.models.items() if name in evaluated.scores]
    parts += [("labels", name, "") for name, model in described if model.event_labels]
    parts += [("thresholds", name, "") for name, model in described if model.points]
    if evaluated.spec.domains.nominal in labelled:
        parts.append(("inputs", "", ""))
    if not evaluated.spec.classes.is_binary:
        parts += [("classes", model, "") for model in evaluated.scores]
    if evaluated.others and len(evaluated.scores) > 1:
        parts.append(("ratio", "", ""))
    if evaluated.spec.settings.probes:
        without_network = ["", *(model for model in evaluated.models if model not in evaluated.networks)]
        parts += [("probe", model, other) for other in evaluated.others for model in without_network]
    return parts + [("roc", "", domain) for domain in labelled if evaluated.scores]


def _compute(evaluated: EvaluationInput, part: Part, send: Send) -> Any:
    with timed(_KINDS[part[0]]):
        result = _number(evaluated, *part)
    send(" ".join(word for word in part if word), 1, 1)
    return result


def _number(evaluated: EvaluationInput, kind: str, model: str, domain: str) -> Any:
    result: Any
    if kind == "roc":
        result = _rocs(evaluated, domain)
    elif kind == "model":
        result = model_numbers(evaluated, model)
    elif kind == "inputs of model":
        result = input_importance(evaluated, model)
    elif kind == "labels":
        result = model_labels(evaluated, model)
    elif kind == "thresholds":
        result = model_thresholds(evaluated, model)
    elif kind == "few labels":
        result = model_few_labels(evaluated, model)
    elif kind == "classes":
        result = model_classes(evaluated, model)
    elif kind == "regression":
        result = regression_numbers(evaluated, model)
    elif kind == "bias":
        result = bias_numbers(evaluated, domain)
    elif kind == "inputs":
        table = evaluated.table
        rows = np.flatnonzero(table.of_domain(evaluated.spec.domains.nominal) & (table.label >= 0))
        result = input_separations(
            table.names, table.features[rows], table.label[rows], table.weight[rows], seed=evaluated.spec.seed
        )
    elif kind == "ratio":
        result = _ratios(evaluated)
    elif kind == "importance":
        result = _separating_inputs(evaluated, domain)
    else:
        result = probes(evaluated, model, domain)
    return result


def _separating_inputs(evaluated: EvaluationInput, other: str) -> tuple[FeatureImportance | str, InputRemoval | str]:
    """Return which inputs separate another domain from the source, and what is lost without them."""
    result = importance(evaluated, other)
    return result, result if isinstance(result, str) else input_removal(evaluated, other, result.names)


def _rocs(evaluated: EvaluationInput, domain: str) -> dict[str, tuple[Roc, RocBand]]:
    table = evaluated.table
    mask = table.of_domain(domain) & (table.label >= 0)
    of_domain = {model: score[mask] for model, score in evaluated.scores.items()}
    return rocs(
        of_domain,
        table.label[mask],
        table.weight[mask],
        reference=_reference(evaluated),
        replicas=evaluated.spec.replicas,
        seed=evaluated.spec.seed,
    )


def _reference(evaluated: EvaluationInput) -> str:
    """Return the baseline model, or the first model with scores if the baseline has none; "" without any score."""
    baseline = evaluated.spec.baseline
    return baseline if baseline in evaluated.scores else next(iter(evaluated.scores), "")


def _ratios(evaluated: EvaluationInput) -> dict[str, dict[str, tuple[ShiftRatio, ...]]]:
    """Return the shifts of every model divided by those of the baseline model.

    They are given by other domain, at the signal efficiencies of the tail.
    """
    table, spec = evaluated.table, evaluated.spec
    class_name = spec.compared_class
    names = np.asarray(table.domain_names)[table.domain]
    return shift_ratios(
        evaluated.scores, _reference(evaluated), table.label, names, table.weight,
        comparison=DomainComparison(
            spec.domains.nominal, evaluated.others, class_name,
            {other: without_counterpart(spec.domains, table, other, class_name) for other in evaluated.others},
        ),
        settings=RatioSettings(replicas=spec.replicas, seed=spec.seed),
    )  # fmt: skip


def _prior(table: FeatureTable, domain: str) -> tuple[float, float]:
    """Return the share of signal in the yield of a domain, and its error."""
    mask = table.of_domain(domain) & (table.label >= 0)
    return weighted_efficiency(table.label[mask] == 1, table.weight[mask])
