"""Parts of metrics.json about the run as a whole: diagnostics, and training bias separated from evaluation shift."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hepda.config import AnalysisConfig, NetworkConfig
from hepda.evaluation.differences.flatness import CVM_LIMIT
from hepda.events.domains.roles import UNLABELLED, adapted_to, plain_model, trained_on
from hepda.events.results.evaluate import Numbers
from hepda.events.results.to_json import interval, probes_of
from hepda.number_format import p_text
from hepda.results.evaluation import FeatureImportance, InputRemoval

STRONG_SHIFT = 1.5  # ratio of the odds of signal from which a domain loss on both classes learns the mixture
ALIGNED = -0.5  # cosine of the gradients of class loss and adversary below which a warning says that they oppose
ALIGNED_SHARE = 0.5  # largest loss of separation of classes without a warning, relative to the loss of the domains
SEEN = 0.3  # signal efficiency of the background efficiencies of a training bias
Columns = Mapping[str, Sequence[float | None]]


def run_metrics(config: AnalysisConfig, numbers: Numbers, histories: Mapping[str, Sequence[Columns]]) -> dict[str, Any]:
    """Return the keys `guards` and, if models are trained on several domains, `training_bias` of metrics.json."""
    priors = _priors(numbers)
    cosines = {model: gradient_summary(columns) for model, columns in histories.items()}
    gradients = {model: cosine for model, cosine in cosines.items() if cosine is not None}
    guards: dict[str, Any] = {"class_priors": priors}
    if numbers.inputs:
        guards["inputs"] = {
            f"{numbers.source}:{other}": {name: probes_of(found) for name, found in by_class.items()}
            for other, by_class in numbers.inputs.items()
        }
    if numbers.importance:
        guards["importance"] = {
            f"{numbers.source}:{other}": _importance(found) for other, found in numbers.importance.items()
        }
    if numbers.removal:
        guards["removal"] = {f"{numbers.source}:{other}": removal_of(found) for other, found in numbers.removal.items()}
    if gradients:
        guards["gradient_cosine"] = gradients
    guards["warnings"] = [
        *_prior_warnings(config, numbers, priors),
        *_gradient_warnings(gradients),
        *_removal_warnings(numbers),
        *_bin_warnings(numbers),
        *_flatness_warnings(numbers),
        *_overtraining_warnings(numbers),
    ]
    found = {"guards": guards}
    bias = training_bias(config, numbers)
    return found if bias is None else found | {"training_bias": bias}


def _importance(found: FeatureImportance | str) -> dict[str, Any]:
    """Return by how much a fresh probe's AUC falls if an input is shuffled, the largest fall first."""
    if isinstance(found, str):
        return {"value": None, "why": found}
    drops = zip(found.names, found.drop.tolist(), found.error.tolist(), strict=True)
    return {name: {"value": drop, "error": error} for name, drop, error in drops}


def removal_of(found: InputRemoval | str) -> dict[str, Any]:
    """Return guards.removal.<source>:<other>.

    It has the AUC of the domains and of the classes, by the number of inputs that are removed.
    """
    if isinstance(found, str):
        return {"inputs": [], "without": None, "why": found}
    steps = zip(found.counts, found.domains, found.classes, strict=True)
    return {
        "inputs": list(found.names),
        "without": {str(n): {"domains": interval(d), "classes": interval(c)} for n, d, c in steps},
    }


def _priors(numbers: Numbers) -> dict[str, Any]:
    """Return the share of signal in the yield of each domain, and the ratio of its odds to those of the source."""
    own = numbers.priors[numbers.source][0]
    found: dict[str, Any] = {}
    for domain, (value, error) in numbers.priors.items():
        possible = 0 < value < 1 and 0 < own < 1
        ratio = (value / (1 - value)) / (own / (1 - own)) if possible else None
        found[domain] = {"value": value, "error": error, "odds_ratio": ratio}
        if not possible:
            found[domain]["why"] = "a share outside of 0 to 1 has no odds"
    nothing = {"value": None, "odds_ratio": None}
    found |= {domain: nothing | {"why": UNLABELLED} for domain in numbers.unlabelled}
    return found | {domain: nothing | {"why": f"it has no {lost} events"} for domain, lost in numbers.lacking.items()}


def _prior_warnings(config: AnalysisConfig, numbers: Numbers, priors: Mapping[str, Any]) -> list[str]:
    said = []
    for domain, prior in priors.items():
        ratio = prior["odds_ratio"]
        if ratio is None or abs(math.log(ratio)) < math.log(STRONG_SHIFT):
            continue
        mixed = [
            model
            for model, section in config.models.items()
            if isinstance(section, NetworkConfig) and section.domain is not None and section.domain.rows == "all"
            and adapted_to(config, model) == domain
        ]  # fmt: skip
        who = (
            f"{', '.join(mixed)} sees both classes and learns"
            if mixed
            else "No model here sees both classes; it would learn"
        )
        said.append(
            f"Label shift: signal is {100 * prior['value']:.3g} % of the yield in {domain} and "
            f"{100 * priors[numbers.source]['value']:.3g} % in {numbers.source}. {who} the mixture away, not the "
            "generator."
        )
    return said


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
        known = [x for x in columns.get("gradient_cosine", ()) if x is not None and math.isfinite(x)]
        if known:
            share = max(1, len(known) // 3)
            thirds["first"].append(sum(known[:share]) / share)
            thirds["last"].append(sum(known[-share:]) / share)
    return {name: sum(values) / len(values) for name, values in thirds.items()} if thirds["first"] else None


def _gradient_warnings(gradients: Mapping[str, Mapping[str, float]]) -> list[str]:
    return [
        f"{model}: from its first epochs on, the gradient of the domain loss opposes that of the class loss (cosine "
        f"{found['first']:.2f}): what tells the domains apart is what tells the classes apart, and separation will be "
        "lost."
        for model, found in gradients.items()
        if found["first"] < ALIGNED
    ]


def _removal_warnings(numbers: Numbers) -> list[str]:
    """Return warnings that the same inputs separate domains and classes.

    There is a warning if the removal of inputs costs the classes more than half of the share of separation that it
    costs the domains.
    """
    said = []
    for other, found in numbers.removal.items():
        if isinstance(found, str):
            continue
        both = (found.domains, found.classes)
        if not all(of[0].low > max(of[-1].high, 0.5) for of in both):
            continue  # one of the two AUCs did not fall by more than its errors
        domains, classes = ((of[0].value - of[-1].value) / (of[0].value - 0.5) for of in both)
        if classes > ALIGNED_SHARE * domains:
            said.append(
                f"{numbers.source} against {other}: without the {found.counts[-1]} inputs that tell the domains apart "
                f"most, a fresh classifier's AUC of the domains falls from {found.domains[0].value:.3f} to "
                f"{found.domains[-1].value:.3f}, and that of the classes from {found.classes[0].value:.3f} to "
                f"{found.classes[-1].value:.3f}: the same inputs carry both, and adaptation will cost separation."
            )
    return said


def _bin_warnings(numbers: Numbers) -> list[str]:
    said = []
    for model, own in numbers.models.items():
        for domain, by_class in own.bins.items():
            for name, found in by_class.items():
                parts = [f"{n} {word}" for word, n in (("empty", found.empty), ("negative", found.negative)) if n]
                if parts:
                    said.append(
                        f"{model}: of {found.bins} bins of the score, the {name} of {domain} has {' and '.join(parts)}."
                    )
    return said


def _flatness_warnings(numbers: Numbers) -> list[str]:
    """Return warnings if a score depends more on a protected variable than that of the baseline model.

    Only dependences above the limit CVM_LIMIT are considered, and only increases by more than 10 %.
    """
    said = []
    plain = numbers.models[numbers.plain].flatness
    for model, own in numbers.models.items():
        for variable, by_class in own.flatness.items():
            for name, found in by_class.items():
                before = plain[variable][name]
                if isinstance(found, str) or isinstance(before, str) or model == numbers.plain:
                    continue
                if found.cvm > CVM_LIMIT and found.cvm > 1.1 * before.cvm:
                    said.append(
                        f"{model}: the score of {name} depends more on {variable} (CvM {found.cvm:.4f}) than that of "
                        f"{numbers.plain} ({before.cvm:.4f}); the limit is {CVM_LIMIT}."
                    )
    return said


def _overtraining_warnings(numbers: Numbers) -> list[str]:
    return [
        f"{model}: the score of {name} has another shape on events that were trained on (KS {test.ks:.3f}, "
        f"p {p_text(test.p_value, test.p_is_limit, 3)})."
        for model, own in numbers.models.items()
        if not isinstance(own.overtraining, str)
        for name, test in own.overtraining.items()
        if test.p_value < 0.01
    ]


def training_bias(config: AnalysisConfig, numbers: Numbers) -> dict[str, Any] | None:
    """Return how models of the baseline's kind perform on every domain, by the domains of their training.

    From domain to domain along a row the events change (evaluation shift); down a column the training changes (training
    bias). The numbers are the AUC, its difference to that of the baseline model, and the background efficiency at 30 %
    signal efficiency.

    Args:
        config: the analysis.
        numbers: the numbers of the run.

    Returns:
        training_bias of metrics.json; None if all these models are trained on the same domains.

    """
    plain = plain_model(config)
    chosen = [m for m in numbers.models if m in config.models and _is_plain(config, m, plain)]
    if len({trained_on(config, model) for model in chosen}) < 2:
        return None
    found: dict[str, Any] = {}
    for model in chosen:
        entry: dict[str, Any] = {"trained_on": " + ".join(trained_on(config, model)), "tested_on": {}}
        for domain, curves in numbers.rocs.items():
            roc, band = curves[model]
            at = int(abs(band.signal_efficiency - SEEN).argmin())
            efficiency, low, high = (float(x[at]) for x in (band.background_efficiency, band.low, band.high))
            entry["tested_on"][domain] = {
                "auc": interval(roc.auc),
                "auc_difference": {"value": 0.0} if roc.difference is None else interval(roc.difference),
                "background_efficiency": {"value": efficiency, "low": low, "high": high},
            }
        found[model] = entry
    return {"signal_efficiency": SEEN, "models": found}


def _is_plain(config: AnalysisConfig, model: str, plain: str) -> bool:
    """Return whether a model is of the same kind as the baseline model and has no adaptation and no parameter."""
    section: Any = config.models[model]
    told = getattr(section, "parameter", None)
    return section.kind == config.models[plain].kind and adapted_to(config, model) is None and told is None
