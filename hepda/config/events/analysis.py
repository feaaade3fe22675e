"""The analysis file of collider events as frozen types, with the checks that cross its sections."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Strict, model_validator

from hepda.config.base import BaseConfig
from hepda.config.events.checks import problems_of
from hepda.config.events.eras import FilesByEra, PositiveByEra, TextByEra, with_eras
from hepda.config.events.fit import FitConfig
from hepda.config.events.points import PointConfig
from hepda.config.events.reading import NormalisationConfig, ReadingConfig
from hepda.config.events.systematics import SystematicConfig
from hepda.config.models import ModelConfig, TrainingConfig
from hepda.config.section import (
    Bins,
    Columns,
    Expression,
    Fraction,
    Identifier,
    Name,
    Names,
    Positive,
    Range,
    Section,
    Strings,
)
from hepda.config.sets import CollectionConfig

Categories = Annotated[
    tuple[Annotated[int, Field(gt=-(2**24), lt=2**24)], ...], Strict(strict=False), Field(min_length=2, max_length=200)
]
"""Values of a categorical feature: whole numbers that float32 holds exactly."""


class TruthConfig(Section):
    """Of which class the events of pseudo-data are. Trainings never open these files."""

    files: Strings
    """Paths, globs or URLs, relative to the analysis file, with the branches of `split.key`."""
    signal: Expression | None = None
    """A condition over their branches; the other events are background. null: from `classes`."""
    classes: dict[Identifier, Expression] = Field(default_factory=dict)
    """A condition for each class of the analysis, of which exactly one holds for an event:
    `{ttH: is_signal == 1, ttb: (is_signal == 0) & (n_extra_b > 0), ...}`."""
    tree: str | None = None
    """Replaces the analysis's tree for these files."""


class SampleConfig(Section):
    """One process of one domain: its files and how it is normalised. Without a class it is data.

    Files, cross section, k factor, filter efficiency, sum of weights, weight and selection may be given by era,
    `{2016: ..., 2017: ...}`, if `luminosity` of the analysis is: it is then one sample for each era.
    """

    files: FilesByEra
    """Paths, globs or URLs, relative to the analysis file; or those of each era."""
    class_: Identifier | None = Field(default=None, alias="class")
    """The class of the events: any name, signal and background or several (ttH, ttb, ttc, ttlight); null for data,
    whose weight is 1. Which classes are signal: `signal` of the analysis."""
    domain: Name
    """The generator or the data: simulation, alternative, third, data, ..."""
    process: Name | None = None
    """The physics process, in any domain: domains are compared by processes that both have. null: from the names
    (`ttjets_alt` is the counterpart of `ttjets`)."""
    cross_section: PositiveByEra | None = None
    """The cross section in pb, branching fractions included; null: from the files (see `normalisation`)."""
    k_factor: PositiveByEra = 1.0
    """Correction of the cross section to a higher order; one that depends on a branch is a part of `weight`."""
    filter_efficiency: Annotated[PositiveByEra, Field(le=1.0)] = 1.0
    """The efficiency of the generator's filter, by which the cross section is multiplied."""
    scale: Positive = 1.0
    """A stated enhancement of the yield; 1 is the prediction of the theory."""
    sum_of_weights: PositiveByEra | Literal["file"] = "file"
    """The sum of weights of all generated events before any selection; `file`: summed over the sample's files."""
    use: Literal["train", "evaluate"] = "train"
    """`evaluate`: no model ever trains on it."""
    weight: TextByEra | None = None
    """Replaces the analysis's weight expression for this sample."""
    luminosity: Positive | None = None
    """Replaces the analysis's luminosity for this sample, in 1/fb: that of its era."""
    era: Name | None = None
    """The era that it is of; set for samples whose `files` are given by era."""
    normalisation: NormalisationConfig | None = None
    """Replaces the analysis's normalisation for this sample."""
    tree: str | None = None
    """Replaces the analysis's tree for this sample."""
    aliases: dict[Identifier, str] = Field(default_factory=dict)
    """Further names of branches: `jet_pt: Jet_pt_nom` makes jet_pt a name in the expressions of this sample."""
    variables: dict[Identifier, Expression] = Field(default_factory=dict)
    """Replace or add to the analysis's variables for this sample."""
    selection: TextByEra | None = None
    """Taken besides the analysis's selection: the part of the files that is this sample."""
    truth: TruthConfig | None = None
    """For pseudo-data: the files that contain their classes, so that the closure can scale their signal and their
    processes can be compared with those of the simulation."""
    label: str | None = None
    """Its name in figures."""
    color: str | None = None
    """Its colour in figures: any matplotlib colour."""

    @property
    def is_data(self) -> bool:
        """Recorded events (or pseudo-data): class unknown, weight 1."""
        return self.class_ is None


class PlotConfig(Section):
    """How one feature is drawn."""

    label: str | None = None
    """The label of the axis; null: the name of the feature. Text between dollar signs is mathematics."""
    unit: str | None = None
    """The unit, in brackets behind the label and behind the width of a bin; null: none."""
    bins: Bins = 40
    """The number of bins, all of equal width."""
    range: Range | None = None
    """Ends of the axis, the lower one first; null: from the events. What is outside counts to the end bins."""
    log: bool = False
    """Whether the number of events is on a logarithmic axis."""

    @model_validator(mode="after")
    def _can_be_drawn(self) -> PlotConfig:
        if self.range is not None and (self.range[1] - self.range[0]) / self.bins < 1e-12 * max(map(abs, self.range)):
            raise ValueError(f"range: {self.bins} bins from {self.range[0]!r} to {self.range[1]!r} are narrower than "
                             "the precision of numbers; give a wider range or fewer bins")  # fmt: skip
        return self


class SplitConfig(Section):
    """Which events train, validate and test: by hash of the event key, never by row order."""

    key: Strings = ("run", "event")
    """Branches that identify an event: run and event, only event, or more where these repeat (a luminosity block, a
    number of the sample)."""
    folds: Annotated[int, Field(ge=2, le=100)] = 2
    """Each event is scored by the networks that were trained on the other folds."""
    validation: Fraction = 0.2
    """Share of the training events that choose when to stop."""


class SignificanceConfig(Section):
    """The Asimov significance."""

    background_uncertainty: Annotated[float, Field(ge=0.0)] = 0.1
    """The systematic uncertainty of the background, as a fraction of it."""
    bins: Bins = 20
    """The largest number of bins of the score, for the significance that combines bins."""


class BiasConfig(Section):
    """Between which domains the scores are compared, and for which class."""

    class_: Literal["signal", "background"] = Field(default="background", alias="class")
    """The class whose scores are compared."""
    between: Annotated[Names, Field(min_length=2)]
    """The nominal domain against each of the others; no other domain is compared. Data may be among them: they are
    compared with all of the simulation."""


class FewLabelsConfig(Section):
    """How many labelled events of another domain a new last layer of a network needs to be better than the trained one.

    All other layers stay as they are. The labelled events are drawn from the validation events of the domain, and the
    result is judged on its other events.
    """

    domain: Name
    """The domain of the labelled events: a simulated one that is not the nominal domain."""
    events: Annotated[tuple[Annotated[int, Field(ge=1, le=100_000)], ...], Field(strict=False, min_length=1)] = (
        1, 3, 10, 30, 100, 300, 1000,
    )  # fmt: skip
    """Labelled events of each class."""
    draws: Annotated[int, Field(ge=5, le=1000)] = 20
    """How often they are drawn."""


class EvaluationConfig(Section):
    """What is measured on test events."""

    significance: SignificanceConfig = SignificanceConfig()
    """The expected significance of a cut on the score."""
    bias: BiasConfig | None = None
    """Which domains are compared; null: the background of every domain with that of the nominal one."""
    blind: Expression | None = "score > 0.5"
    """Data are blinded where this expression over `score` holds, and no number is taken from them; null unblinds."""
    events: Annotated[int, Field(ge=1000, le=10**12)] = 1_000_000
    """Simulated events of a class in a domain that are evaluated, at most; of more, that number is chosen by hash of
    their key, with larger weights. Data are all kept. The report and metrics.json contain what is thinned."""
    bootstrap: Annotated[int, Field(ge=0, le=100_000)] = 200
    """Replicas of the confidence intervals; at least 20 are drawn, which give the size of an interval to some 20 %."""
    working_points: Annotated[tuple[Fraction, ...], Field(strict=False, min_length=1)] = (0.3, 0.5, 0.7)
    """Signal efficiencies at which models are compared. Efficiency shifts between domains are given at 0.1, 0.2 and 0.3
    as well, the tail of the score where signal is searched for (`hepda check` prints all of them)."""
    probes: bool = True
    """Train fresh classifiers that try to distinguish the domains by inputs, embedding and score, and measure which
    inputs separate the domains, and which ones each model uses."""
    few_labels: FewLabelsConfig | None = None
    """How many labelled events of another domain a new last layer needs; null: not measured."""
    protected: Columns = ()
    """Features or columns that the score of a class should not depend on: its flatness against each is reported."""
    efficiency_against: Columns = ()
    """Features or columns against which the efficiency of the first working point is drawn."""


class AnalysisConfig(BaseConfig):
    """A complete analysis. Load it by `hepda.config.load_config`."""

    name: Name
    """The name of the analysis: run directory, figures and report have it."""
    kind: Literal["events"] = "events"
    """The kind of data: events of collisions."""
    luminosity: PositiveByEra
    """The integrated luminosity to which all yields refer, in 1/fb: one number, or that of each era,
    `{2016: 36.3, 2017: 41.5}`, of which the sum is used wherever all events are taken together."""
    eras: dict[Name, Positive] = Field(default_factory=dict)
    """The eras and their luminosities, in 1/fb; set from `luminosity`."""
    luminosity_label: str | None = None
    """How figures write it; null: from `luminosity`."""
    energy: Positive | None = 13.0
    """Of the collisions, in TeV, as figures write it; null: not written."""
    experiment_label: str | None = None
    """What figures write in bold over their axes, such as `CMS Private Work` or `ATLAS Internal`; null: Simulation,
    Data or Pseudo-data, by what they show."""
    tree: str | None = None
    """The name of the tree of events; null: the one that holds the events, where the file shows which that is."""
    reading: ReadingConfig = ReadingConfig()
    """What happens when a file does not open or breaks."""
    normalisation: NormalisationConfig | None = NormalisationConfig()
    """Where the files keep what the yields are normalised to; null: the weight expression is the physical weight
    already."""
    samples: Annotated[dict[Name, SampleConfig], Field(min_length=1)]
    """Processes by name; each becomes a part of one domain."""
    nominal: Name | None = None
    """The domain that models are trained on and that makes the templates of a fit, and with which every other domain is
    compared; null: that of the first sample."""
    signal: Annotated[Names, Field(min_length=1)] = ("signal",)
    """The classes that are signal, one or several: their yields are what a fit measures. All other classes are
    background."""
    stitched: dict[Name, dict[Name, Expression]] = Field(default_factory=dict)
    """Samples that overlap: for each group, the generated events that each of its samples covers, as a condition
    (`wjets: {w: "True", w1: LHE_Njets == 1}`). An event counts with the luminosities of all that cover it."""
    variables: dict[Identifier, Expression] = Field(default_factory=dict)
    """Named expressions over branches and one another."""
    selection: Expression | None = None
    """A condition that events have to meet; null: all are taken."""
    weight: Expression = "1"
    """Event weight of simulation, before the normalisation; never applied to data."""
    features: Strings
    """Names of variables or of flat branches, in the order that the models see."""
    categories: dict[str, Categories] = Field(default_factory=dict)
    """Features that are names of categories, not quantities, with their values: `{lepton_flavour: [11, 13]}`. Trees
    split them by sets of values; networks learn a vector for each value. A value that is not listed is a missing one
    for trees, and all such values have one vector in networks. Figures and probes take them as numbers."""
    collections: dict[Identifier, CollectionConfig] = Field(default_factory=dict)
    """Sets of objects by name, for models with a set encoder; flat models, probes and figures use `features` only."""
    missing: Annotated[float, Field(ge=-1e38, le=1e38)] = -1.0
    """The number that represents a missing value (no second b jet) in every feature, for every model."""
    columns: dict[Identifier, Expression] = Field(default_factory=dict)
    """Further numbers an event carries along; NaN where data lack their branches. `physical` is the physical
    weight: `b_up: physical * b_weight_up / b_weight` is a variation of it."""
    systematics: dict[Name, SystematicConfig] = Field(default_factory=dict)
    """What is uncertain in the templates of `hepda fit`; trainings do not use it."""
    fit: FitConfig | None = None
    """What `hepda fit` fits; null: one region, of the score in automatic bins."""
    plots: dict[str, PlotConfig] = Field(default_factory=dict)
    """How features are drawn, by name."""
    split: SplitConfig = SplitConfig()
    """Which events train, validate and test."""
    discriminants: dict[Identifier, Expression] = Field(default_factory=dict)
    """Named numbers of every model of several classes, made of the probabilities p_<class> of its classes:
    `d: p_ttH / (p_ttH + 0.7 * p_ttb + 0.3 * p_ttc)`. Each is a column of scores.parquet and a branch of `hepda apply`,
    and may be the score of a model (`score` of the model)."""
    labels: dict[Identifier, Expression] = Field(default_factory=dict)
    """Further questions about the truth of an event, with yes or no as answer, as conditions over variables and
    branches: `{extra_b: n_extra_b > 0, extra_c: n_extra_c > 0}`. An event may have several, or none; where a branch is
    missing, the answer is not known and the event does not count. Networks learn them (`labels` of the model)."""
    models: Annotated[dict[Name, ModelConfig], Field(min_length=1)]
    """What is trained, by name: networks and boosted trees."""
    working_points: dict[Name, PointConfig] = Field(default_factory=dict)
    """Named thresholds on outputs of models: chosen on some events, judged on the others, carried by `hepda apply`, and
    used by name in the regions of the fit (`passes`, `fails`)."""
    baseline: Name | None = None
    """The model with which the others are compared; null: `network`, or the first model if none has this name."""
    training: TrainingConfig = TrainingConfig()
    """How networks are trained, where a model's own `training:` has no other value."""
    negative_weights: Literal["keep", "absolute", "drop", "reject"] = "keep"
    """Policy of the training; evaluation keeps every sign."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """What is measured on test events."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """The seed of every random number: equal seeds give equal results."""

    @model_validator(mode="before")
    @classmethod
    def _seed_from_training(cls, data: Any) -> Any:
        """Move `training.seed`, another place for the seed of the analysis, to `seed`."""
        training = data.get("training") if isinstance(data, dict) else None
        if not isinstance(training, dict) or training.get("seed") is None:
            return data
        without_seed = {key: value for key, value in training.items() if key != "seed"}
        if data.get("seed", training["seed"]) != training["seed"]:
            raise ValueError("seed: differs from training.seed; give one of them.")
        return {**data, "training": without_seed, "seed": training["seed"]}

    @model_validator(mode="before")
    @classmethod
    def _sample_for_each_era(cls, data: Any) -> Any:
        """Make one sample for each era of those whose files are given by era."""
        return with_eras(data) if isinstance(data, dict) else data

    def problems(self) -> list[str]:
        """Return the problems that involve several sections."""
        return problems_of(self)

    @property
    def domains(self) -> tuple[str, ...]:
        """Domain names: the nominal domain, then the others in the order of the samples."""
        names = dict.fromkeys(sample.domain for sample in self.samples.values())
        first = [self.nominal] if self.nominal in names else []
        return tuple(dict.fromkeys([*first, *names]))

    @property
    def nominal_domain(self) -> str:
        """Return the domain that is trained on: `nominal`, or that of the first sample."""
        return self.domains[0]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names: those of `signal`, then the others in the order of the samples."""
        names = dict.fromkeys(sample.class_ for sample in self.samples.values() if sample.class_ is not None)
        signals = tuple(name for name in dict.fromkeys(self.signal) if name in names)
        return (*signals, *(name for name in names if name not in signals))

    def side_of(self, sample: str) -> Literal["background", "signal"] | None:
        """Return whether a sample is signal or background; None for data."""
        name = self.samples[sample].class_
        return None if name is None else "signal" if name in self.signal else "background"

    @property
    def baseline_model(self) -> str:
        """Return the model that the others are compared with: `baseline`, or else `network`, or else the first.

        Models that predict a number are compared with none; if there are no others, it is the first of them.
        """
        named = (name for name in (self.baseline, "network") if name in self.classifiers)
        return next(named, next(iter(self.classifiers), next(iter(self.models))))

    @property
    def classifiers(self) -> tuple[str, ...]:
        """Return the models that predict classes; the others predict a number."""
        return tuple(name for name, section in self.models.items() if section.regress is None)

    def training_samples(self, model: str) -> tuple[str, ...]:
        """Return the class-loss samples of `model`: its `train_on`, or the labelled ones of the nominal domain."""
        named = self.models[model].train_on
        if named is not None:
            return named
        return tuple(
            name
            for name, sample in self.samples.items()
            if sample.class_ is not None and sample.use == "train" and sample.domain == self.nominal_domain
        )


def _as_given(value: Any) -> Any:
    """Return the value: what is written in the file is read by hepda.config.files, and is a mapping here."""
    return value


IncludedAnalysis = Annotated[AnalysisConfig, BeforeValidator(_as_given, json_schema_input_type=str | dict[str, Any])]
"""The type of a key `analysis`."""
