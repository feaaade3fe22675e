"""Numbers -> metrics.json, as the design promises it: null with a `why` where there is no number."""

from __future__ import annotations

from typing import Any

from hepda.config import AnalysisConfig
from hepda.evaluation.results import BiasResult, ClosureFit, Interval
from hepda.events.numbers import ModelNumbers, Numbers, shift_points

UNLABELLED = "the classes of its events are unknown"


def auc_of(numbers: Numbers, model: str) -> dict[str, Any]:
    """models.<model>.auc: a value with its interval for each domain."""
    known = {domain: interval(numbers.auc(model, domain)) for domain in numbers.rocs}
    reasons = dict.fromkeys(numbers.unlabelled, UNLABELLED)
    reasons |= {domain: f"it has no {missing} events" for domain, missing in numbers.lacking.items()}
    nothing = {"value": None, "low": None, "high": None}
    return known | {domain: nothing | {"why": why} for domain, why in reasons.items()}


def interval(found: Interval) -> dict[str, float]:
    """An interval as {value, low, high}."""
    return {"value": found.value, "low": found.low, "high": found.high}


def bias_of(found: BiasResult) -> dict[str, Any]:
    """models.<model>.bias.<source>:<other>."""
    shifts = found.efficiency_shift
    entry: dict[str, Any] = {
        "class": found.class_name,
        "ks": found.ks,
        "ks_null": None if found.null is None else found.null.quantile,
        "wasserstein": found.wasserstein,
        "chi2_ndf": found.chi2_ndf,
        "jensen_shannon": found.jensen_shannon,
        "energy": found.energy,
        "p_value": found.p_value,
        "efficiency_shift": {f"{s.signal_efficiency:g}": s.shift for s in shifts},
        "efficiency_shift_error": {f"{s.signal_efficiency:g}": s.error for s in shifts},
        "n_eff": {"source": found.n_eff_source, "other": found.n_eff_other},
    }
    reasons = [s.why for s in shifts if s.why] + ([found.why] if found.why else [])
    return entry | ({"why": "; ".join(dict.fromkeys(reasons))} if reasons else {})


def untold_bias(config: AnalysisConfig, why: str) -> dict[str, Any]:
    """As `bias_of`, of a domain that was not compared."""
    names = ("class", "ks", "ks_null", "wasserstein", "chi2_ndf", "jensen_shannon", "energy", "p_value")
    points = dict.fromkeys((f"{point:g}" for point in shift_points(config)), None)
    shifts = {"efficiency_shift": points, "efficiency_shift_error": dict(points)}
    return dict.fromkeys(names, None) | shifts | {"why": why}


def untold_closure(why: str) -> dict[str, Any]:
    """As `closure_of`, of a domain that was not fitted."""
    names = ("mu", "error", "pull", "truth", "sample_error", "background_scale")
    return dict.fromkeys(names, None) | {"why": why}


def closure_of(found: ClosureFit) -> dict[str, Any]:
    """models.<model>.closure.<domain>."""
    entry: dict[str, Any] = {"mu": found.mu, "error": found.error, "pull": found.pull, "truth": found.truth,
             "sample_error": found.sample_error, "background_scale": found.background_scale}  # fmt: skip
    if found.sample_error is None:
        entry["sample_error_why"] = "the data are not simulated: their fluctuations are in the error"
    return entry | ({"why": found.why} if found.why else {})


def significance_of(found: ModelNumbers) -> dict[str, Any]:
    """models.<model>.significance."""
    if found.scan is None or found.binned is None:
        raise ValueError("the significance has not been computed")
    scan, binned = found.scan, found.binned
    reasons = [s.why for s in (scan.best, scan.best_with_uncertainty, scan.best_with_bias) if s and s.why]
    biased = scan.best_with_bias
    if biased is None:
        reasons.append("asimov_with_bias: there is no second domain with a background")
    entry = {
        "asimov": scan.best.value,
        "asimov_with_uncertainty": scan.best_with_uncertainty.value,
        "asimov_with_bias": None if biased is None else biased.value,
        "binned": binned.value,
    }
    reasons += [binned.why] if binned.why else []
    return entry | ({"why": "; ".join(dict.fromkeys(reasons))} if reasons else {})


def domain_auc_of(config: AnalysisConfig, numbers: Numbers, model: str, other: str) -> dict[str, Any]:
    """models.<model>.domain_auc.<source>:<other>: fresh probes on score, embedding and inputs."""
    if not config.evaluation.probes:
        return {"score": None, "embedding": None, "inputs": None, "why": "`evaluation.probes` is off"}
    if other in numbers.untold:
        return {"score": None, "embedding": None, "inputs": None, "why": numbers.untold[other]}
    found = numbers.models[model].probes[other]
    entry: dict[str, Any] = {name: interval(result.auc) for name, result in found.items()}
    entry["inputs"] = interval(numbers.inputs[other].auc)
    if "embedding" not in entry:
        entry |= {"embedding": None, "embedding_why": "trees have no embedding"}
    return entry


def model_metrics(config: AnalysisConfig, numbers: Numbers, model: str, training: dict[str, Any]) -> dict[str, Any]:
    """models.<model> of metrics.json."""
    own = numbers.models[model]
    pairs = {other: f"{numbers.source}:{other}" for other in (*own.bias, *numbers.untold)}
    bias = {other: bias_of(found) for other, found in own.bias.items()}
    bias |= {other: untold_bias(config, why) for other, why in numbers.untold.items()}
    closure = {other: closure_of(found) for other, found in own.closure.items()}
    return {
        "auc": auc_of(numbers, model),
        "bias": {pairs[other]: entry for other, entry in bias.items()},
        "domain_auc": {pair: domain_auc_of(config, numbers, model, other) for other, pair in pairs.items()},
        "significance": significance_of(own),
        "closure": closure | {other: untold_closure(why) for other, why in numbers.untold.items()},
        "training": training,
    }
