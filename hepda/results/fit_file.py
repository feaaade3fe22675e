"""fit.json, which `hepda fit` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

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
    """models.<model>.regions.<region>.templates.<sample>: contents [bins], nominal and varied."""

    signal: bool
    rate: str | None = None
    """The free factor on it: `mu`, or the name of a free rate; null: none."""
    sumw: list[Number]
    sumw2: list[Number]
    shapes: Mapping[str, ContentsUpDown]
    norms: Mapping[str, FactorsUpDown]


class YieldEntry(Record):
    """Expected events with the error of all parameters and their correlations."""

    value: Number
    error: Number | None


class ContentsEntry(Record):
    """models.<model>.regions.<region>.prefit and .postfit: expected contents [bins]."""

    samples: Mapping[str, list[Number]]
    sample_errors: Mapping[str, list[Number]]
    total: list[Number]
    error: list[Number]
    """Of the total, with the correlations between parameters."""
    yields: Mapping[str, YieldEntry]
    """By sample, all bins of the region together."""
    total_yield: YieldEntry


class RegionEntry(Record):
    """models.<model>.regions.<region>: its definition, its bins, its templates, and data against expectation."""

    role: Literal["signal", "control", "validation"]
    """`validation`: not fitted, but drawn with the parameters of the fit."""
    selection: str | None = None
    largest: str | None = None
    """The class whose output is the largest of all."""
    variable: str
    automatic: bool
    """Whether the bins were chosen by hepda."""
    edges: list[Number]
    merged_bins: int
    """Bins that were joined to a neighbour, because no fit can use them."""
    omitted: Mapping[str, str] = Field(default_factory=dict)
    """Samples without a template here, and why."""
    templates: Mapping[str, TemplateEntry]
    prefit: ContentsEntry
    postfit: ContentsEntry | None = None
    """With the parameters of the fit that `fitted_to` names; null if that fit has no minimum."""
    observed: list[Number] | None = None
    """Counts of the data [bins]; null: see `observed_why`."""
    data: str | None = None
    """The domain of `observed`."""
    observed_why: str | None = None
    blinded: Mapping[str, str] = Field(default_factory=dict)
    """Domains of data that are not used in this region, and why."""


class PrunedEntry(Record):
    """models.<model>.pruned: an effect of a systematic that the fit leaves out, because it is below a threshold."""

    parameter: str
    region: str
    sample: str
    part: Literal["rate", "shape"]
    size: Number
    """Largest relative change: of the sum, or of a bin once the sum is kept."""
    threshold: Number
    why: str | None = None


class SmoothedEntry(Record):
    """models.<model>.smoothed: a variation whose ratio to the nominal contents was smoothed."""

    parameter: str
    region: str
    sample: str
    change: Number
    """Largest change of a bin by the smoothing, relative to its nominal content."""


class ScanEntry(Record):
    """models.<model>.scan: -2 ln of the profiled likelihood over its maximum."""

    parameter: str
    values: list[Number]
    twice_delta_nll: list[Number | None]
    """Null where the fit has no minimum."""
    fixed: list[Number | None]
    """The same with all other parameters fixed at their best values."""
    best: Number | None
    error: Number | None
    why: str | None = None


class CorrelationEntry(Record):
    """Correlations [parameters, parameters] of strengths, free rates and systematics."""

    names: list[str]
    matrix: list[list[Number]]


class ParameterEntry(Record):
    """A fitted parameter; one without a prior has no pull."""

    name: str
    kind: str
    """`poi`, `free`, `systematic` or `statistics`."""
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
    correlation: CorrelationEntry | None = None
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


class GoodnessEntry(Record):
    """models.<model>.goodness: of the fit that `fitted_to` names, against the saturated model."""

    value: Number | None
    ndf: int
    p_value: Number | None
    """Asymptotic."""
    toys_p_value: Number | None = None
    toys_p_error: Number | None = None
    toys: int = 0
    failed: int = 0
    why: str | None = None


class ControlFitEntry(Record):
    """models.<model>.control: the fit to the data of the regions that are not blinded, at mu = 1, where others are."""

    domain: str
    regions: list[str]
    parameters: list[ParameterEntry]
    """Free rates and systematics; none without a result."""
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
    pull: Number | None = None
    constraint: Number | None = None
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
    winkler: Number | None = None
    """Mean Winkler score of the intervals: the width, and 2 / (1 - 0.6827) times the distance by which the truth is
    missed; the smaller the better."""
    failed: int | None
    toys: int
    why: str | None = None


class OriginEntry(Record):
    """A part of a bias: a difference of a process between pseudo-data and templates, and how the fit responds to it."""

    process: str
    """The class, where only the classes of the pseudo-data are known."""
    part: Literal["rate", "regions", "shape"]
    """`rate`: events in all regions; `regions`: how they are distributed over them."""
    region: str | None = None
    """Of a shape."""
    value: Number | None
    """Fitted mu less 1."""
    error: Number | None
    """Of the finite pseudo-data."""
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
    goodness: Number | None = None
    """-2 ln of the largest L over that of the saturated model; the expectation of pseudo-data does not fluctuate, so
    that it is below `ndf` where the templates describe them."""
    ndf: int | None = None
    rates: Mapping[str, YieldEntry] = Field(default_factory=dict)
    """Fitted free rates by name; 1 is what the templates predict."""
    toys: ToysEntry
    replicas: list[Number | None] = Field(default_factory=list)
    """Fitted mu of bootstrap replicas of the pseudo-data at mu = 1; null where there is no minimum. Replica k has the
    same events in every model and run."""
    origins: list[OriginEntry] = Field(default_factory=list)
    """Parts of the bias at mu = 1, where the processes of the pseudo-data are known; they add up to it as far as the
    fit is linear."""
    why: str | None = None


class PairedEntry(Record):
    """models.<model>.paired.<variant>.<domain>: |bias of the baseline| - |bias of the model| at mu = 1.

    The intervals, at 68.27 and 95 %, are those of bootstrap replicas of the pseudo-data that both models share.
    """

    value: Number
    low: Number | None
    high: Number | None
    low_95: Number | None
    high_95: Number | None
    replicas: int
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

    def at_one(self, variant: str) -> dict[str, ClosedEntry]:
        """Return the fit to the pseudo-data at mu = 1 of each domain that has one."""
        return {domain: entry for domain, entries in self.of(variant).items() for entry in entries if entry.truth == 1}


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

    regions: Mapping[str, RegionEntry]
    """In the order of the analysis file; a run without `fit:` has one, `all`."""
    expected: FitEntry
    observed: FitEntry
    significance_by_toys: SignificanceByToys
    error_budget: ErrorBudgetEntry
    fitted_to: str
    """What `impacts`, `scan` and `postfit` are of: a domain of data, or `Asimov data`."""
    impacts: list[ImpactEntry]
    scan: ScanEntry | None = None
    goodness: GoodnessEntry | None = None
    """Of the fit to data; null where data are blinded or absent."""
    control: ControlFitEntry | None = None
    """Absent where no region is blinded, or all are."""
    pruned: list[PrunedEntry] = Field(default_factory=list)
    smoothed: list[SmoothedEntry] = Field(default_factory=list)
    closure: ClosureVariants
    true_rates: Mapping[str, Mapping[str, YieldEntry]] = Field(default_factory=dict)
    """By domain and free rate: the yields of its processes in the pseudo-data, in units of the templates', where known;
    the error is that of the finite pseudo-data."""
    paired: Mapping[str, Mapping[str, PairedEntry]] = Field(default_factory=dict)
    """By variant and domain; absent for the baseline."""
    interval_score: Mapping[str, Mapping[str, IntervalScoreEntry]] = Field(default_factory=dict)
    not_played: Mapping[str, str] = Field(default_factory=dict)
    profiled: Mapping[str, list[ProfiledEntry]] = Field(default_factory=dict)


class PruningEntry(Record):
    """Thresholds below which effects of systematics are left out of the fit."""

    rate: Number
    shape: Number


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
    pruning: PruningEntry | None = None
    """Null: nothing is pruned."""
    smoothing: str | None = None
    """The method; null: variations are not smoothed."""
    systematics: Mapping[str, SystematicEntry]
    models: Mapping[str, FittedModel]
