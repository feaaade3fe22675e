"""Thresholds that were chosen on some events and judged on others: the types of their numbers, and their entries in
metrics.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import Field

from hepda.results.evaluation import Interval
from hepda.results.record import Measured, Number, Record


@dataclass(frozen=True, slots=True)
class ChosenThreshold:
    """A threshold and the events that chose it.

    Attributes:
        threshold: an event passes if its score is at least this value; the interval is that of replicas of the
            choosing events, each of which chooses anew.
        on_choosing: the value of the objective on the events that chose the threshold: biased upwards, because the
            threshold is the one at which their fluctuations are most favourable.
        n_eff: effective number of the choosing events.
        why: why there is no threshold, or what is to be known of it.

    """

    threshold: Interval | None
    on_choosing: float | None
    n_eff: float
    why: str | None = None


@dataclass(frozen=True, slots=True)
class MacroScore:
    """F1 of several labels at one set of thresholds, on events that did not choose them.

    Attributes:
        macro: the mean over the labels.
        labels: by label; a text is the reason why there is no value.
        difference: of the macro F1 to that of the first set of thresholds, on the same replicas of the events; None
            for the first set itself.

    """

    macro: Interval | str
    labels: Mapping[str, Interval | str] = field(default_factory=dict)
    difference: Interval | None = None


class JudgedEfficiencies(Record):
    """models.<model>.thresholds.<point>.domains.<domain>: what passes, of the events that did not choose."""

    class_efficiency: Number | None = None
    """Of the class that the point selects."""
    class_efficiency_error: Number | None = None
    rest_efficiency: Number | None = None
    """Of all other classes together."""
    rest_efficiency_error: Number | None = None
    rest_efficiency_upper_limit: Number | None = None
    """At 95 % confidence, where no event of the other classes passes."""
    f1: Number | None = None
    """Weighted F1 of the class, at the yields of the domain."""
    significance: Number | None = None
    """Asimov significance with the uncertainty of the background, at the yields of the domain."""
    why: str | None = None


class ThresholdEntry(Record):
    """models.<model>.thresholds.<point>: a named working point."""

    objective: str
    """What the threshold was chosen for."""
    output: str
    """The output of the model that is cut: `score`, `p_<class>`, `p_<label>` or a discriminant."""
    selects: str | None = None
    """The class, label or side that is wanted; all other events are the rest."""
    threshold: Measured
    """An event passes if the output is at least this value."""
    value: Measured
    """The objective on the events that did not choose the threshold."""
    value_on_choosing_events: Number | None = None
    """The objective on the events that chose it: too good on average."""
    chosen_on: str | None = None
    """Which events chose the threshold."""
    domain: str | None = None
    """The other domain of `equal_background`."""
    n_eff: Mapping[str, Number] = Field(default_factory=dict)
    """Effective events that chose (`choosing`) and that judged (`judging`)."""
    domains: Mapping[str, JudgedEfficiencies] = Field(default_factory=dict)
    why: str | None = None


class MacroEntry(Record):
    """models.<model>.labels.domains.<domain>.f1.<thresholds>: weighted F1 at one set of thresholds."""

    macro: Measured
    """Mean over the labels."""
    labels: Mapping[str, Measured] = Field(default_factory=dict)
    difference: Measured | None = None
    """Of the macro F1 to that at 0.5, on the same events."""


class DomainLabels(Record):
    """models.<model>.labels.domains.<domain>."""

    auc: Mapping[str, Measured] = Field(default_factory=dict)
    """By label."""
    f1: Mapping[str, MacroEntry] = Field(default_factory=dict)
    """At `half` (0.5 for every label) and at `chosen` thresholds, on events that did not choose."""


class LabelsEntry(Record):
    """models.<model>.labels: the labels that the model learns besides the classes."""

    thresholds: Mapping[str, Measured] = Field(default_factory=dict)
    """By label, with the largest F1 on the choosing events of the nominal domain."""
    chosen_on: str | None = None
    """Which events chose the thresholds."""
    domains: Mapping[str, DomainLabels] = Field(default_factory=dict)
