"""fit.json, which `hepda fit` writes."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from hepda.results.record import Number, Record


class SystematicEntry(Record):
    """systematics.<parameter>: what is varied, and how."""

    kind: str
    samples: list[str]
    how: str


class ContentsUpDown(Record):
    """Varied contents [bins]."""

    up: list[Number]
    down: list[Number]


class FactorsUpDown(Record):
    """Varied normalisation."""

    up: Number
    down: Number


class TemplateEntry(Record):
    """models.<model>.templates.<sample>: contents [bins], nominal and varied."""

    signal: bool
    sumw: list[Number]
    sumw2: list[Number]
    shapes: Mapping[str, ContentsUpDown]
    norms: Mapping[str, FactorsUpDown]


class ParameterEntry(Record):
    """A fitted parameter; one without a prior has no pull."""

    name: str
    kind: str
    value: Number
    error: Number | None = None
    prior_value: Number | None = None
    prior_error: Number | None = None
    pull: Number | None = None
    constraint: Number | None = None


class FitEntry(Record):
    """models.<model>.expected and .observed: a fit of all parameters."""

    mu: Number | None
    error: Number | None
    """Half of the interval."""
    error_of_curvature: Number | None = None
    low: Number | None
    high: Number | None
    nll: Number | None
    goodness: Number | None
    ndf: int | None
    p_value: Number | None
    parameters: list[ParameterEntry] | None
    not_fitted: Mapping[str, str] = Field(default_factory=dict)
    significance: Number | None
    limit: Number | None
    limit_band: list[Number] | None = None
    why: str | None = None


class SignificanceByToys(Record):
    """models.<model>.significance_by_toys."""

    value: Number | None
    p_value: Number | None = None
    p_error: Number | None = None
    toys: int | None = None
    failed: int | None = None
    why: str | None = None


class ErrorBudgetEntry(Record):
    """models.<model>.error_budget: parts that add up to the total in quadrature."""

    total: Number | None
    data: Number | None
    systematics: Number | None
    simulation: Number | None
    rates: Number | None = None
    """Of free rates and further strengths."""
    why: str | None = None


class ImpactEntry(Record):
    """models.<model>.impacts: shifts of mu."""

    name: str
    kind: str
    pull: Number | None
    constraint: Number | None
    mu_up: Number | None
    mu_down: Number | None
    prefit_up: Number | None = None
    """With the parameter one pre-fit error above its best value; null without a prior."""
    prefit_down: Number | None = None
    value: Number | None = None
    error: Number | None = None
    size: Number | None
    why: str | None = None


class ToysEntry(Record):
    """Results of the toys of one injected strength."""

    bias: Number | None
    bias_error: Number | None
    pull_mean: Number | None
    pull_width: Number | None
    coverage: Number | None
    coverage_error: Number | None
    width: Number | None
    failed: int | None
    toys: int
    why: str | None = None


class ClosedEntry(Record):
    """A fit to pseudo-data at one injected strength."""

    truth: Number
    mu: Number | None
    error: Number | None
    low: Number | None
    high: Number | None
    pull: Number | None
    sample_error: Number | None
    sample_error_why: str | None = None
    bias: Number | None
    toys: ToysEntry
    why: str | None = None


class ClosureVariants(Record):
    """models.<model>.closure: by domain, one entry for each injected strength."""

    without_two_point: Mapping[str, list[ClosedEntry]] | None = None
    """Without the systematics that are another generator."""
    all_: Mapping[str, list[ClosedEntry]] | None = Field(None, alias="all")
    why: str | None = None

    def of(self, variant: str) -> Mapping[str, list[ClosedEntry]]:
        """Return the entries of `all` or `without_two_point`."""
        return (self.all_ if variant == "all" else self.without_two_point) or {}


class IntervalScoreEntry(Record):
    """models.<model>.interval_score.<variant>.<domain>."""

    value: Number | None
    width: Number | None
    coverage: Number | None
    intervals: int
    why: str | None = None


class ProfiledEntry(Record):
    """models.<model>.profiled.<domain>: a fit that chooses the value of the network's parameter."""

    truth: Number
    mu: Number | None
    low: Number | None
    high: Number | None
    value: Number | None
    error: Number | None
    bias: Number | None
    holds_truth: bool | None
    offset: Mapping[str, Number | None]
    why: str | None = None


class FittedModel(Record):
    """models.<model> of fit.json."""

    edges: list[Number]
    merged_bins: int
    templates: Mapping[str, TemplateEntry]
    expected: FitEntry
    observed: FitEntry
    significance_by_toys: SignificanceByToys
    error_budget: ErrorBudgetEntry
    fitted_to: str
    impacts: list[ImpactEntry]
    closure: ClosureVariants
    interval_score: Mapping[str, Mapping[str, IntervalScoreEntry]] = Field(default_factory=dict)
    not_played: Mapping[str, str] = Field(default_factory=dict)
    profiled: Mapping[str, list[ProfiledEntry]] = Field(default_factory=dict)


class FitFile(Record):
    """fit.json: the fits of every model."""

    schema_: int | None = Field(None, alias="schema")
    name: str
    stamp: str
    """Checksum of the analysis file and the scores."""
    seed: int
    luminosity: Number
    source: str
    toys: int
    choices: Mapping[str, str]
    systematics: Mapping[str, SystematicEntry]
    models: Mapping[str, FittedModel]
