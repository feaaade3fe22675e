"""Records of a fit with made-up numbers, as fit.json has them."""

from __future__ import annotations

from typing import Any

import numpy as np

from hepda.results.fit_file import (
    ClosedEntry,
    ClosureVariants,
    ContentsEntry,
    ErrorBudgetEntry,
    FitEntry,
    FittedModel,
    ImpactEntry,
    ParameterEntry,
    RegionEntry,
    SignificanceByToys,
    TemplateEntry,
    ToysEntry,
    YieldEntry,
)

SAMPLES = ("ttH", "ttb", "ttlight")


def contents(factor: float, bins: int, error: float, signal: float = 1.0) -> ContentsEntry:
    """Expected contents of a signal and two backgrounds that fall; `signal` scales the signal alone."""
    x = (np.arange(bins) + 0.5) / bins
    samples = {"ttH": signal * (2 + 20 * x), "ttb": factor * 40 * np.exp(-x), "ttlight": factor * 400 * np.exp(-3 * x)}
    total = np.sum(list(samples.values()), axis=0)
    return ContentsEntry(
        samples={name: values.tolist() for name, values in samples.items()},
        sample_errors={name: (error * np.abs(values)).tolist() for name, values in samples.items()},
        total=total.tolist(),
        error=(error * total).tolist(),
        yields={
            name: YieldEntry(value=float(v.sum()), error=error * float(abs(v.sum()))) for name, v in samples.items()
        },
        total_yield=YieldEntry(value=float(total.sum()), error=error * float(total.sum())),
    )


def region(bins: int = 6, role: str = "signal", **changes: Any) -> RegionEntry:
    """A region of the score in automatic bins; its data are the expectation after the fit, rounded."""
    after = contents(1.1, bins, 0.03)
    template = {"sumw": [1.0] * bins, "sumw2": [1.0] * bins, "shapes": {}, "norms": {}}
    content = {
        "role": role, "variable": "score", "automatic": True, "edges": np.linspace(0, 1, bins + 1).tolist(),
        "merged_bins": 0, "templates": {n: TemplateEntry(signal=n == "ttH", **template) for n in SAMPLES},
        "prefit": contents(1.0, bins, 0.1), "postfit": after, "observed": np.round(after.total).tolist(),
    }  # fmt: skip
    return RegionEntry(**(content | changes))


def parameters(nuisances: int = 4, statistics: int = 6) -> list[ParameterEntry]:
    """mu, a free rate, systematics with pulls 0, 0.3, 0.6, ..., statistics with pull 0.5."""
    fitted = [
        ParameterEntry(name="mu", kind="poi", value=1.2, error=0.3),
        ParameterEntry(name="ttb_rate", kind="free", value=1.4, error=0.1),
    ]
    fitted += [
        ParameterEntry(
            name=f"source_{i}", kind="systematic", value=0.3 * i, error=0.9, prior_value=0, prior_error=1, pull=0.3 * i,
            constraint=0.9,
        )
        for i in range(nuisances)
    ]  # fmt: skip
    fitted += [
        ParameterEntry(
            name=f"staterror_four_b[{b}]", kind="statistics", value=1.01, error=0.02, prior_value=1, prior_error=0.02,
            pull=0.5, constraint=1.0,
        )
        for b in range(statistics)
    ]  # fmt: skip
    return fitted


def impact(name: str, kind: str = "systematic", **changes: Any) -> ImpactEntry:
    content = {
        "pull": 0.4, "constraint": 0.8, "mu_up": 0.2, "mu_down": -0.25, "prefit_up": 0.3, "prefit_down": -0.35,
        "value": 0.4, "error": 0.8, "size": 0.25,
    }  # fmt: skip
    return ImpactEntry(name=name, kind=kind, **(content | changes))


def fit_entry(mu: float | None, error: float = 0.3, **changes: Any) -> FitEntry:
    ends = {"low": None, "high": None} if mu is None else {"low": mu - error, "high": mu + 1.1 * error}
    content = {
        "mu": mu, "error": None if mu is None else error, **ends, "nll": 10.0, "goodness": 3.0, "ndf": 5,
        "p_value": 0.7, "parameters": parameters(), "significance": 2.0, "limit": 1.5,
    }  # fmt: skip
    return FitEntry(**(content | changes))


def closed(truth: float, mu: float | None, coverage: float | None = None, error: float | None = 0.3) -> ClosedEntry:
    """A fit to pseudo-data, and the coverage of its toys."""
    toys = ToysEntry(
        bias=None, bias_error=None, pull_mean=None, pull_width=None, coverage=coverage, width=None, failed=0, toys=100,
        coverage_error=None if coverage is None else 0.02,
    )  # fmt: skip
    bias = None if mu is None else mu - truth
    return ClosedEntry(
        truth=truth, mu=mu, error=error, low=None, high=None, pull=None, sample_error=0.05, bias=bias, toys=toys
    )


def model(**changes: Any) -> FittedModel:
    """A model with a signal region, a control region of one bin, and a validation region of given edges."""
    given = {"automatic": False, "variable": "ht"}
    content = {
        "regions": {
            "four_b": region(),
            "two_b": region(1, "control", **given, edges=[200.0, 1000.0]),
            "three_b": region(4, "validation", **given, edges=[0.0, 100.0, 200.0, 300.0, 400.0]),
        },
        "expected": fit_entry(1.0), "observed": fit_entry(1.2), "significance_by_toys": SignificanceByToys(value=None),
        "error_budget": ErrorBudgetEntry(total=0.3, data=0.2, systematics=0.2, simulation=0.1, rates=0.05),
        "fitted_to": "data", "impacts": [impact("source_1")], "closure": ClosureVariants(),
    }  # fmt: skip
    return FittedModel(**(content | changes))
