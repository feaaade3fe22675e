"""What metrics.json says of a run as a whole: guards against being deceived, and training bias apart from shift."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hepda.config import AnalysisConfig, NetworkConfig
from hepda.evaluation.differences.flatness import CVM_LIMIT
from hepda.evaluation.results import FeatureImportance, InputRemoval
from hepda.events.results.domains import UNLABELLED, adapted_to, plain_model, trained_on
from hepda.events.results.evaluate import Numbers
from hepda.events.results.to_json import interval, probes_of

STRONG_SHIFT = 1.5  # of the odds of signal between domains: a domain loss on both classes learns the mixture then
ALIGNED = -0.5  # cosine of what class loss and adversary send into the encoder, below which they are said to oppose
ALIGNED_SHARE = 0.5  # of the share of separation that domains lose with their inputs; what classes may lose unsaid
SEEN = 0.3  # signal efficiency at which the background efficiencies of a training bias are told
Columns = Mapping[str, Sequence[float | None]]


def run_metrics(config: AnalysisConfig, numbers: Numbers, histories: Mapping[str, Sequence[Columns]]) -> dict[str, Any]:
    """The keys `guards` and, where models are trained on several domains, `training_bias` of metrics.json."""
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
    """By how much a fresh probe's AUC falls if an input is shuffled, the largest first."""
    if isinstance(found, str):
        return {"value": None, "why": found}
    drops = zip(found.names, found.drop.tolist(), found.error.tolist(), strict=True)
    return {name: {"value": drop, "error": error} for name, drop, error in drops}


def removal_of(found: InputRemoval | str) -> dict[str, Any]:
    """guards.removal.<source>:<other>: by number of inputs that are out, the AUC of the domains and of the classes."""
    if isinstance(found, str):
        return {"inputs": [], "without": None, "why": found}
    steps = zip(found.counts, found.domains, found.classes, strict=True)
    return {
        "inputs": list(found.names),
        "without": {str(n): {"domains": interval(d), "classes": interval(c)} for n, d, c in steps},
    }


def _priors(numbers: Numbers) -> dict[str, Any]:
    """Share of signal in the yield of each domain, and its odds over the source's."""
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
    """Cosine between what class loss and adversary send into the encoder, in the first and last third of a training.

    Means over trainings (folds, members) of the measured epochs; None without an adversary.
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
    """Where taking out inputs costs the classes at least half the share of separation that it costs the domains."""
    said = []
    for other, found in numbers.removal.items():
        if isinstance(found, str):
            continue
        both = (found.domains, found.classes)
        if not all(of[0].low > max(of[-1].high, 0.5) for of in both):
            continue  # one of them did not fall by more than its errors
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
    """Adaptation must not shape what is protected more than the plain model does."""
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
        f"p = {test.p_value:.3g})."
        for model, own in numbers.models.items()
        if not isinstance(own.overtraining, str)
        for name, test in own.overtraining.items()
        if test.p_value < 0.01
    ]


def training_bias(config: AnalysisConfig, numbers: Numbers) -> dict[str, Any] | None:
    """Models of the plain kind, by the domains that they were trained on, tested on every domain; None if all are one.

    Along a row, from domain to domain, the events change (evaluation shift); down a column the training does
    (training bias): AUC, its difference to the plain model's, and background efficiency at 30 % signal efficiency.
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
    """Of the same kind as the plain model, and with nothing that adapts it."""
    section: Any = config.models[model]
    told = getattr(section, "parameter", None)
    return section.kind == config.models[plain].kind and adapted_to(config, model) is None and told is None
