"""Results of a fit of templates: frozen dataclasses without computation (as in `results`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hepda.results.evaluation import FloatArray


@dataclass(frozen=True, slots=True)
class Parameter:
    """A fitted parameter: the best value, its error from the curvature, and its prior value."""

    name: str  # of the free factor or the systematic, or "staterror_<region>[bin]"
    kind: str  # "poi" (mu), "free" (another strength, a free rate), "systematic" or "statistics"
    value: float
    error: float
    prior_value: float | None = None  # None: no prior (free factors)
    prior_error: float | None = None

    @property
    def pull(self) -> float | None:
        """Shift from the prior value, in units of the prior error."""
        if self.prior_value is None or self.prior_error is None:
            return None
        return (self.value - self.prior_value) / self.prior_error

    @property
    def constraint(self) -> float | None:
        """Fitted error over the prior error: below 1 where the data constrain it further."""
        return None if self.prior_error is None else self.error / self.prior_error


@dataclass(frozen=True, slots=True, eq=False)
class FitResult:
    """A fit of all parameters to one data set; bins [b] are those of all regions, one after another.

    If it failed, mu and what follows from it is None, and `why` has the reason.
    """

    mu: float | None
    error: float | None  # from the curvature
    low: float | None  # ends of the interval where -2 ln L, profiled, rises by one (MINOS)
    high: float | None
    nll: float | None  # -ln L at the minimum, as pyhf counts it
    parameters: tuple[Parameter, ...]  # mu, other free factors, systematics, the templates' statistics
    correlation: FloatArray  # [parameters, parameters]
    not_fitted: Mapping[str, str]  # parameters on which the data have no effect, and why
    observed: FloatArray  # [b]
    goodness: float | None = None  # -2 ln of L over that of the saturated model
    ndf: int = 0
    p_value: float | None = None  # of `goodness`, asymptotically a chi2 of ndf degrees of freedom
    why: str | None = None

    @property
    def covariance(self) -> FloatArray:
        """Covariance [parameters, parameters]."""
        errors = np.array([p.error for p in self.parameters])
        return np.asarray(self.correlation * np.outer(errors, errors), dtype=np.float64)

    def parameter(self, name: str) -> Parameter:
        """Return the parameter of that name; raise KeyError if it was not fitted."""
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Yield:
    """Expected events with the error of all parameters."""

    value: float
    error: float


@dataclass(frozen=True, slots=True, eq=False)
class RegionContents:
    """Expected events of one region before or after a fit, by sample."""

    region: str
    edges: FloatArray  # [b + 1]
    samples: Mapping[str, FloatArray]  # [b] each
    sample_errors: Mapping[str, FloatArray]  # [b] each
    total: FloatArray  # [b]
    error: FloatArray  # [b], with the correlations between parameters and samples
    yields: Mapping[str, Yield]  # by sample, of all bins together
    total_yield: Yield
    signal: tuple[str, ...]  # names of the samples of signal
    fitted: bool = False  # False also for a region of validation after the fit: its data were not used


@dataclass(frozen=True, slots=True)
class Impact:
    """Impact of one parameter on mu: shifts if it is fixed one error away from its best value, all others refitted."""

    name: str
    kind: str  # "free", "systematic" or "statistics"
    pull: float | None  # None: no prior
    constraint: float | None
    mu_up: float | None  # shift of mu with the parameter at value + post-fit error; None where that fit has no minimum
    mu_down: float | None
    prefit_up: float | None = None  # the same with the pre-fit error; None also for a parameter without prior
    prefit_down: float | None = None
    value: float | None = None
    error: float | None = None

    @property
    def size(self) -> float:
        """The larger absolute value of the two post-fit shifts."""
        return max(abs(self.mu_up or 0.0), abs(self.mu_down or 0.0))


@dataclass(frozen=True, slots=True)
class Origin:
    """A part of the bias of mu: a difference between the pseudo-data and the templates, and how the fit responds."""

    process: str
    part: str  # "rate", "regions" (how the process is distributed over them) or "shape"
    region: str | None  # of a shape
    value: float | None  # None: a bin would have negative content, or the fit has no minimum
    error: float | None  # of the finite pseudo-data


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """The error of mu by origin; the parts add up to the total in quadrature."""

    total: float | None
    data: float | None  # all other parameters fixed
    systematics: float | None
    simulation: float | None  # the templates' statistics
    rates: float | None  # free rates and further strengths
    why: str | None = None


@dataclass(frozen=True, slots=True)
class IntervalScore:
    """Quality of the intervals of mu: they should be narrow and have the stated coverage."""

    value: float  # -ln of width times a penalty on the coverage; the larger the better
    width: float  # mean
    coverage: float
    intervals: int


@dataclass(frozen=True, slots=True)
class ToySignificance:
    """Discovery significance from toys without signal: how often their q0 reaches the observed one."""

    value: float | None  # standard deviations; None if no toy (or every toy) reaches it
    p_value: float | None
    p_error: float | None  # binomial
    toys: int
    failed: int = 0
    why: str | None = None


@dataclass(frozen=True, slots=True)
class SignificanceResult:
    """Discovery significance (q0) in standard deviations, asymptotic: Cowan et al., arXiv:1007.1727."""

    expected: float | None  # of the Asimov data set at `mu`
    observed: float | None  # None without data
    mu: float = 1.0
    toys: ToySignificance | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class UpperLimit:
    """CLs upper limit on mu at 1 - `level` confidence."""

    observed: float | None  # None without data
    expected: float | None  # median without signal
    band: tuple[float, float, float, float] | None  # -2, -1, +1, +2 standard deviations about the median
    level: float = 0.05
    why: str | None = field(default=None)


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """The likelihood at values of one parameter."""

    parameter: str
    values: FloatArray  # [k]
    rise: FloatArray  # [k], -2 ln of L over its maximum, all other parameters fitted; NaN where there is no minimum
    fixed_rise: FloatArray  # [k], the same with all other parameters at their best values; NaN where L is zero
    best: float | None
    error: float | None  # from the curvature
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Goodness:
    """Goodness of fit: -2 ln of L over that of the saturated model."""

    value: float | None
    ndf: int
    p_value: float | None  # asymptotically a chi2 of ndf degrees of freedom
    toys_p_value: float | None = None  # share of the toys whose value is at least as large
    toys_p_error: float | None = None  # binomial
    toys: int = 0
    failed: int = 0
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Pruned:
    """An effect of a systematic that is left out of a fit."""

    systematic: str
    channel: str
    sample: str
    part: str  # "rate" or "shape"
    size: float  # largest change of the two sides: of the rate, or of a bin relative to its nominal content
    threshold: float

    @property
    def why(self) -> str:
        """The reason in words."""
        below = f"{self.size:.2g}, which is below {self.threshold:g}"
        if self.part == "rate":
            return f"it changes the rate by {below}"
        return f"with the sum kept, it changes no bin by more than {below}"


@dataclass(frozen=True, slots=True)
class Smoothed:
    """A variation whose ratio to the nominal contents was smoothed."""

    systematic: str
    channel: str
    sample: str
    change: float  # largest change of a bin by the smoothing, relative to its nominal content
