"""metrics.json of collider events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field

from hepda.results.entries.classes import ClassesEntry
from hepda.results.entries.decomposition import DecompositionEntry
from hepda.results.entries.few_labels import FewLabelsEntry
from hepda.results.entries.regression import RegressionEntry
from hepda.results.entries.thresholds import LabelsEntry, ThresholdEntry
from hepda.results.metrics import ModelMetrics, RunMetrics
from hepda.results.record import Measured, Number, Record, Value

BY_CONVENTION = "network"
"""Name of the baseline of a run that was written without one in its head."""


class EventSample(Record):
    """samples.<sample>: the selected events."""

    class_name: str | None = Field(None, alias="class")
    domain: str | None = None
    use: str | None = None
    """`train` or `evaluate`."""
    entries: Number | None = None
    selected: Number | None = None
    yield_: Number | None = Field(None, alias="yield")
    yield_error: Number | None = None
    n_eff: Number | None = None
    negative_fraction: Number | None = None
    scale: Number | None = None
    """Factor on the predicted yield, if it is not 1; all yields, weights and errors include it."""
    why: str | None = None


class MatchedSamples(Record):
    """Samples of the nominal domain and of the other one."""

    source: list[str] = Field(default_factory=list)
    other: list[str] = Field(default_factory=list)


class ComparedProcesses(Record):
    """processes.<source>:<other>.<class>: which samples are of the same process, by its name."""

    compared: Mapping[str, MatchedSamples]
    without_counterpart: MatchedSamples
    why: str | None = None


class ModelSetup(Record):
    """models.<model>.setup: a description as text."""

    kind: str | None = None
    class_loss: list[str] = Field(default_factory=list)
    """Samples that it learns the classes from."""
    classes: list[str] = Field(default_factory=list)
    """The classes that it predicts; empty for signal against the rest."""
    members: int | None = None
    strength: Number | None = None
    adaptation: str | None = None


class BiasEntry(Record):
    """models.<model>.bias.<source>:<other>: differences of the score of the compared class."""

    class_name: str | None = Field(None, alias="class")
    ks: Value = None
    ks_error: Number | None = None
    """One standard deviation, from sumw2 of both domains."""
    ks_null: Value = None
    """What two parts of one generator reach."""
    wasserstein: Value = None
    chi2_ndf: Value = None
    jensen_shannon: Value = None
    energy: Value = None
    p_value: Value = None
    """Of the KS, by permutation."""
    efficiency_shift: Mapping[str, Value] = Field(default_factory=dict)
    """By signal efficiency."""
    efficiency_shift_error: Mapping[str, Number | None] = Field(default_factory=dict)
    efficiency_shift_null: Mapping[str, Measured] = Field(default_factory=dict)
    """Where 95 % of the shifts between two samples of one generator are, by signal efficiency."""
    n_eff: Mapping[str, Number | None] = Field(default_factory=dict)
    p_value_is_upper_limit: bool = False
    efficiency_shift_upper_limit: Mapping[str, Value] = Field(default_factory=dict)
    why: str | None = None


class StatisticEntry(Record):
    """models.<model>.tests.<source>:<other>.<class>.<statistic>."""

    value: Value = None
    p_value: Value = None
    null: Value = None
    p_value_is_upper_limit: bool = False
    why: str | None = None


class ShiftRatioEntry(Measured):
    """models.<model>.shift_ratio.<source>:<other>.<efficiency>: the ratio of two shifts, and the shifts."""

    plain: Measured | None = None
    """Shift of the baseline."""
    adapted: Measured | None = None
    """Shift of the model."""
    resolved: bool = False


class VerdictPoint(Record):
    """models.<model>.verdict.points.<efficiency>: the conclusion at one signal efficiency."""

    judgement: str
    text: str | None = None


class Verdict(Record):
    """models.<model>.verdict: whether the bias decreased."""

    domain: str | None = None
    third: str | None = None
    """The held-out domain."""
    adapted: bool = True
    points: Mapping[str, VerdictPoint] = Field(default_factory=dict)


class DomainAuc(Record):
    """models.<model>.domain_auc.<source>:<other>: AUC of trees that separate the domains, by representation."""

    score: Value = None
    embedding: Value = None
    inputs: Value = None
    embedding_why: str | None = None
    why: str | None = None


class ProbeEntry(Record):
    """AUC of newly trained classifiers of the domains, by representation."""

    bdt: Mapping[str, Value] | None = None
    mlp: Mapping[str, Value] | None = None
    why: str | None = None


class Ends(Record):
    """An interval without its value."""

    low: Number | None = None
    high: Number | None = None


class SignificanceEntry(Record):
    """models.<model>.significance: expected discovery significance."""

    asimov: Value = None
    asimov_with_uncertainty: Value = None
    asimov_with_bias: Value = None
    binned: Value = None
    asimov_error: Number | None = None
    asimov_interval: Ends | None = None
    asimov_with_uncertainty_error: Number | None = None
    asimov_with_uncertainty_interval: Ends | None = None
    asimov_with_bias_error: Number | None = None
    asimov_with_bias_interval: Ends | None = None
    asimov_naive: Number | None = None
    """At the best cut of the same events: too good, as the cut is the one at which they fluctuate upwards."""
    asimov_with_uncertainty_naive: Number | None = None
    asimov_with_bias_naive: Number | None = None
    bias_from: str | None = None
    """The domain whose difference is an uncertainty."""
    why: str | None = None


class WorkingPointEntry(Record):
    """models.<model>.working_points.<efficiency>.<domain>."""

    signal_efficiency: Number | None = None
    signal_efficiency_error: Number | None = None
    background_efficiency: Number | None = None
    background_efficiency_error: Number | None = None
    rejection: Number | None = None
    rejection_error: Number | None = None
    background_efficiency_upper_limit: Number | None = None
    """At 95 % confidence, where no background passes."""
    significance: Number | None = None
    why: str | None = None


class CalibrationEntry(Record):
    """models.<model>.calibration.<domain>."""

    expected_error: Number | None = None
    why: str | None = None


class BinsEntry(Record):
    """models.<model>.bins.<domain>.<class>."""

    bins: Number | None = None
    empty: Number | None = None
    negative: Number | None = None
    lowest_n_eff: Number | None = None


class ClassOvertraining(Record):
    """models.<model>.overtraining.<class>."""

    ks: Number | None = None
    p_value: Number | None = None
    p_value_is_upper_limit: bool = False


class Overtraining(Record):
    """models.<model>.overtraining: by class; or nulls with the reason."""

    signal: ClassOvertraining | None = None
    background: ClassOvertraining | None = None
    ks: None = None
    p_value: None = None
    why: str | None = None

    def of(self, class_name: str) -> ClassOvertraining | None:
        """Return the test of `signal` or `background`."""
        return self.signal if class_name == "signal" else self.background


class FlatnessEntry(Record):
    """models.<model>.flatness.<variable>.<class>."""

    cvm: Number | None = None
    ks: Number | None = None
    p_value: Number | None = None
    p_value_is_upper_limit: bool = False
    why: str | None = None


class SpreadEntry(Record):
    """Standard deviation between trainings, and the error of their mean."""

    spread: Number | None = None
    error: Number | None = None


class TrainingNoiseEntry(Record):
    """models.<model>.training_noise."""

    over: str
    trainings: int
    auc: SpreadEntry | None = None
    efficiency_shift: Mapping[str, Mapping[str, SpreadEntry]] = Field(default_factory=dict)
    """By pair of domains and signal efficiency."""


class BeforeAfter(Record):
    """A number before and after a reweighting."""

    before: Value = None
    after: Value = None


class ReweightingEntry(Record):
    """models.<model>.reweight and .domain_reweight: means over trainings."""

    clipped: Number | None = None
    n_eff: BeforeAfter = BeforeAfter()
    domain_auc: BeforeAfter = BeforeAfter()


REMOVED = ("closure",)
"""Keys that runs of an earlier hepda have, and that are no metrics by domain."""


class ImportanceEntry(Record):
    """models.<model>.importance: which inputs a model separates the classes by, in the nominal domain."""

    auc: Number | None = None
    """Of the events that were taken, with nothing shuffled."""
    events: Number | None = None
    inputs: Mapping[str, Measured] = Field(default_factory=dict)
    """Decrease of the AUC if the input is shuffled, the largest first."""
    why: str | None = None


class EventModel(ModelMetrics):
    """models.<model> of events. Further keys are metrics by domain, which get a table of the form of `auc`."""

    model_config = ConfigDict(extra="allow")

    setup: ModelSetup | None = None
    auc: Mapping[str, Value] = Field(default_factory=dict)
    """By domain."""
    auc_difference: Mapping[str, Value] = Field(default_factory=dict)
    """To the baseline on the same events, by domain."""
    shift_ratio: Mapping[str, Mapping[str, ShiftRatioEntry]] = Field(default_factory=dict)
    verdict: Verdict | None = None
    bias: Mapping[str, BiasEntry] = Field(default_factory=dict)
    tests: Mapping[str, Mapping[str, Mapping[str, StatisticEntry]]] = Field(default_factory=dict)
    decomposition: Mapping[str, DecompositionEntry] = Field(default_factory=dict)
    """By pair of domains whose compared class has several processes that are known in both."""
    domain_auc: Mapping[str, DomainAuc] = Field(default_factory=dict)
    probes: Mapping[str, Mapping[str, ProbeEntry]] = Field(default_factory=dict)
    significance: SignificanceEntry | None = None
    working_points: Mapping[str, Mapping[str, WorkingPointEntry]] = Field(default_factory=dict)
    importance: ImportanceEntry | None = None
    """Not in a run of an earlier hepda, or without `evaluation.probes`."""
    thresholds: Mapping[str, ThresholdEntry] = Field(default_factory=dict)
    """By the name of the working point (`working_points` of the analysis file)."""
    labels: LabelsEntry | None = None
    """Only of a model with labels."""
    few_labels: FewLabelsEntry | None = None
    """Only of a network, with `evaluation.few_labels`."""
    classes: ClassesEntry | None = None
    """Only with more than two classes."""
    regression: RegressionEntry | None = None
    """Only of a model that predicts a number, which has no other numbers."""
    calibration: Mapping[str, CalibrationEntry] = Field(default_factory=dict)
    bins: Mapping[str, Mapping[str, BinsEntry]] = Field(default_factory=dict)
    overtraining: Overtraining | None = None
    flatness: Mapping[str, Mapping[str, FlatnessEntry]] = Field(default_factory=dict)
    training_noise: TrainingNoiseEntry | None = None
    reweight: ReweightingEntry | None = None
    domain_reweight: ReweightingEntry | None = None

    @property
    def further(self) -> dict[str, Mapping[str, Value]]:
        """Return the further metrics, by name and domain."""
        extra: dict[str, Any] = self.model_extra or {}
        return {
            name: {domain: _value(value) for domain, value in by_domain.items()}
            for name, by_domain in extra.items()
            if name not in REMOVED and isinstance(by_domain, Mapping)
        }


def _value(value: Any) -> Value:
    return Measured.from_json(value) if isinstance(value, Mapping) else value


class Prior(Measured):
    """guards.class_priors.<domain>: share of signal, and the ratio of its odds to those of the nominal domain."""

    odds_ratio: Number | None = None


class NotComputed(Record):
    """A null with its reason."""

    value: None
    why: str


class AucPair(Record):
    """AUC of the domains and of the classes."""

    domains: Value = None
    classes: Value = None


class Removal(Record):
    """guards.removal.<source>:<other>: AUC by the number of inputs that are removed."""

    inputs: list[str] = Field(default_factory=list)
    without: Mapping[str, AucPair] | None = None
    why: str | None = None


class GradientCosine(Record):
    """guards.gradient_cosine.<model>: in the first and in the last third of a training."""

    first: Number
    last: Number


class SeparationEntry(Measured):
    """guards.separation.<input>: TMVA's separation of signal and background by one input, and its AUC as a score."""

    auc: Number | None = None


class Diagnostics(Record):
    """guards: what could deceive."""

    class_priors: Mapping[str, Prior] = Field(default_factory=dict)
    inputs: Mapping[str, Mapping[str, ProbeEntry]] = Field(default_factory=dict)
    separation: Mapping[str, SeparationEntry] = Field(default_factory=dict)
    importance: Mapping[str, NotComputed | Mapping[str, Measured]] = Field(default_factory=dict)
    removal: Mapping[str, Removal] = Field(default_factory=dict)
    gradient_cosine: Mapping[str, GradientCosine] = Field(default_factory=dict)
    warnings: list[str] = Field(default_factory=list)


class TestedOn(Record):
    """training_bias.models.<model>.tested_on.<domain>."""

    auc: Value = None
    auc_difference: Value = None
    background_efficiency: Value = None


class TrainedOn(Record):
    """training_bias.models.<model>."""

    trained_on: str
    tested_on: Mapping[str, TestedOn]


class TrainingBias(Record):
    """training_bias: models by the domains of their training, on the events of every domain."""

    signal_efficiency: Number | None = None
    models: Mapping[str, TrainedOn] = Field(default_factory=dict)


class EventMetrics(RunMetrics):
    """metrics.json of events."""

    kind: Literal["events"] | None = None
    nominal: str | None = None
    """The nominal domain; None in a run that was written without it."""
    baseline: str | None = None
    """The model without adaptation that the others are compared with; None in a run that was written without it."""
    luminosity: Number | None = None
    judged: Mapping[str, Number] | None = None
    """Share of the events that were evaluated, where it is not 1."""
    samples: Mapping[str, EventSample] = Field(default_factory=dict)
    processes: Mapping[str, Mapping[str, ComparedProcesses]] = Field(default_factory=dict)
    models: Mapping[str, EventModel] = Field(default_factory=dict)
    guards: Diagnostics = Diagnostics()
    training_bias: TrainingBias | None = None

    @property
    def diagnostics(self) -> list[str]:
        """Return the warnings of the diagnostics."""
        return self.guards.warnings

    @property
    def classifiers(self) -> dict[str, EventModel]:
        """Return the models that predict classes, by a score."""
        return {name: model for name, model in self.models.items() if model.regression is None}

    @property
    def regressions(self) -> dict[str, RegressionEntry]:
        """Return the numbers of the models that predict a number."""
        return {name: model.regression for name, model in self.models.items() if model.regression is not None}

    @property
    def pairs(self) -> list[str]:
        """Return the pairs of domains "<source>:<other>" for which any model has a bias, in their order."""
        return list(dict.fromkeys(pair for model in self.models.values() for pair in model.bias))

    @property
    def held_out(self) -> set[str]:
        """Return the simulated domains that no training saw: all their samples are for evaluation only."""
        uses: dict[str | None, set[str | None]] = {}
        for sample in self.samples.values():
            uses.setdefault(sample.domain, set()).add(sample.use)
        return {str(domain) for domain, words in uses.items() if words == {"evaluate"} and domain != "data"}

    @property
    def baseline_model(self) -> str:
        """Return the baseline: that of the head, else `network`, else the first model; "" if there is no model."""
        known = self.classifiers
        if self.baseline in known:
            return str(self.baseline)
        return BY_CONVENTION if BY_CONVENTION in known else next(iter(known), "")
