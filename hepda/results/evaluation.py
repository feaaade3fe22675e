"""Results of the evaluation: frozen dataclasses without computation.

Conventions for every number of this package:

- Weights are signed. sumw is the sum of weights, sumw2 the sum of their squares, n_eff = sumw^2 / sumw2.
- A score is large for signal; an event passes a cut if score >= cut.
- "source" is the domain of the templates and the cuts (simulation), "other" the one that is
  compared with it (alternative, held-out generator, data). Shifts are other minus source, or other over source minus
  one.
- A number that cannot be computed is None and `why` contains the reason; in arrays (a bin, a cut) it is NaN.
- Arrays are float64 unless stated otherwise; `level` is the coverage of an interval (0.6827 by default).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and the interval about it that covers `level` of the bootstrap replicas."""

    value: float
    low: float
    high: float
    level: float = 0.6827

    @property
    def error(self) -> float:
        """Half the width of the interval."""
        return 0.5 * (self.high - self.low)

    @property
    def entry(self) -> dict[str, float]:
        """The interval in the form of metrics.json."""
        return {"value": self.value, "low": self.low, "high": self.high}


def entry_or_why(value: Interval | str) -> dict[str, float | str | None]:
    """Return an interval in the form of metrics.json, or nulls with the reason why there is none."""
    return {"value": None, "low": None, "high": None, "why": value} if isinstance(value, str) else {**value.entry}


@dataclass(frozen=True, slots=True, eq=False)
class Roc:
    """Efficiencies of signal and background for score >= threshold, from the tightest cut to no cut.

    The first point is (0, 0) at threshold +inf, the last one (1, 1). With negative weights the curve need
    not be monotone and may leave the unit square; it is not clipped.
    """

    threshold: FloatArray  # [m], falling
    signal_efficiency: FloatArray  # [m]
    background_efficiency: FloatArray  # [m]
    auc: Interval
    difference: Interval | None = None  # AUC minus that of a reference on the same events, paired


@dataclass(frozen=True, slots=True, eq=False)
class RocBand:
    """Background efficiency at given signal efficiencies, with its bootstrap interval."""

    signal_efficiency: FloatArray  # [g]
    background_efficiency: FloatArray  # [g]
    low: FloatArray  # [g]
    high: FloatArray  # [g]
    level: float = 0.6827


@dataclass(frozen=True, slots=True, eq=False)
class PurityBand:
    """Share of signal above cuts with given signal efficiencies, with its bootstrap interval; NaN without events."""

    signal_efficiency: FloatArray  # [g]
    purity: FloatArray  # [g]
    low: FloatArray  # [g]
    high: FloatArray  # [g]
    signal_share: float  # without a cut
    level: float = 0.6827


@dataclass(frozen=True, slots=True)
class WorkingPoint:
    """A cut with its efficiencies and its rejection. Errors are one standard deviation, from sumw2."""

    cut: float
    signal_efficiency: float
    signal_efficiency_error: float
    background_efficiency: float
    background_efficiency_error: float
    rejection: float | None  # 1 / background efficiency
    rejection_error: float | None
    why: str | None = None
    background_limit: float | None = None  # of the efficiency at 95 % confidence, where no background passes


@dataclass(frozen=True, slots=True, eq=False)
class EfficiencyCurve:
    """Efficiency of a cut on the score in bins of a variable; NaN where a bin has sumw <= 0."""

    edges: FloatArray  # [b + 1], in the units of the variable
    efficiency: FloatArray  # [b]
    error: FloatArray  # [b]
    n_eff: FloatArray  # [b]


@dataclass(frozen=True, slots=True)
class EfficiencyShift:
    """Relative shift of an efficiency between domains, at the cut that fixes the signal efficiency.

    shift = other_efficiency / source_efficiency - 1, `error` one standard deviation from sumw2 of both. `null` is the
    central interval of the shifts between two samples of one generator like these two, about zero.
    """

    signal_efficiency: float  # requested efficiency of the source's signal
    cut: float
    source_efficiency: float
    other_efficiency: float
    shift: float | None
    error: float | None
    why: str | None = None
    upper: float | None = None  # at 95 % confidence, where no event of the other domain passes
    null: Interval | None = None  # None: not computed, or there are too few events


@dataclass(frozen=True, slots=True)
class ShiftRatio:
    """|shift| of an adapted model over |shift| of the baseline, at the same cut efficiency and for the same events.

    `ratio` has a bootstrap interval over events that both models score (so it is paired). A value below 1 means that
    the shift decreased. `resolved` is True if the shift of the baseline is more than two errors from zero: if not, the
    ratio has no meaning. Shifts are None, with a reason in `why`, where they could not be computed.
    """

    other: str  # name of the domain
    signal_efficiency: float
    baseline: Interval | None
    adapted: Interval | None
    ratio: Interval | None
    resolved: bool
    why: str | None = None


@dataclass(frozen=True, slots=True)
class TwoSampleTest:
    """One statistic between two samples, with its permutation p-value, which is at least 1 / (1 + permutations)."""

    statistic: str  # "ks", "wasserstein", "chi2", "jensen_shannon" or "energy"
    value: float | None
    p_value: float | None
    permutations: int
    why: str | None = None
    null: float | None = None  # value that parts of one generator reach, at the level of the null distribution
    p_is_limit: bool = False  # no permutation reaches the value: the p-value is an upper limit


@dataclass(frozen=True, slots=True, eq=False)
class NullDistribution:
    """A statistic between two samples of one generator, with the sizes and weights of the two that are compared."""

    statistic: str
    values: FloatArray  # [replicas], sorted
    level: float
    quantile: float  # of `values` at `level`
    n_eff_source: float
    n_eff_other: float


@dataclass(frozen=True, slots=True, eq=False)
class BiasResult:
    """Differences of the score of one class between two domains, each normalised to unit sum of weights.

    `p_value` is that of the KS statistic by permutation; those of all statistics are in `tests`.
    """

    class_name: str  # "background", "signal" or "all"
    ks: float
    ks_signed: float  # F_other - F_source where it is largest: positive if the other domain has lower scores
    ks_location: float  # the score there
    wasserstein: float
    chi2: float | None
    ndf: int
    jensen_shannon: float | None  # bits, 0 to 1
    energy: float
    p_value: float | None = None
    null: NullDistribution | None = None  # of the KS; those of all statistics are in `tests`
    efficiency_shift: tuple[EfficiencyShift, ...] = ()
    tests: Mapping[str, TwoSampleTest] = field(default_factory=dict)
    n_eff_source: float = 0.0
    n_eff_other: float = 0.0
    why: str | None = None
    ks_error: float | None = None  # one standard deviation, of both samples, at the score where the KS is reached

    @property
    def chi2_ndf(self) -> float | None:
        """chi2 over its degrees of freedom; None where there are none."""
        return None if self.chi2 is None or self.ndf < 1 else self.chi2 / self.ndf

    @property
    def inside_null(self) -> bool | None:
        """Whether the KS is inside the quantile of the null distribution; None without one."""
        return None if self.null is None else self.ks <= self.null.quantile

    @property
    def p_is_limit(self) -> bool:
        """Whether no permutation reaches the KS, so that `p_value` is an upper limit."""
        return "ks" in self.tests and self.tests["ks"].p_is_limit


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """A newly trained classifier that tries to separate the domains: AUC 0.5 means that it cannot."""

    representation: str  # "score", "embedding", "inputs"
    kind: str  # "bdt" or "mlp"
    class_name: str
    auc: Interval
    folds: int
    events_source: int
    events_other: int


@dataclass(frozen=True, slots=True)
class Significance:
    """Median expected (Asimov) discovery significance of one counting experiment."""

    value: float | None
    signal: float
    background: float
    background_uncertainty: float  # absolute, one standard deviation, all sources in quadrature
    cut: float | None = None
    why: str | None = None
    low: float | None = None  # interval over bootstrap replicas of all events, the choice of the cut included
    high: float | None = None
    naive: float | None = None  # at the best cut of the events that are counted, which is too good


@dataclass(frozen=True, slots=True, eq=False)
class SignificanceScan:
    """Significance against the cut; NaN where background <= 0 or signal < 0."""

    cut: FloatArray  # [m], rising
    signal: FloatArray  # [m], expected events at score >= cut
    background: FloatArray  # [m]
    background_mc_error: FloatArray  # [m], sqrt(sumw2)
    background_n_eff: FloatArray  # [m]
    bias: FloatArray | None  # [m], |background - background of the other domain|, at equal normalisation
    asimov: FloatArray  # [m], Poisson fluctuations only
    asimov_with_uncertainty: FloatArray  # [m], with relative and MC-statistical uncertainty
    asimov_with_bias: FloatArray | None  # [m], with `bias` in addition
    best: Significance  # of asimov, among cuts with enough background; see `scan_cuts` for its events
    best_with_uncertainty: Significance
    best_with_bias: Significance | None
    bands: Mapping[str, tuple[FloatArray, FloatArray]] = field(default_factory=dict)
    """By the name of a curve, its ends [m] over bootstrap replicas of the events; empty without replicas."""


@dataclass(frozen=True, slots=True, eq=False)
class BinnedSignificance:
    """Bins of the score combined in quadrature; bins are merged, never clipped."""

    value: float | None
    edges: FloatArray  # [b + 1], after merging
    signal: FloatArray  # [b]
    background: FloatArray  # [b]
    background_uncertainty: FloatArray  # [b]
    per_bin: FloatArray  # [b]
    merged: int  # number of bins that were merged into a neighbour
    why: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ClosureFit:
    """Signal strength fitted to (pseudo-)data with templates, and the pull against the truth."""

    mu: float | None
    error: float | None  # symmetric: half the width of the -2 ln L = 1 interval
    low: float | None  # end of that interval
    high: float | None
    truth: float
    pull: float | None  # (mu - truth) / error
    sample_error: float | None  # on mu, from the finite simulation used as data; None for real data
    background_scale: float | None  # fitted scale relative to the template
    edges: FloatArray  # [b + 1]
    observed: FloatArray  # [b]
    fitted: FloatArray  # [b]
    merged: int = 0
    why: str | None = None
    rates: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # free rates and further strengths, errors
    goodness: float | None = None  # -2 ln of the largest L over that of the saturated model
    ndf: int | None = None  # bins less free factors


@dataclass(frozen=True, slots=True, eq=False)
class ToyClosure:
    """Results of fits to Poisson fluctuations of the pseudo-data."""

    truth: float
    mu: FloatArray  # [toys]
    error: FloatArray  # [toys]
    bias: float  # <mu> - truth
    bias_error: float
    pull_mean: float
    pull_width: float
    coverage: float  # fraction of intervals that contain the truth; 0.6827 is right
    coverage_error: float
    failed: int = 0
    width: float | None = None  # mean width of those intervals
    winkler: float | None = None  # their mean Winkler score, the smaller the better


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationCurve:
    """Signal fraction against mean score, in bins of the score; NaN where a bin has sumw <= 0."""

    edges: FloatArray  # [b + 1]
    mean_score: FloatArray  # [b]
    fraction: FloatArray  # [b]
    error: FloatArray  # [b]
    n_eff: FloatArray  # [b]
    expected_error: float  # sum of |fraction - mean score|, weighted by the bins' sumw
    why: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class OvertrainingTest:
    """Score of one class on training and on test events: normalised densities with errors, and their KS."""

    class_name: str
    edges: FloatArray  # [b + 1]
    train: FloatArray  # [b]
    train_error: FloatArray  # [b]
    test: FloatArray  # [b]
    test_error: FloatArray  # [b]
    ks: float
    p_value: float
    p_is_limit: bool = False  # no permutation reaches the KS


@dataclass(frozen=True, slots=True, eq=False)
class FeatureImportance:
    """Decrease of the AUC of a classifier if one input is shuffled; largest first.

    The classifier is a probe of the domains, with errors from the repeats, or a model of the run, with errors from the
    events (`hepda.evaluation.importance`).
    """

    names: tuple[str, ...]
    drop: FloatArray  # [k], mean over repeats
    error: FloatArray  # [k], one standard deviation
    auc: float  # with nothing shuffled
    events: int | None = None  # number of events of a model; None for a probe


@dataclass(frozen=True, slots=True)
class InputSeparation:
    """How well one input alone separates signal from background."""

    name: str
    separation: float  # TMVA's <S^2>: 0 for equal distributions, 1 without overlap
    error: float
    auc: float  # of the input as a score; below 0.5, small values are signal


@dataclass(frozen=True, slots=True)
class InputRemoval:
    """AUCs of newly trained classifiers after the inputs that separate two domains most are removed; see `removal`."""

    names: tuple[str, ...]  # in the order in which they are removed
    counts: tuple[int, ...]  # how many of them are removed, from 0
    domains: tuple[Interval, ...]  # AUC of other against source, one per count
    classes: tuple[Interval, ...]  # AUC of signal against background, one per count


@dataclass(frozen=True, slots=True)
class Flatness:
    """Dependence of the score of one class on a variable that it should not shape; see `flatness`."""

    variable: str
    class_name: str
    cvm: float
    cvm_expected: float  # of a score that is independent of the variable
    ks: float  # the largest, between a tenth of the variable and all events
    p_value: float  # of cvm, by shuffling the variable
    n_eff: float
    p_is_limit: bool = False  # no shuffle reaches the distance


@dataclass(frozen=True, slots=True)
class BinContents:
    """Counts of unusable bins of the score, for one class."""

    class_name: str
    bins: int
    empty: int  # without an event
    negative: int  # with events whose weights do not sum to a positive number
    lowest_n_eff: float


@dataclass(frozen=True, slots=True, eq=False)
class FewLabelsMethod:
    """The AUC after one way to fit the last layer, by number of labelled events.

    needed: the number of labelled events of each class from which on the interval is above the AUC of the trained
    model; None: none of the numbers.
    """

    auc: FloatArray  # [m], median of the draws
    low: FloatArray  # [m], of 68 % of the draws
    high: FloatArray  # [m]
    needed: int | None


@dataclass(frozen=True, slots=True)
class FewLabels:
    """The AUC in another domain if the last layer is fitted to few labelled events of it.

    events: labelled events of each class; too_many: numbers that were asked for, but are more events than there are;
    trained: the AUC of the model as it was trained; methods: by name.
    """

    events: tuple[int, ...]
    too_many: tuple[int, ...]
    trained: float
    methods: Mapping[str, FewLabelsMethod]
