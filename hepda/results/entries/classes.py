"""Numbers of a model that predicts several classes: dataclasses, and their entries in metrics.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import Field

from hepda.results.entries.decomposition import Contribution
from hepda.results.evaluation import CalibrationCurve, FloatArray, Interval, Roc, RocBand
from hepda.results.record import Measured, Number, Record

ClassPair = tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class ConfusionMatrix:
    """Signed sums of weights by true and predicted class, and their shares; NaN where a sum is not positive.

    A row is a true class, a column a predicted one: the one with the largest output. efficiency: of all events of the
    true class; purity: of all events with this prediction, at the mixture of the domain.
    """

    names: tuple[str, ...]
    sumw: FloatArray  # [k, k]
    sumw2: FloatArray  # [k, k]
    efficiency: FloatArray  # [k, k], rows add up to one
    efficiency_error: FloatArray  # [k, k]
    purity: FloatArray  # [k, k], columns add up to one
    purity_error: FloatArray  # [k, k]
    accuracy: Contribution  # share of the yield that is predicted right
    balanced_accuracy: Contribution | None  # mean efficiency of the classes; None if one has no positive sum of weights


class ClassEfficiency(NamedTuple):
    """Efficiency of one class at a cut, and its rejection (None where no event passes), with errors."""

    efficiency: float
    efficiency_error: float
    rejection: float | None
    rejection_error: float | None
    limit: float | None = None  # of the efficiency at 95 % confidence, where no event passes


@dataclass(frozen=True, slots=True)
class ClassWorkingPoint:
    """A cut on the output of one class that keeps a share of it in the source, and the efficiency of every class."""

    kept: str
    requested: float
    cut: float
    classes: Mapping[str, ClassEfficiency]  # those with a positive sum of weights


@dataclass(slots=True)
class ClassNumbers:
    """The numbers of one model in one domain; a text in place of a number is the reason why there is none."""

    names: tuple[str, ...]
    against_rest: dict[str, tuple[Roc, RocBand] | str] = field(default_factory=dict)
    against_one: dict[ClassPair, Interval | str] = field(default_factory=dict)
    confusion: ConfusionMatrix | None = None
    working: dict[str, tuple[ClassWorkingPoint, ...]] = field(default_factory=dict)  # by the class that is kept
    calibration: dict[str, CalibrationCurve | str] = field(default_factory=dict)


# --- metrics.json -------------------------------------------------------------------------------------------------


class ConfusionEntry(Record):
    """models.<model>.classes.domains.<domain>.confusion: rows are true classes, columns predicted ones."""

    sumw: list[list[Number]]
    """Expected events."""
    efficiency: list[list[Number | None] | None]
    """Share of the events of the true class; a row adds up to one. Null for a class without events."""
    efficiency_error: list[list[Number | None] | None]
    purity: list[list[Number | None] | None]
    """Share of the events with this prediction, at the mixture of the domain; a column adds up to one."""
    purity_error: list[list[Number | None] | None]
    accuracy: Measured
    balanced_accuracy: Measured | None = None
    """Mean efficiency of the classes."""
    why: str | None = None


class ClassPointEntry(Record):
    """The efficiency of each class at a cut on the output of one class, and the rejections 1 / efficiency."""

    cut: Number
    efficiency: Mapping[str, Measured] = Field(default_factory=dict)
    rejection: Mapping[str, Measured] = Field(default_factory=dict)
    efficiency_upper_limit: Mapping[str, Number] = Field(default_factory=dict)
    """At 95 % confidence, where no event of the class passes."""


class ClassCalibrationEntry(Record):
    """Calibration of the output of one class, with all classes scaled to the same yield."""

    expected_error: Number | None = None
    why: str | None = None


class DomainClassesEntry(Record):
    """models.<model>.classes.domains.<domain>: separation of the classes in one domain."""

    auc: Mapping[str, Measured] = Field(default_factory=dict)
    """One against the rest: by the class whose output is the score."""
    auc_pairs: Mapping[str, Measured] = Field(default_factory=dict)
    """One against one: "<a>:<b>", by p_a / (p_a + p_b)."""
    confusion: ConfusionEntry | None = None
    working_points: Mapping[str, Mapping[str, ClassPointEntry]] = Field(default_factory=dict)
    """By the class that is kept and its efficiency in the nominal domain."""
    calibration: Mapping[str, ClassCalibrationEntry] = Field(default_factory=dict)


class ClassesEntry(Record):
    """models.<model>.classes: the numbers of several classes."""

    outputs: list[str] = Field(default_factory=list)
    """The classes that the model predicts; empty for a model of signal against the rest."""
    domains: Mapping[str, DomainClassesEntry] = Field(default_factory=dict)
    score_auc: Mapping[str, Mapping[str, Measured]] = Field(default_factory=dict)
    """AUC of the score for all signal against one other class, by domain and class."""
