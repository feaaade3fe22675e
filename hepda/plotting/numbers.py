"""Structural types of evaluation's dataclasses for the figures: plotting imports nothing from the evaluation.

Only the attributes that are drawn are named; any object with these attributes is accepted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class IntervalLike(Protocol):
    """A value and its interval."""

    @property
    def value(self) -> float: ...  # noqa: D102
    @property
    def low(self) -> float: ...  # noqa: D102
    @property
    def high(self) -> float: ...  # noqa: D102


class RocBandLike(Protocol):
    """Background efficiency [g] at signal efficiencies [g], with its interval."""

    @property
    def signal_efficiency(self) -> Floats: ...  # noqa: D102
    @property
    def background_efficiency(self) -> Floats: ...  # noqa: D102
    @property
    def low(self) -> Floats: ...  # noqa: D102
    @property
    def high(self) -> Floats: ...  # noqa: D102


class ShiftLike(Protocol):
    """The relative shift of an efficiency at one working point; None where it could not be computed."""

    @property
    def signal_efficiency(self) -> float: ...  # noqa: D102
    @property
    def shift(self) -> float | None: ...  # noqa: D102
    @property
    def error(self) -> float | None: ...  # noqa: D102
    @property
    def upper(self) -> float | None: ...  # noqa: D102


class ShiftRatioLike(Protocol):
    """The ratio of an adapted model's shift to that of the baseline at a signal efficiency."""

    @property
    def signal_efficiency(self) -> float: ...  # noqa: D102
    @property
    def ratio(self) -> Any: ...  # noqa: D102 - IntervalLike or None
    @property
    def resolved(self) -> bool: ...  # noqa: D102


class NullLike(Protocol):
    """The quantile of a statistic between parts of one sample."""

    @property
    def level(self) -> float: ...  # noqa: D102
    @property
    def quantile(self) -> float: ...  # noqa: D102


class BiasLike(Protocol):
    """A KS distance and its null."""

    @property
    def ks(self) -> float: ...  # noqa: D102
    @property
    def null(self) -> Any: ...  # noqa: D102 - NullLike or None; Any keeps frozen unions out of the protocol


class SignificanceLike(Protocol):
    """The best cut and its significance."""

    @property
    def value(self) -> float | None: ...  # noqa: D102
    @property
    def cut(self) -> float | None: ...  # noqa: D102


class SignificanceScanLike(Protocol):
    """Significance against the cut [m]; NaN where it is not defined."""

    @property
    def cut(self) -> Floats: ...  # noqa: D102
    @property
    def signal(self) -> Floats: ...  # noqa: D102
    @property
    def background_n_eff(self) -> Floats: ...  # noqa: D102
    @property
    def best(self) -> Any: ...  # noqa: D102 - SignificanceLike; Any keeps frozen unions out of the protocol
    @property
    def best_with_uncertainty(self) -> Any: ...  # noqa: D102
    @property
    def best_with_bias(self) -> Any: ...  # noqa: D102
    @property
    def asimov(self) -> Floats: ...  # noqa: D102
    @property
    def asimov_with_uncertainty(self) -> Floats: ...  # noqa: D102
    @property
    def asimov_with_bias(self) -> Floats | None: ...  # noqa: D102


class CalibrationLike(Protocol):
    """Signal fraction and mean score in bins of the score [b]."""

    @property
    def mean_score(self) -> Floats: ...  # noqa: D102
    @property
    def fraction(self) -> Floats: ...  # noqa: D102
    @property
    def error(self) -> Floats: ...  # noqa: D102


class EfficiencyCurveLike(Protocol):
    """Efficiency of a cut in bins of a variable [b]; NaN where it is not defined."""

    @property
    def edges(self) -> Floats: ...  # noqa: D102
    @property
    def efficiency(self) -> Floats: ...  # noqa: D102
    @property
    def error(self) -> Floats: ...  # noqa: D102


class ImportanceLike(Protocol):
    """Decrease of an AUC if an input is shuffled [k], largest first."""

    @property
    def names(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def drop(self) -> Floats: ...  # noqa: D102
    @property
    def error(self) -> Floats: ...  # noqa: D102


class OvertrainingLike(Protocol):
    """Normalised densities of the score on training and test events [b], and their KS."""

    @property
    def edges(self) -> Floats: ...  # noqa: D102
    @property
    def train(self) -> Floats: ...  # noqa: D102
    @property
    def train_error(self) -> Floats: ...  # noqa: D102
    @property
    def test(self) -> Floats: ...  # noqa: D102
    @property
    def test_error(self) -> Floats: ...  # noqa: D102
    @property
    def ks(self) -> float: ...  # noqa: D102
    @property
    def p_value(self) -> float: ...  # noqa: D102
    @property
    def p_is_limit(self) -> bool: ...  # noqa: D102


class ClosureLike(Protocol):
    """A fitted signal strength, its error, the truth, and the part of the finite pseudo-data."""

    @property
    def mu(self) -> float | None: ...  # noqa: D102
    @property
    def error(self) -> float | None: ...  # noqa: D102
    @property
    def truth(self) -> float: ...  # noqa: D102
    @property
    def sample_error(self) -> float | None: ...  # noqa: D102


class ParameterLike(Protocol):
    """A fitted parameter relative to its prior; `pull` is None without a prior."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def pull(self) -> float | None: ...  # noqa: D102
    @property
    def constraint(self) -> float | None: ...  # noqa: D102


class ImpactLike(Protocol):
    """The impact of a nuisance parameter on mu."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def pull(self) -> float: ...  # noqa: D102
    @property
    def constraint(self) -> float: ...  # noqa: D102
    @property
    def mu_up(self) -> float | None: ...  # noqa: D102
    @property
    def mu_down(self) -> float | None: ...  # noqa: D102


class FitResultLike(Protocol):
    """A fit of templates: contents [b] before and after, parameters and their correlation."""

    @property
    def mu(self) -> float | None: ...  # noqa: D102
    @property
    def error(self) -> float | None: ...  # noqa: D102
    @property
    def parameters(self) -> Sequence[ParameterLike]: ...  # noqa: D102
    @property
    def correlation(self) -> Floats: ...  # noqa: D102
    @property
    def edges(self) -> Floats: ...  # noqa: D102
    @property
    def observed(self) -> Floats: ...  # noqa: D102
    @property
    def prefit(self) -> Floats: ...  # noqa: D102
    @property
    def fitted(self) -> Floats: ...  # noqa: D102
    @property
    def fitted_error(self) -> Floats: ...  # noqa: D102
    @property
    def samples(self) -> Mapping[str, Floats]: ...  # noqa: D102
    @property
    def signal(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def p_value(self) -> float | None: ...  # noqa: D102


class CoverageLike(Protocol):
    """How often the interval of toys contains the truth."""

    @property
    def truth(self) -> float: ...  # noqa: D102
    @property
    def coverage(self) -> float: ...  # noqa: D102
    @property
    def coverage_error(self) -> float: ...  # noqa: D102
