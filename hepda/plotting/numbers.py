"""What the figures read of evaluation's dataclasses. Structural types: plotting imports nothing of the
evaluation.

Only the attributes that are drawn are named; anything that has them will do.
"""

from __future__ import annotations

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
