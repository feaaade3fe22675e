"""Conversion of fits to fit.json, with every fitted number; a number that does not exist is null with a `why`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from hepda.config.events.systematics import (
    FreeSystematic,
    NormSystematic,
    SystematicConfig,
    TwoPointSystematic,
    WeightSystematic,
)
from hepda.evaluation.fits.channels import SampleTemplate
from hepda.evaluation.fits.toys import interval_score
from hepda.events.fit.control import ControlFit
from hepda.events.fit.fits import ALL, Closed, MainFit
from hepda.events.fit.inputs import FitInput, FittedRegion
from hepda.events.fit.parametric import Profiled
from hepda.events.specs import SystematicsSpec
from hepda.results.evaluation import ToyClosure
from hepda.results.fit_file import FittedModel
from hepda.results.fits import FitResult, Goodness, Impact, Origin, Parameter, Pruned, RegionContents, Scan, Smoothed
from hepda.runtime.run_directory import plain

NO_PART = "with this part alone a bin has a negative content, or the fit has no minimum"
CHOICES = {
    "interval": "68.27 %: where -2 ln L, profiled, has risen by one; error: half of it",
    "two_point": "up is the other generator (scaled to the nominal sum of the fitted regions unless `rate`), down its "
    "mirror image, 2 nominal - other; a variation with one side is mirrored in the same way",
    "simulation_statistics": "one factor a bin on all samples (Barlow-Beeston lite)",
    "data": "the truth of data is taken to be mu = 1, the strength that the templates predict; pseudo-data whose "
    "`truth` is given are scaled as simulation is: the error from their own fluctuation is `sample_error`",
    "toys": "counts and auxiliary measurements fluctuate; data from simulation fluctuate about its expectation",
    "parameter": "a network with `parameter` is read at 0, as it is scored; `profiled` has the fit choose the value",
}


def fitted_model(
    fit_input: FitInput,
    main: MainFit,
    closure: Mapping[str, Mapping[str, tuple[Closed, ...]]],
    profiled: Mapping[str, Sequence[Profiled]] | None = None,
) -> FittedModel:
    """Return models.<model> of fit.json.

    Args:
        fit_input: templates and pseudo-data of the model.
        main: the fits with all systematics.
        closure: by variant and domain, the fits to pseudo-data. Without two-point systematics there is one variant.
        profiled: by domain, the fits that choose the value of the network's parameter; None for other models.

    """
    observed_fit = main.observed
    significance = main.significance
    expected = fit_entry(main.expected) | {
        "significance": significance.expected,
        "limit": main.limit.expected,
        "limit_band": main.limit.band,
    }
    expected["why"] = "; ".join(w for w in (main.expected.why, significance.why, main.limit.why) if w)
    nothing = dict.fromkeys(("mu", "error", "low", "high", "nll", "goodness", "ndf", "p_value", "parameters"))
    observed = nothing | {"why": observed_fit} if isinstance(observed_fit, str) else fit_entry(observed_fit)
    observed |= {
        "significance": None if isinstance(observed_fit, str) else significance.observed,
        "limit": None if isinstance(observed_fit, str) else main.limit.observed,
    }
    observed["why"] = "; ".join(dict.fromkeys(w for w in (observed.get("why"), main.limit.why) if w))
    no_toys = {"value": None, "why": "no toys were requested"}
    toys = no_toys if significance.toys is None else with_why(asdict(significance.toys))
    variants: dict[str, Any] = {
        variant: {domain: [closed_entry(entry) for entry in entries] for domain, entries in by_domain.items()}
        for variant, by_domain in closure.items()
    }
    if closure and ALL not in closure:
        variants |= {ALL: None, "why": "`systematics` has no two_point: both are the same"}
    content: dict[str, Any] = {
        "regions": regions_entry(fit_input, main),
        "expected": with_why(expected),
        "observed": with_why(observed),
        "significance_by_toys": toys,
        "error_budget": with_why(asdict(main.budget)),
        "fitted_to": main.fitted_to,
        "impacts": [impact_entry(impact) for impact in main.impacts],
        **({} if main.scan is None else {"scan": scan_entry(main.scan)}),
        **({} if main.goodness is None else {"goodness": goodness_entry(main.goodness)}),
        **({} if main.control is None else {"control": control_entry(main.control)}),
        "pruned": [pruned_entry(entry) for entry in fit_input.pruned],
        "smoothed": [smoothed_entry(entry) for entry in fit_input.smoothed],
        "closure": variants,
        "interval_score": {
            variant: {domain: score_entry(entries) for domain, entries in by_domain.items()}
            for variant, by_domain in closure.items()
        },
        "true_rates": {
            domain: {name: {"value": value, "error": error} for name, (value, error) in rates.items()}
            for domain, rates in fit_input.true_rates.items()
            if rates
        },
        "not_played": dict(fit_input.excluded),
    }
    return FittedModel.from_json(
        plain(content | ({} if profiled is None else {"profiled": profiled_entries(profiled)}))
    )


def fit_entry(result: FitResult) -> dict[str, Any]:
    """Return a fit: mu and its interval, goodness of fit, every parameter with its pull."""
    return with_why(
        {
            "mu": result.mu,
            "error": half_interval(result),
            "error_of_curvature": result.error,
            "low": result.low,
            "high": result.high,
            "nll": result.nll,
            "goodness": result.goodness,
            "ndf": result.ndf,
            "p_value": result.p_value,
            "parameters": [parameter_entry(p) for p in result.parameters],
            "correlation": correlation_entry(result),
            "not_fitted": dict(result.not_fitted),
            "why": result.why,
        }
    )


def parameter_entry(parameter: Parameter) -> dict[str, Any]:
    """Return a parameter; one without a prior has no pull."""
    entry = asdict(parameter) | {"pull": parameter.pull, "constraint": parameter.constraint}
    return {key: value for key, value in entry.items() if value is not None}


def impact_entry(impact: Impact) -> dict[str, Any]:
    """Return an impact: the shifts of mu with the parameter fixed one error up and down.

    What a parameter without a prior does not have is left out.
    """
    failed = None in (impact.mu_up, impact.mu_down)
    why = "the fit with it fixed has no minimum" if failed else ""
    shifts = {"mu_up": impact.mu_up, "mu_down": impact.mu_down, "size": impact.size, "why": why}
    return with_why({key: value for key, value in asdict(impact).items() if value is not None} | shifts)


def half_interval(result: FitResult) -> float | None:
    """Return half of the interval of mu, or the error from the curvature if the interval has no ends."""
    if result.low is None or result.high is None:
        return result.error
    return 0.5 * (result.high - result.low)


def closed_entry(entry: Closed) -> dict[str, Any]:
    """Return a fit to pseudo-data, with its toys."""
    fit, toys = entry.fit, entry.toys
    names = ("truth", "mu", "error", "low", "high", "pull", "sample_error", "goodness", "ndf", "why")
    content = {name: getattr(fit, name) for name in names}
    if fit.sample_error is None and fit.why is None:
        content["sample_error_why"] = "the data are not simulated: their fluctuations are in the error"
    bias = None if fit.mu is None else fit.mu - fit.truth
    rates = {name: {"value": value, "error": error} for name, (value, error) in fit.rates.items()}
    replicas = (
        [] if entry.replicas is None else [round(mu, 6) if np.isfinite(mu) else None for mu in entry.replicas.tolist()]
    )
    content |= {"bias": bias, "rates": rates, "toys": toys_entry(toys), "replicas": replicas}
    return with_why(content | {"origins": [origin_entry(origin) for origin in entry.origins]})


def origin_entry(origin: Origin) -> dict[str, Any]:
    """Return a part of a bias; only a shape has a region."""
    entry = asdict(origin) | ({} if origin.value is not None else {"why": NO_PART})
    return entry if origin.region is not None else {key: value for key, value in entry.items() if key != "region"}


def profiled_entries(by_domain: Mapping[str, Sequence[Profiled]]) -> dict[str, Any]:
    """Return models.<model>.profiled: by domain, one entry for each injected strength."""

    def entry(fit: Profiled) -> dict[str, Any]:
        interval = None if fit.low is None or fit.high is None else (fit.low, fit.high)
        derived = {
            "error": None if interval is None else 0.5 * (interval[1] - interval[0]),
            "bias": None if fit.mu is None else fit.mu - fit.truth,
            "holds_truth": None if interval is None else interval[0] <= fit.truth <= interval[1],
            "offset": {f"{value:g}": above for value, above in (fit.offset or {}).items()},
        }
        return with_why({key: value for key, value in asdict(fit).items() if key != "offset"} | derived)

    return {domain: [entry(fit) for fit in fits] for domain, fits in by_domain.items()}


def score_entry(entries: Sequence[Closed]) -> dict[str, Any]:
    """Return one number for the intervals of all injected strengths of a domain."""
    with_toys = [entry.toys for entry in entries if isinstance(entry.toys, ToyClosure)]
    reasons = [entry.toys for entry in entries if isinstance(entry.toys, str)]
    if reasons or any(toys.width is None for toys in with_toys):
        return dict.fromkeys(("value", "width", "coverage")) | {
            "intervals": 0,
            "why": "; ".join(dict.fromkeys(reasons)),
        }
    return asdict(interval_score(with_toys))


def toys_entry(toys: ToyClosure | str) -> dict[str, Any]:
    """Return the results of the toys: bias, pulls, coverage, width of the interval."""
    names = (
        "bias", "bias_error", "pull_mean", "pull_width", "coverage", "coverage_error", "width", "winkler", "failed",
    )  # fmt: skip
    if isinstance(toys, str):
        return dict.fromkeys(names) | {"toys": 0, "why": toys}
    return {name: getattr(toys, name) for name in names} | {"toys": len(toys.mu) + toys.failed}


def regions_entry(fit_input: FitInput, main: MainFit) -> dict[str, Any]:
    """Return models.<model>.regions."""
    before = {contents.region: contents for contents in main.prefit}
    after = {contents.region: contents for contents in main.postfit}
    return {r.spec.name: _region_entry(r, before, after) for r in fit_input.regions}


def _region_entry(
    region: FittedRegion, before: Mapping[str, RegionContents], after: Mapping[str, RegionContents]
) -> dict[str, Any]:
    spec = region.spec
    counts = {name: data.observed for name, data in region.domains.items() if data.observed is not None}
    first = next(iter(counts), None)
    if first is not None:
        seen: dict[str, Any] = {"observed": counts[first], "data": first}
    else:
        seen = {"observed": None, "observed_why": next(iter(region.blinded.values()), "there are no data")}
    chosen_by = {"selection": spec.selection, "largest": spec.largest}
    return {
        "role": spec.role,
        **{key: value for key, value in chosen_by.items() if value is not None},
        "variable": spec.variable,
        "automatic": isinstance(spec.bins, int),
        "edges": region.channel.edges,
        "merged_bins": region.merged,
        "omitted": dict(region.omitted),
        "templates": {sample.name: template_entry(sample) for sample in region.channel.samples},
        "prefit": contents_entry(before[spec.name]),
        **({"postfit": contents_entry(after[spec.name])} if spec.name in after else {}),
        **seen,
        "blinded": dict(region.blinded),
    }


def template_entry(sample: SampleTemplate) -> dict[str, Any]:
    """Return the contents of a sample, nominal and varied."""
    return {
        "signal": sample.signal,
        **({} if sample.rate is None else {"rate": sample.rate}),
        "sumw": sample.sumw,
        "sumw2": sample.sumw2,
        "shapes": {name: {"up": up, "down": down} for name, (up, down) in sample.shapes.items()},
        "norms": {name: {"up": up, "down": down} for name, (up, down) in sample.norms.items()},
    }


def contents_entry(contents: RegionContents) -> dict[str, Any]:
    """Return the expected contents of a region before or after a fit."""
    return {
        "samples": contents.samples,
        "sample_errors": contents.sample_errors,
        "total": contents.total,
        "error": contents.error,
        "yields": {name: asdict(events) for name, events in contents.yields.items()},
        "total_yield": asdict(contents.total_yield),
    }


def scan_entry(scan: Scan) -> dict[str, Any]:
    """Return a scan of the likelihood; null where a fit has no minimum."""

    def finite(values: Sequence[float]) -> list[float | None]:
        return [float(value) if np.isfinite(value) else None for value in values]

    rise, fixed = finite(scan.rise.tolist()), finite(scan.fixed_rise.tolist())
    missing = "there is no minimum, or the likelihood is zero" if None in (*rise, *fixed) else ""
    return with_why(
        {
            "parameter": scan.parameter,
            "values": scan.values,
            "twice_delta_nll": rise,
            "fixed": fixed,
            "best": scan.best,
            "error": scan.error,
            "why": scan.why or missing,
        }
    )


def goodness_entry(goodness: Goodness) -> dict[str, Any]:
    """Return the goodness of fit; without toys, their keys are left out."""
    entry = asdict(goodness)
    if not goodness.toys:
        entry = {key: value for key, value in entry.items() if not key.startswith("toys")}
    return with_why(entry)


def control_entry(control: ControlFit) -> dict[str, Any]:
    """Return the fit of control regions alone."""
    parameters = [parameter_entry(p) for p in control.parameters]
    head = {"domain": control.domain, "regions": list(control.regions)}
    return with_why(head | {"parameters": parameters, "why": control.why})


def pruned_entry(pruned: Pruned) -> dict[str, Any]:
    """Return an effect that the fit leaves out."""
    return {
        "parameter": pruned.systematic,
        "region": pruned.channel,
        "sample": pruned.sample,
        "part": pruned.part,
        "size": pruned.size,
        "threshold": pruned.threshold,
        "why": pruned.why,
    }


def smoothed_entry(smoothed: Smoothed) -> dict[str, Any]:
    """Return a variation that was smoothed."""
    return {
        "parameter": smoothed.systematic,
        "region": smoothed.channel,
        "sample": smoothed.sample,
        "change": smoothed.change,
    }


def correlation_entry(result: FitResult) -> dict[str, Any] | None:
    """Return the correlations of all parameters but the templates' statistics; None without a fit."""
    kept = [i for i, p in enumerate(result.parameters) if p.kind != "statistics"]
    if not kept:
        return None
    return {
        "names": [result.parameters[i].name for i in kept],
        "matrix": result.correlation[np.ix_(kept, kept)],
    }


def systematics_entries(systematics: SystematicsSpec) -> dict[str, Any]:
    """Return the description of each systematic, as text and by sample."""
    return {
        name: {"kind": section.kind, "samples": list(systematics.varied_samples(name)), "how": _how(section)}
        for name, section in systematics.sections.items()
    }


def _how(section: SystematicConfig) -> str:
    apart = [
        text
        for text, correlated in (
            ("process", section.correlated.processes),
            ("region", section.correlated.regions),
        )
        if not correlated
    ]
    return _variation(section) + (f"; a parameter each {' and '.join(apart)}" if apart else "")


def _variation(section: SystematicConfig) -> str:
    if isinstance(section, FreeSystematic):
        return "rate × a factor without a prior"
    if isinstance(section, NormSystematic):
        return f"rate × {1 + section.value:g} and × {1 / (1 + section.value):.4g}"
    if isinstance(section, TwoPointSystematic):
        what = {False: "shape", True: "shape and rate", "apart": "shape, and rate apart,"}[section.rate]
        return f"{what} of {section.domain}, mirrored"
    mirrored = ", mirrored" if section.down is None else ""
    if isinstance(section, WeightSystematic):
        return f"weight × ({section.up})" + (mirrored or f", × ({section.down})")
    sides = [section.up] if section.down is None else [section.up, section.down]
    return "; ".join(", ".join(f"{new} for {old}" for old, new in side.items()) for side in sides) + mirrored


def with_why(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entry without an empty `why`, and with None for numbers that are not finite."""
    stated = {key: value for key, value in entry.items() if key != "why" or value}
    return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in stated.items()}
