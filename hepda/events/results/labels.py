"""The numbers of labels: AUC, and F1 at 0.5 and at thresholds that validation events of the nominal domain chose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hepda.errors import DataError
from hepda.evaluation.classes import Resampling, score_against_class
from hepda.evaluation.working_points.objectives import F1, labelled_scores
from hepda.evaluation.working_points.thresholds import choose, macro_f1
from hepda.events.domains.roles import blinded_domains
from hepda.events.table.truth import truth_of
from hepda.results.entries.thresholds import ChosenThreshold, MacroScore
from hepda.results.evaluation import Interval, entry_or_why

if TYPE_CHECKING:
    from hepda.events.results.evaluate import EvaluationInput

HALF, CHOSEN = "half", "chosen"
"""The two sets of thresholds: 0.5 for every label, and those that were chosen."""


@dataclass(slots=True)
class ModelLabels:
    """The numbers of the labels of one model; a text in place of a number is the reason why there is none.

    thresholds: by label; auc: by domain and label; f1: by domain and set of thresholds (HALF, CHOSEN), on events that
    did not choose.
    """

    thresholds: dict[str, ChosenThreshold] = field(default_factory=dict)
    auc: dict[str, dict[str, Interval | str]] = field(default_factory=dict)
    f1: dict[str, dict[str, MacroScore]] = field(default_factory=dict)


def model_labels(evaluated: EvaluationInput, model: str) -> ModelLabels:
    """Return the numbers of the labels of a model, in every domain where all of them are known for some events.

    A label may be known in data too; no number is taken from data that are blinded.
    """
    spec, table = evaluated.spec, evaluated.table
    about, resampling = spec.models[model], Resampling(spec.replicas, spec.seed)
    names = about.event_labels
    scores = {name: np.asarray(evaluated.columns[about.column_of(f"p_{name}")], np.float64) for name in names}
    truth = {name: truth_of(table, spec.classes, name) for name in names}
    weight, result = np.asarray(table.weight, np.float64), ModelLabels()
    nominal = table.of_domain(spec.domains.nominal)
    for name in names:
        rows = nominal & table.validation & (truth[name] >= 0)
        try:
            events = labelled_scores(scores[name][rows], truth[name][rows] == 1, weight[rows])
            result.thresholds[name] = choose(F1(), events, resampling)
        except DataError as reason:
            result.thresholds[name] = ChosenThreshold(None, None, 0.0, str(reason))
    chosen = {name: c.threshold.value for name, c in result.thresholds.items() if c.threshold is not None}
    sets = {HALF: dict.fromkeys(names, 0.5)} | ({CHOSEN: chosen} if len(chosen) == len(names) else {})
    hidden = blinded_domains(spec.domains, table)
    for domain in (name for name in table.domain_names if name not in hidden):
        of_domain = table.of_domain(domain)
        if not all(np.any(of_domain & (truth[name] == 1)) for name in names):
            continue
        result.auc[domain] = {
            name: score_against_class(
                scores[name][of_domain], truth[name][of_domain] == 1, truth[name][of_domain] == 0, weight[of_domain],
                resampling,
            )
            for name in names
        }  # fmt: skip
        rows = of_domain & ~table.validation
        predicted = {which: {name: scores[name][rows] >= at[name] for name in names} for which, at in sets.items()}
        answers = {name: answer[rows] for name, answer in truth.items()}
        result.f1[domain] = macro_f1(predicted, answers, weight[rows], resampling)
    return result


def labels_of(labels: ModelLabels) -> dict[str, Any]:
    """Return models.<model>.labels of metrics.json."""
    return {
        "thresholds": {
            name: entry_or_why(chosen.threshold if chosen.threshold is not None else str(chosen.why))
            for name, chosen in labels.thresholds.items()
        },
        "chosen_on": "validation events",
        "domains": {
            domain: {
                "auc": {name: entry_or_why(value) for name, value in by_label.items()},
                "f1": {name: _macro(score) for name, score in labels.f1.get(domain, {}).items()},
            }
            for domain, by_label in labels.auc.items()
        },
    }


def _macro(score: MacroScore) -> dict[str, Any]:
    by_label: Mapping[str, Interval | str] = score.labels
    difference = {} if score.difference is None else {"difference": entry_or_why(score.difference)}
    return {
        "macro": entry_or_why(score.macro),
        "labels": {name: entry_or_why(value) for name, value in by_label.items()},
        **difference,
    }
