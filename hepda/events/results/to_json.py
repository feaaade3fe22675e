"""Conversion of the numbers to metrics.json: a number that does not exist is null with a `why`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hepda.evaluation.differences.ratios import judge, verdict
from hepda.events.domains.roles import UNLABELLED
from hepda.events.domains.spec import EvaluationSpec
from hepda.events.results.class_numbers import classes_of
from hepda.events.results.decomposition import decomposition_of
from hepda.events.results.embeddings.few_labels import few_labels_of
from hepda.events.results.evaluate import Numbers
from hepda.events.results.labels import labels_of
from hepda.events.results.per_model import ModelNumbers
from hepda.events.results.regression.entries import entry_of
from hepda.events.results.thresholds import thresholds_of
from hepda.events.results.training_noise import TrainingNoise, TrainingSpread
from hepda.events.training.model_description import setup_of
from hepda.results.evaluation import (
    BiasResult,
    FeatureImportance,
    ProbeResult,
    ShiftRatio,
    Significance,
    WorkingPoint,
)
from hepda.results.events import EventModel
from hepda.runtime.run_directory import plain

REWEIGHTINGS = ("reweight", "domain_reweight")
REPRESENTATIONS = ("score", "embedding", "inputs")


def with_why(entry: dict[str, Any], reasons: Iterable[str | None]) -> dict[str, Any]:
    """Return the entry with the reasons, each once, if there are any."""
    unique = list(dict.fromkeys(reason for reason in reasons if reason))
    return entry | ({"why": "; ".join(unique)} if unique else {})


def auc_of(numbers: Numbers, model: str) -> dict[str, Any]:
    """Return models.<model>.auc: a value with its interval for each domain."""
    intervals = {domain: numbers.auc(model, domain).entry for domain in numbers.rocs}
    reasons = dict.fromkeys(numbers.unlabelled, UNLABELLED)
    reasons |= {domain: f"it has no {missing} events" for domain, missing in numbers.missing_class.items()}
    nothing = {"value": None, "low": None, "high": None}
    return intervals | {domain: nothing | {"why": why} for domain, why in reasons.items()}


def auc_difference_of(numbers: Numbers, model: str) -> dict[str, Any]:
    """Return models.<model>.auc_difference: AUC minus that of the baseline on the same events, by domain."""
    differences = {domain: curves[model][0].difference for domain, curves in numbers.rocs.items()}
    return {domain: difference.entry for domain, difference in differences.items() if difference is not None}


def limit_of_p(is_limit: bool) -> dict[str, bool]:
    """Return the key which marks a p-value as an upper limit, if it is one.

    A p-value by permutation is an upper limit if no permutation reaches the tested value.
    """
    return {"p_value_is_upper_limit": True} if is_limit else {}


def bias_of(bias: BiasResult) -> dict[str, Any]:
    """Return models.<model>.bias.<source>:<other>."""
    shifts = bias.efficiency_shift
    entry: dict[str, Any] = {
        "class": bias.class_name,
        "ks": bias.ks,
        "ks_error": bias.ks_error,
        "ks_null": None if bias.null is None else bias.null.quantile,
        "wasserstein": bias.wasserstein,
        "chi2_ndf": bias.chi2_ndf,
        "jensen_shannon": bias.jensen_shannon,
        "energy": bias.energy,
        "p_value": bias.p_value,
        "efficiency_shift": {f"{s.signal_efficiency:g}": s.shift for s in shifts},
        "efficiency_shift_error": {f"{s.signal_efficiency:g}": s.error for s in shifts},
        "n_eff": {"source": bias.n_eff_source, "other": bias.n_eff_other},
    }
    nulls = {f"{s.signal_efficiency:g}": {"low": s.null.low, "high": s.null.high} for s in shifts if s.null is not None}
    entry |= {"efficiency_shift_null": nulls} if nulls else {}
    limits = {f"{s.signal_efficiency:g}": s.upper for s in shifts if s.upper is not None}
    entry |= limit_of_p(bias.p_is_limit)
    entry |= {"efficiency_shift_upper_limit": limits} if limits else {}
    return with_why(entry, [*(s.why for s in shifts), bias.why])


def tests_of(bias: BiasResult) -> dict[str, Any]:
    """Return models.<model>.tests.<source>:<other>.<class>: each statistic with its p-value and its null."""
    entries = {}
    for name, test in bias.tests.items():
        entry = {"value": test.value, "p_value": test.p_value, "null": test.null} | limit_of_p(test.p_is_limit)
        entries[name] = with_why(entry, [test.why, bias.why if test.null is None else None])
    return entries


def ratio_of(shift_ratio: ShiftRatio) -> dict[str, Any]:
    """Return models.<model>.shift_ratio.<source>:<other>.<efficiency>.

    It has the ratio R and the two shifts that R is formed of.
    """
    nothing = {"value": None, "low": None, "high": None}
    parts = {
        name: nothing if part is None else part.entry
        for name, part in (("plain", shift_ratio.baseline), ("adapted", shift_ratio.adapted))
    }
    ratio = nothing if shift_ratio.ratio is None else shift_ratio.ratio.entry
    return with_why(ratio | parts | {"resolved": shift_ratio.resolved}, [shift_ratio.why])


def verdict_of(spec: EvaluationSpec, numbers: Numbers, model: str) -> dict[str, Any] | None:
    """Return models.<model>.verdict: the conclusion from the shifts at each signal efficiency.

    The domain of the verdict is the one that the model was adapted to, or the first compared one. A model without
    adaptation gets no judgement: a shift that is smaller by chance, or because the model is a different one, is not a
    reduction by adaptation.

    Args:
        spec: the settings of the evaluation.
        numbers: the numbers of the run.
        model: name of the model.

    Returns:
        The verdict; None for a model that was trained on another domain.

    """
    ratios = numbers.models[model].ratios
    unseen = [name for name in spec.domains.held_out if name in ratios]
    of_training = [name for name in ratios if name not in unseen and name not in numbers.unlabelled]
    about = spec.models.get(model)
    target = None if about is None else next(iter(about.adapted_to), None)
    trained = target if target in ratios else next(iter(of_training), None)
    if trained is None or (about is not None and about.trained_on[:1] != (numbers.source,)):
        return None
    held_out = unseen[0] if unseen else None
    head = {"domain": trained, "third": held_out, "adapted": target is not None}
    if target is None:
        return head
    points = zip(ratios[trained], ratios[held_out] if held_out else [None] * len(ratios[trained]), strict=True)
    judgements = {
        f"{ratio.signal_efficiency:g}": {"judgement": judge(ratio, of_held_out), "text": verdict(ratio, of_held_out)}
        for ratio, of_held_out in points
    }
    return head | {"points": judgements}


def excluded_bias(spec: EvaluationSpec, why: str) -> dict[str, Any]:
    """Do the same as `bias_of` for a domain that was not compared."""
    names = ("class", "ks", "ks_error", "ks_null", "wasserstein", "chi2_ndf", "jensen_shannon", "energy", "p_value")
    points = dict.fromkeys((f"{point:g}" for point in spec.shift_points), None)
    shifts = {"efficiency_shift": points, "efficiency_shift_error": dict(points)}
    return dict.fromkeys(names, None) | shifts | {"why": why}


def significance_of(model: ModelNumbers) -> dict[str, Any]:
    """Return models.<model>.significance.

    The cut of each part of the events is chosen on the other parts.
    """
    if model.scan is None or model.binned is None:
        raise ValueError("the significance has not been computed")
    scan, binned = model.scan, model.binned
    reasons = [s.why for s in (scan.best, scan.best_with_uncertainty, scan.best_with_bias) if s]
    biased = scan.best_with_bias
    if biased is None:
        reasons.append("asimov_with_bias: there is no second domain with a background")
    entry: dict[str, Any] = {
        "asimov": scan.best.value,
        "asimov_with_uncertainty": scan.best_with_uncertainty.value,
        "asimov_with_bias": None if biased is None else biased.value,
        "binned": binned.value,
    }
    best = {"asimov": scan.best, "asimov_with_uncertainty": scan.best_with_uncertainty, "asimov_with_bias": biased}
    for name, significance in best.items():
        if significance is not None and significance.low is not None and significance.high is not None:
            entry[f"{name}_error"] = 0.5 * (significance.high - significance.low)
            entry[f"{name}_interval"] = {"low": significance.low, "high": significance.high}
        if significance is not None and significance.naive is not None:
            entry[f"{name}_naive"] = significance.naive
    bias_from = {} if model.bias_from is None else {"bias_from": model.bias_from}
    return with_why(entry | bias_from, [*reasons, binned.why])


def working_of(point: WorkingPoint, counting: Significance) -> dict[str, Any]:
    """Return models.<model>.working_points.<efficiency>.<domain>, at the cut that the source's signal fixes."""
    names = ("signal_efficiency", "background_efficiency", "rejection")
    entry = {key: getattr(point, key) for name in names for key in (name, f"{name}_error")}
    if point.background_limit is not None:
        entry["background_efficiency_upper_limit"] = point.background_limit
    return with_why(entry | {"significance": counting.value}, [point.why, counting.why])


def probes_of(probes: tuple[ProbeResult, ...] | str) -> dict[str, Any]:
    """Return models.<model>.probes.<source>:<other>.<class>.

    It has the AUC of one class by kind of probe and representation.
    """
    if isinstance(probes, str):
        return {"bdt": None, "mlp": None, "why": probes}
    entry: dict[str, Any] = {}
    for result in probes:
        entry.setdefault(result.kind, {})[result.representation] = result.auc.entry
    return entry


def domain_auc_of(spec: EvaluationSpec, numbers: Numbers, model: str, other: str) -> dict[str, Any]:
    """Return models.<model>.domain_auc.<source>:<other>.

    The values are those of the probes that are trees, for the compared class.
    """
    nothing = dict.fromkeys(REPRESENTATIONS)
    if not spec.settings.probes:
        return nothing | {"why": "`evaluation.probes` is off"}
    if other in numbers.excluded:
        return nothing | {"why": numbers.excluded[other]}
    class_name = numbers.models[model].bias[other].class_name
    entry: dict[str, Any] = {}
    reasons = []
    for probes in (numbers.models[model].probes[other][class_name], numbers.inputs[other][class_name]):
        if isinstance(probes, str):
            reasons.append(probes)
            continue
        entry |= {result.representation: result.auc.entry for result in probes if result.kind == "bdt"}
    if not reasons and "embedding" not in entry:
        entry |= {"embedding": None, "embedding_why": "trees have no embedding"}
    return with_why(nothing | entry, reasons)


def model_metrics(spec: EvaluationSpec, numbers: Numbers, model: str, training: dict[str, Any]) -> EventModel:
    """Return models.<model> of metrics.json."""
    if model in numbers.regressions:
        return _number_metrics(spec, numbers, model, training)
    model_numbers = numbers.models[model]
    pairs = {other: f"{numbers.source}:{other}" for other in (*model_numbers.bias, *numbers.excluded)}
    bias = {other: bias_of(result) for other, result in model_numbers.bias.items()}
    bias |= {other: excluded_bias(spec, why) for other, why in numbers.excluded.items()}
    setup = {"setup": setup_of(spec.models[model])} if model in spec.models else {}
    entry: dict[str, Any] = {**setup, "auc": auc_of(numbers, model)}
    if model_numbers.ratios:
        entry["auc_difference"] = auc_difference_of(numbers, model)
        entry["shift_ratio"] = {
            pairs[other]: {f"{r.signal_efficiency:g}": ratio_of(r) for r in of_domain}
            for other, of_domain in model_numbers.ratios.items()
        }
        verdict = verdict_of(spec, numbers, model)
        entry |= {} if verdict is None else {"verdict": verdict}
    entry |= {
        "bias": {pairs[other]: content for other, content in bias.items()},
        "tests": {
            pairs[other]: {name: tests_of(t) for name, t in by_class.items()}
            for other, by_class in model_numbers.tests.items()
        },
        **_decompositions(model_numbers, pairs),
        "domain_auc": {pair: domain_auc_of(spec, numbers, model, other) for other, pair in pairs.items()},
    }
    entry |= _probes(model_numbers.probes, numbers.source)
    entry |= {
        "significance": significance_of(model_numbers),
        "working_points": {
            f"{efficiency:g}": {domain: working_of(*point) for domain, point in by_domain.items()}
            for efficiency, by_domain in model_numbers.working.items()
        },
        **({} if model_numbers.importance is None else {"importance": importance_of(model_numbers.importance)}),
        **({} if model_numbers.labels is None else {"labels": labels_of(model_numbers.labels)}),
        **_few_labels(spec, model_numbers),
        **({"thresholds": thresholds_of(model_numbers.thresholds)} if model_numbers.thresholds else {}),
        **({} if model_numbers.classes is None else {"classes": classes_of(model_numbers.classes)}),
        **_guards(model_numbers),
        **({} if model_numbers.noise is None else {"training_noise": noise_of(model_numbers.noise, numbers.source)}),
        **_training(training),
    }
    return EventModel.from_json(plain(entry))


def _probes(
    probes: Mapping[str, Mapping[str, tuple[ProbeResult, ...] | str]], source: str
) -> dict[str, dict[str, Any]]:
    """Return the key `probes`, if there are any."""
    by_pair = {
        f"{source}:{other}": {name: probes_of(p) for name, p in by_class.items()} for other, by_class in probes.items()
    }
    return {"probes": by_pair} if by_pair else {}


def _few_labels(spec: EvaluationSpec, model: ModelNumbers) -> dict[str, Any]:
    """Return the key `few_labels`, if it was asked for."""
    section = spec.settings.few_labels
    if section is None or model.few_labels is None:
        return {}
    return {"few_labels": few_labels_of(model.few_labels, section.domain)}


def _training(training: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys `training` and those of reweightings."""
    return {
        **{key: reweighting_of(training[key]) for key in REWEIGHTINGS if key in training},
        "training": {key: value for key, value in training.items() if key not in REWEIGHTINGS},
    }


def _number_metrics(spec: EvaluationSpec, numbers: Numbers, model: str, training: Mapping[str, Any]) -> EventModel:
    """Return models.<model> of a model that predicts a number."""
    about = spec.models[model]
    entry = {
        "setup": setup_of(about),
        "regression": entry_of(about, numbers.regressions[model], numbers.source),
        **_probes(numbers.regressions[model].probes, numbers.source),
        **_training(training),
    }
    return EventModel.from_json(plain(entry))


def importance_of(result: FeatureImportance | str) -> dict[str, Any]:
    """Return models.<model>.importance: the decrease of the AUC if an input is shuffled, the largest first."""
    if isinstance(result, str):
        return {"auc": None, "inputs": {}, "why": result}
    drops = zip(result.names, result.drop.tolist(), result.error.tolist(), strict=True)
    inputs = {name: {"value": drop, "error": error} for name, drop, error in drops}
    return {"auc": result.auc, "events": result.events, "inputs": inputs}


def _decompositions(model: ModelNumbers, pairs: Mapping[str, str]) -> dict[str, Any]:
    """Return the key `decomposition`, if the compared class has several processes in any pair of domains."""
    entries = {pairs[other]: decomposition_of(result) for other, result in model.decomposition.items()}
    return {"decomposition": entries} if entries else {}


def noise_of(noise: TrainingNoise, source: str) -> dict[str, Any]:
    """Return models.<model>.training_noise.

    It has the spread between trainings, and the error of their mean that results from it.
    """

    def entry(spread: TrainingSpread) -> dict[str, float]:
        return {"spread": spread.spread, "error": spread.error}

    return {
        "over": noise.over,
        "trainings": noise.trainings,
        **({} if noise.auc is None else {"auc": entry(noise.auc)}),
        "efficiency_shift": {
            f"{source}:{other}": {f"{point:g}": entry(spread) for point, spread in by_point.items()}
            for other, by_point in noise.shifts.items()
        },
    }


def reweighting_of(trainings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return models.<model>.reweight or .domain_reweight.

    The values are means over trainings; the AUC on the inputs is that before and after the reweighting.
    """

    def mean(*keys: str) -> float:
        values: list[Any] = list(trainings)
        for key in keys:
            values = [value[key] for value in values]
        return float(sum(values) / len(values))

    return {
        "clipped": mean("clipped"),
        "n_eff": {when: mean("n_eff", when) for when in ("before", "after")},
        "domain_auc": {
            when: {part: mean("domain_auc", when, part) for part in ("value", "low", "high")}
            for when in ("before", "after")
        },
    }


def _guards(model: ModelNumbers) -> dict[str, Any]:
    """Return the diagnostics of one model: calibration, bins, overtraining, flatness."""
    nothing = {"ks": None, "p_value": None}
    if isinstance(model.overtraining, str):
        overtraining: dict[str, Any] = nothing | {"why": model.overtraining}
    else:
        overtraining = {
            name: {"ks": test.ks, "p_value": test.p_value} | limit_of_p(test.p_is_limit)
            for name, test in model.overtraining.items()
        }
    flat = {
        variable: {
            name: {"cvm": None, "ks": None, "p_value": None, "why": result} if isinstance(result, str)
            else {"cvm": result.cvm, "ks": result.ks, "p_value": result.p_value} | limit_of_p(result.p_is_limit)
            for name, result in by_class.items()
        }
        for variable, by_class in model.flatness.items()
    }  # fmt: skip
    bins = {
        domain: {
            name: {"bins": b.bins, "empty": b.empty, "negative": b.negative, "lowest_n_eff": b.lowest_n_eff}
            for name, b in by_class.items()
        }
        for domain, by_class in model.bins.items()
    }
    return {
        "calibration": {
            domain: with_why({"expected_error": curve.expected_error}, [curve.why])
            for domain, curve in model.calibration.items()
        },
        "bins": bins,
        "overtraining": overtraining,
        **({"flatness": flat} if flat else {}),
    }
