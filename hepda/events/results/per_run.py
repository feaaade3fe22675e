"""Parts of metrics.json about the run: diagnostics, and training bias separated from evaluation shift."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hepda.evaluation.differences.flatness import CVM_LIMIT
from hepda.events.domains.roles import UNLABELLED
from hepda.events.domains.spec import EvaluationSpec
from hepda.events.results.evaluate import Numbers
from hepda.events.results.to_json import probes_of
from hepda.events.specs import ModelSpec
from hepda.number_format import p_text
from hepda.results.evaluation import FeatureImportance, InputRemoval

STRONG_SHIFT = 1.5  # ratio of the odds of signal from which a domain loss on both classes learns the mixture
ALIGNED = -0.5  # cosine of the gradients of class loss and adversary below which there is a warning that they oppose
ALIGNED_SHARE = 0.5  # largest loss of separation of classes without a warning, relative to the loss of the domains
SEEN = 0.3  # signal efficiency of the background efficiencies of a training bias
Columns = Mapping[str, Sequence[float | None]]


def run_metrics(spec: EvaluationSpec, numbers: Numbers, histories: Mapping[str, Sequence[Columns]]) -> dict[str, Any]:
    """Return the keys `guards` and, if models are trained on several domains, `training_bias` of metrics.json."""
    priors = _priors(numbers)
    cosines = {model: gradient_summary(columns) for model, columns in histories.items()}
    gradients = {model: cosine for model, cosine in cosines.items() if cosine is not None}
    diagnostics: dict[str, Any] = {"class_priors": priors}
    if numbers.inputs:
        diagnostics["inputs"] = {
            f"{numbers.source}:{other}": {name: probes_of(results) for name, results in by_class.items()}
            for other, by_class in numbers.inputs.items()
        }
    if numbers.separations:
        diagnostics["separation"] = {
            entry.name: {"value": entry.separation, "error": entry.error, "auc": entry.auc}
            for entry in numbers.separations
        }
    if numbers.importance:
        diagnostics["importance"] = {
            f"{numbers.source}:{other}": _importance(result) for other, result in numbers.importance.items()
        }
    if numbers.removal:
        diagnostics["removal"] = {
            f"{numbers.source}:{other}": removal_of(result) for other, result in numbers.removal.items()
        }
    if gradients:
        diagnostics["gradient_cosine"] = gradients
    diagnostics["warnings"] = [
        *_prior_warnings(spec, numbers, priors),
        *_gradient_warnings(gradients),
        *_removal_warnings(numbers),
        *_bin_warnings(numbers),
        *_flatness_warnings(numbers),
        *_overtraining_warnings(numbers),
    ]
    metrics = {"guards": diagnostics}
    bias = training_bias(spec, numbers)
    return metrics if bias is None else metrics | {"training_bias": bias}


def _importance(result: FeatureImportance | str) -> dict[str, Any]:
    """Return by how much a fresh probe's AUC falls if an input is shuffled, the largest fall first."""
    if isinstance(result, str):
        return {"value": None, "why": result}
    drops = zip(result.names, result.drop.tolist(), result.error.tolist(), strict=True)
    return {name: {"value": drop, "error": error} for name, drop, error in drops}


def removal_of(result: InputRemoval | str) -> dict[str, Any]:
    """Return guards.removal.<source>:<other>.

    It has the AUC of the domains and of the classes, by the number of inputs that are removed.
    """
    if isinstance(result, str):
        return {"inputs": [], "without": None, "why": result}
    steps = zip(result.counts, result.domains, result.classes, strict=True)
    return {
        "inputs": list(result.names),
        "without": {str(n): {"domains": d.entry, "classes": c.entry} for n, d, c in steps},
    }


def _priors(numbers: Numbers) -> dict[str, Any]:
    """Return the share of signal in the yield of each domain, and the ratio of its odds to those of the source."""
    priors: dict[str, Any] = {}
    nominal = numbers.priors[numbers.source][0] if numbers.source in numbers.priors else 0.0
    for domain, (value, error) in numbers.priors.items():
        possible = 0 < value < 1 and 0 < nominal < 1
        ratio = (value / (1 - value)) / (nominal / (1 - nominal)) if possible else None
        priors[domain] = {"value": value, "error": error, "odds_ratio": ratio}
        if not possible:
            priors[domain]["why"] = "a share outside of 0 to 1 has no odds"
    nothing = {"value": None, "odds_ratio": None}
    reasons = dict.fromkeys(numbers.unlabelled, UNLABELLED)
    reasons |= {domain: f"it has no {class_name} events" for domain, class_name in numbers.missing_class.items()}
    reasons = reasons if priors else {}  # an analysis without a signal has no share of it
    return priors | {domain: nothing | {"why": why} for domain, why in reasons.items()}


def _prior_warnings(spec: EvaluationSpec, numbers: Numbers, priors: Mapping[str, Any]) -> list[str]:
    lines = []
    for domain, prior in priors.items():
        ratio = prior["odds_ratio"]
        if ratio is None or abs(math.log(ratio)) < math.log(STRONG_SHIFT):
            continue
        mixed = [
            name
            for name, model in spec.models.items()
            if model.domain_loss is not None and model.domain_loss.rows == "all" and domain in model.adapted_to
        ]
        subject = (
            f"{', '.join(mixed)} uses both classes and removes"
            if mixed
            else "No model here uses both classes; such a model would remove"
        )
        lines.append(
            f"Label shift: signal is {100 * prior['value']:.3g} % of the yield in {domain} and "
            f"{100 * priors[numbers.source]['value']:.3g} % in {numbers.source}. {subject} the difference in "
            "composition instead of that of the generators."
        )
    return lines


def gradient_summary(trainings: Sequence[Columns]) -> dict[str, float] | None:
    """Return the cosine between the gradients that class loss and adversary send into the encoder.

    Args:
        trainings: for each training (fold, member) the columns of its history.

    Returns:
        Means over the trainings of the measured epochs in the "first" and in the "last" third of a training; None
        without an adversary.

    """
    thirds: dict[str, list[float]] = {"first": [], "last": []}
    for columns in trainings:
        cosines = [x for x in columns.get("gradient_cosine", ()) if x is not None and math.isfinite(x)]
        if cosines:
            share = max(1, len(cosines) // 3)
            thirds["first"].append(sum(cosines[:share]) / share)
            thirds["last"].append(sum(cosines[-share:]) / share)
    return {name: sum(values) / len(values) for name, values in thirds.items()} if thirds["first"] else None


def _gradient_warnings(gradients: Mapping[str, Mapping[str, float]]) -> list[str]:
    return [
        f"{model}: from its first epochs on, the gradient of the domain loss opposes that of the class loss (cosine "
        f"{cosine['first']:.2f}): the same information separates domains and classes, so separation will be lost."
        for model, cosine in gradients.items()
        if cosine["first"] < ALIGNED
    ]


def _removal_warnings(numbers: Numbers) -> list[str]:
    """Return warnings that the same inputs separate domains and classes.

    There is a warning if the removal of inputs costs the classes more than half of the share of separation that it
    costs the domains.
    """
    lines = []
    for other, result in numbers.removal.items():
        if isinstance(result, str):
            continue
        both = (result.domains, result.classes)
        if not all(of[0].low > max(of[-1].high, 0.5) for of in both):
            continue  # one of the two AUCs did not fall by more than its errors
        domains, classes = ((of[0].value - of[-1].value) / (of[0].value - 0.5) for of in both)
        if classes > ALIGNED_SHARE * domains:
            lines.append(
                f"{numbers.source} against {other}: without the {result.counts[-1]} inputs that differ most between "
                "the domains, the AUC of a fresh domain classifier decreases from "
                f"{result.domains[0].value:.3f} to "
                f"{result.domains[-1].value:.3f}, and that of the classes from {result.classes[0].value:.3f} to "
                f"{result.classes[-1].value:.3f}: the same inputs carry both kinds of information, and adaptation "
                "will reduce the separation."
            )
    return lines


def _bin_warnings(numbers: Numbers) -> list[str]:
    lines = []
    for model, of_model in numbers.models.items():
        for domain, by_class in of_model.bins.items():
            for name, bins in by_class.items():
                parts = [f"{n} {word}" for word, n in (("empty", bins.empty), ("negative", bins.negative)) if n]
                if parts:
                    lines.append(
                        f"{model}: of {bins.bins} bins of the score, the {name} of {domain} has {' and '.join(parts)}."
                    )
    return lines


def _flatness_warnings(numbers: Numbers) -> list[str]:
    """Return warnings if a score depends more on a protected variable than that of the baseline model.

    Only dependences above the limit CVM_LIMIT are considered, and only increases by more than 10 %.
    """
    lines = []
    if not numbers.models:
        return []
    of_baseline = numbers.models[numbers.baseline].flatness
    for model, of_model in numbers.models.items():
        for variable, by_class in of_model.flatness.items():
            for name, flatness in by_class.items():
                before = of_baseline[variable][name]
                if isinstance(flatness, str) or isinstance(before, str) or model == numbers.baseline:
                    continue
                if flatness.cvm > CVM_LIMIT and flatness.cvm > 1.1 * before.cvm:
                    lines.append(
                        f"{model}: the score of {name} depends more on {variable} (CvM {flatness.cvm:.4f}) than "
                        f"that of {numbers.baseline} ({before.cvm:.4f}); the limit is {CVM_LIMIT}."
                    )
    return lines


def _overtraining_warnings(numbers: Numbers) -> list[str]:
    return [
        f"{model}: the score of {name} differs in shape between training and test events: overtraining (KS "
        f"{test.ks:.3f}, "
        f"p {p_text(test.p_value, test.p_is_limit, 3)})."
        for model, of_model in numbers.models.items()
        if not isinstance(of_model.overtraining, str)
        for name, test in of_model.overtraining.items()
        if test.p_value < 0.01
    ]


def training_bias(spec: EvaluationSpec, numbers: Numbers) -> dict[str, Any] | None:
    """Return how models of the baseline's kind perform on every domain, by the domains of their training.

    From domain to domain along a row the events change (evaluation shift); down a column the training changes (training
    bias). The numbers are the AUC, its difference to that of the baseline model, and the background efficiency at 30 %
    signal efficiency.

    Args:
        spec: the settings of the evaluation.
        numbers: the numbers of the run.

    Returns:
        training_bias of metrics.json; None if all these models are trained on the same domains.

    """
    kind = spec.models[spec.baseline].section.kind
    chosen = [m for m in numbers.models if m in spec.models and _is_like_baseline(spec.models[m], kind)]
    if len({spec.models[model].trained_on for model in chosen}) < 2:
        return None
    entries: dict[str, Any] = {}
    for model in chosen:
        entry: dict[str, Any] = {"trained_on": " + ".join(spec.models[model].trained_on), "tested_on": {}}
        for domain, curves in numbers.rocs.items():
            roc, band = curves[model]
            at = int(abs(band.signal_efficiency - SEEN).argmin())
            efficiency, low, high = (float(x[at]) for x in (band.background_efficiency, band.low, band.high))
            entry["tested_on"][domain] = {
                "auc": roc.auc.entry,
                "auc_difference": {"value": 0.0} if roc.difference is None else roc.difference.entry,
                "background_efficiency": {"value": efficiency, "low": low, "high": high},
            }
        entries[model] = entry
    return {"signal_efficiency": SEEN, "models": entries}


def _is_like_baseline(model: ModelSpec, kind: str) -> bool:
    """Return whether a model is of the kind of the baseline and has no adaptation and no parameter."""
    return model.section.kind == kind and not model.is_adapted and model.parameter is None
