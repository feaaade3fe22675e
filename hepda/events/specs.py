"""The parts of the analysis file about a model, the table of events and figures, resolved for those that need them.

`hepda.events.resolve` makes these of an analysis file; they can be made by hand as well, for a library without one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from hepda.config import (
    DomainConfig,
    EventFusionConfig,
    ModelConfig,
    NetworkConfig,
    NormalisationConfig,
    PlotConfig,
    ReadingConfig,
    SampleConfig,
    SplitConfig,
)
from hepda.config.events.fit import PruningConfig, Role
from hepda.config.events.points import PointConfig
from hepda.config.events.systematics import SystematicConfig
from hepda.config.events.variations import Variation
from hepda.config.models import RegressionConfig
from hepda.config.sets import CollectionConfig

if TYPE_CHECKING:
    from hepda.events.table.feature_table import FeatureTable

Policy = str
"""What a training does with negative weights: keep, absolute, drop, reject."""
LABEL = "label:"
"""Before the name of a label: its column in the table, 1 where it holds, 0 where not, NaN where it is not known."""
ClassName = Literal["background", "signal"]
"""A side of the classification: the signal classes together, or all other classes together."""


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of events, which follow from their samples.

    names: the signal classes, then the others in the order of the samples; signal: the signal classes; of_sample: the
    class of each sample, None for data.
    """

    names: tuple[str, ...] = ("signal", "background")
    signal: tuple[str, ...] = ("signal",)
    of_sample: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def background(self) -> tuple[str, ...]:
        """Return the classes that are not signal."""
        return tuple(name for name in self.names if name not in self.signal)

    @property
    def is_binary(self) -> bool:
        """Return whether there are only two classes: a model then has one score."""
        return len(self.names) <= 2

    def side_of(self, sample: str) -> ClassName | None:
        """Return whether a sample is signal or background; None for data."""
        name = self.of_sample.get(sample)
        return None if name is None else "signal" if name in self.signal else "background"

    def samples_of(self, name: str) -> tuple[str, ...]:
        """Return the samples of a class, in any domain."""
        return tuple(sample for sample, of in self.of_sample.items() if of == name)

    def index(self, table: FeatureTable, rows: NDArray[np.int32] | slice | None = None) -> NDArray[np.int8]:
        """Return the position in `names` of the class of each event [n]; -1 for data.

        Args:
            table: the events.
            rows: row numbers or a slice; None means all events.

        """
        of_samples = [self.of_sample.get(sample) for sample in table.sample_names]
        positions = np.array([-1 if name is None else self.names.index(name) for name in of_samples], dtype=np.int8)
        return positions[table.sample if rows is None else table.sample[rows]]


@dataclass(frozen=True, slots=True)
class PointSpec:
    """A named working point of a model.

    section: its section of the analysis file; selects: `signal`, a class or a label; domain: the other domain of
    `equal_background`; uncertainty: the relative uncertainty of the background.
    """

    section: PointConfig
    selects: str = "signal"
    domain: str | None = None
    uncertainty: float = 0.1


@dataclass(frozen=True, slots=True)
class Cut:
    """The chosen threshold of a working point: an event passes if the output is at least this value."""

    output: str
    threshold: float


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model and what is resolved of its training.

    section: its section of the analysis file; samples: those of its class loss; trained_on: the domains of these
    samples; adapted_to: the domains of the target of its domain loss or of its reweighting; seed: of its trainings;
    folds: number of folds; negative_weights: the policy; missing: the number for a missing value in a feature;
    grouping: the classes of the analysis; discriminants: expressions over p_<class> by name; variations: of the events
    of the source, if these are the target domains; domain_classes: those that the domain loss compares one by one;
    collections: what a set encoder reads, empty for a model of flat features; categories: the values of categorical
    features by name, among the flat features that it reads; points: its working points by name; cuts: their thresholds
    by name, of a run that was evaluated (`with_cuts`); event_labels: what it learns besides the classes; fused: the
    models of a fusion, empty for a trained model.
    """

    name: str
    section: ModelConfig
    samples: tuple[str, ...] = ()
    trained_on: tuple[str, ...] = ()
    adapted_to: tuple[str, ...] = ()
    seed: int = 1
    folds: int = 2
    negative_weights: Policy = "keep"
    missing: float = -1.0
    grouping: Classes = field(default_factory=Classes)
    discriminants: Mapping[str, str] = field(default_factory=dict)
    variations: tuple[Variation, ...] = ()
    domain_classes: tuple[str, ...] = ()
    collections: Mapping[str, CollectionConfig] = field(default_factory=dict)
    categories: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    points: Mapping[str, PointSpec] = field(default_factory=dict)
    cuts: Mapping[str, Cut] = field(default_factory=dict)
    event_labels: tuple[str, ...] = ()
    fused: tuple[ModelSpec, ...] = ()

    def category_columns(self, names: Sequence[str]) -> dict[int, tuple[int, ...]]:
        """Return the values of categorical features by column, for features of these names."""
        return {list(names).index(name): values for name, values in self.categories.items()}

    @property
    def is_adapted(self) -> bool:
        """Return whether it has a domain loss or a reweighting, or fuses a model that has."""
        own = self.domain_loss is not None or self.section.reweight is not None
        return own or any(model.is_adapted for model in self.fused)

    @property
    def targets(self) -> tuple[str, ...]:
        """Return the names of the target domains of its section `domain`; domain i + 1 is the i-th."""
        if self.domain_section is None:
            return ()
        return tuple(variation.name for variation in self.variations) or tuple(self.domain_section.targets)

    @property
    def features(self) -> tuple[str, ...] | None:
        """Return the flat features that the model reads; None for all of the table."""
        if self.fused:
            parts = [model.features for model in self.fused]
            listed = dict.fromkeys(name for part in parts for name in part or ())
            return None if None in parts else tuple(listed)
        encoder = self.section.set_encoder if isinstance(self.section, NetworkConfig) else None
        return None if encoder is None else encoder.features

    @property
    def reads(self) -> dict[str, Any]:
        """Return what a saved model says of collections and categories that it reads, and of a number that it predicts;
        empty without any.
        """
        parts = {name: {"max": c.size, "features": list(c.features)} for name, c in self.collections.items()}
        listed = {name: list(values) for name, values in self.categories.items()}
        number = {} if self.predicts == "class" else {"predicts": self.regression.target}
        return ({"collections": parts} if parts else {}) | ({"categories": listed} if listed else {}) | number

    @property
    def predicts(self) -> Literal["class", "number"]:
        """Return what the model says of an event: the class, by a score in [0, 1], or a number in its own units.

        What reads scores as probabilities asks this first.
        """
        return "class" if self.section.regress is None else "number"

    @property
    def regression(self) -> RegressionConfig:
        """Return the number that is predicted.

        Raises:
            TypeError: the model predicts classes.

        """
        if self.section.regress is None:
            raise TypeError(f"{self.name} predicts classes")
        return self.section.regress

    @property
    def head(self) -> str:
        """Return the name of the head of a network that makes the prediction."""
        return "class" if self.predicts == "class" else "value"

    @property
    def branch(self) -> str:
        """Return what the names of its branches begin with in the files of `hepda apply`."""
        return "score" if self.predicts == "class" else "prediction"

    @property
    def target_column(self) -> str:
        """Return the column of the table with the number that is predicted, NaN for events without it."""
        return f"target:{self.name}"

    def has_target(self, table: FeatureTable, rows: NDArray[np.int32] | slice | None = None) -> NDArray[np.bool_]:
        """Return which events [n] the model may be trained on: those of its samples, with the number that it predicts.

        Args:
            table: the events.
            rows: row numbers or a slice; None means all events.

        """
        of_samples = table.of_samples(self.samples, slice(None) if rows is None else rows)
        if self.predicts == "class":
            return of_samples
        target = table.columns[self.target_column]
        return np.asarray(of_samples & np.isfinite(target if rows is None else target[rows]))

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the classes whose probabilities the model gives, signals first; empty for one score or a number."""
        if isinstance(self.section, EventFusionConfig):  # all of its models predict the same
            return self.fused[0].classes if self.fused else ()
        one = self.grouping.is_binary or self.section.classes == "binary" or self.predicts == "number"
        return () if one else self.grouping.names

    @property
    def predictions(self) -> tuple[int, ...]:
        """Return the shape of what a training predicts for an event: none for P(signal) alone.

        Else P(signal) or the probability of each class, then that of each label.
        """
        number = max(1, len(self.classes)) + len(self.event_labels)
        return (number,) if self.classes or self.event_labels else ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Return its score columns.

        The first is its score in [0, 1], or the number that it predicts, named like the model; a model of several
        classes has a further column for each class and each discriminant, `m.p_<class>` and `m.<discriminant>`, and one
        with labels `m.p_<label>`.
        """
        further = [f"p_{name}" for name in self.classes]
        further += [*(self.discriminants if self.classes else ()), *(f"p_{name}" for name in self.event_labels)]
        return (self.name, *(f"{self.name}.{name}" for name in further))

    def column_of(self, output: str) -> str:
        """Return the score column of an output: of `score`, `p_<class>` or a discriminant."""
        return self.name if output == "score" else f"{self.name}.{output}"

    @property
    def labels(self) -> dict[str, int]:
        """Return the label of each class that the model tells apart: of each side, or the position in `classes`."""
        return {name: number for number, name in enumerate(self.classes)} or {"background": 0, "signal": 1}

    def label_of(self, table: FeatureTable, rows: NDArray[np.int32] | slice | None = None) -> NDArray[np.int8]:
        """Return the label [n] of each event, as in `labels`; -1 for data.

        Args:
            table: the events.
            rows: row numbers or a slice; None means all events.

        """
        if self.classes:
            return self.grouping.index(table, rows)
        return table.label if rows is None else table.label[rows]

    @property
    def domain_section(self) -> DomainConfig | None:
        """Return the section `domain`, also with `method: none`; None without one."""
        return self.section.domain if isinstance(self.section, NetworkConfig) else None

    @property
    def domain_loss(self) -> DomainConfig | None:
        """Return the section of the domain loss; None for a model that has none (BDTs, `method: none`)."""
        domain = self.domain_section
        return None if domain is None or domain.method_name == "none" else domain

    @property
    def parameter(self) -> Mapping[str, float] | None:
        """Return the value of the parameter in each domain, or None for a model without one."""
        return self.section.parameter if isinstance(self.section, NetworkConfig) else None

    @property
    def members(self) -> int:
        """Return the number of networks that are averaged in a fold; trees are one, and so is a fusion."""
        return self.section.ensemble if isinstance(self.section, NetworkConfig) else 1


@dataclass(frozen=True, slots=True)
class RegionSpec:
    """A region of the fit: which events it takes, what is histogrammed, and in which bins.

    selection: the condition, None: every event; largest: the class whose output is the largest, None: any; passes,
    fails: working points of the fitted model that an event passes, all of them, or fails, all of them; variable: an
    expression, or the name of an output of the model if `is_output`; bins: the largest number of bins that are chosen,
    or their edges; min_n_eff: floor on the effective background events of a chosen bin; role: signal, control or
    validation (not fitted).
    """

    name: str
    selection: str | None = None
    largest: str | None = None
    variable: str = "score"
    is_output: bool = True
    bins: int | tuple[float, ...] = 10
    min_n_eff: float = 25.0
    role: Role = "signal"
    passes: tuple[str, ...] = ()
    fails: tuple[str, ...] = ()

    @property
    def fitted(self) -> bool:
        """Return whether the fit uses it."""
        return self.role != "validation"

    @property
    def is_part(self) -> bool:
        """Return whether it may have no events of a sample that the analysis selects."""
        return self.selection is not None or self.largest is not None or bool(self.passes or self.fails)

    def excludes(self, other: RegionSpec) -> bool:
        """Return whether no event can be in both regions: by their largest output, or by a working point."""
        if None not in (self.largest, other.largest) and self.largest != other.largest:
            return True
        return bool(set(self.passes) & set(other.fails) or set(self.fails) & set(other.passes))

    @property
    def columns(self) -> dict[str, str]:
        """Return the expressions that are evaluated while events are read, by the name of their column."""
        columns = {} if self.selection is None else {self.mask_column: self.selection}
        return columns if self.is_output else columns | {self.variable_column: self.variable}

    @property
    def mask_column(self) -> str:
        """Return the column of the selection: 1 for an event of the region, else 0."""
        return f"region:{self.name}"

    @property
    def variable_column(self) -> str:
        """Return the column of a variable that is no output of a model."""
        return f"variable:{self.name}"


@dataclass(frozen=True, slots=True)
class FitSpec:
    """What is fitted: the regions by name, thresholds of pruning (None: nothing is pruned), the method of smoothing."""

    regions: Mapping[str, RegionSpec] = field(default_factory=lambda: {"all": RegionSpec("all")})
    pruning: PruningConfig | None = None
    smoothing: str | None = None


@dataclass(frozen=True, slots=True)
class SystematicsSpec:
    """What is uncertain in the templates of a fit.

    templates: for each sample that templates are made of, those of simulation in the nominal domain, whether it is
    signal or background; sections: the systematics by name; classes: of all samples; processes: that of each sample of
    the templates.
    """

    templates: Mapping[str, ClassName]
    sections: Mapping[str, SystematicConfig] = field(default_factory=dict)
    classes: Classes = field(default_factory=Classes)
    processes: Mapping[str, str] = field(default_factory=dict)

    def strength_of(self, sample: str) -> str | None:
        """Return the strength that scales a sample: mu for the first signal class, `mu_<class>` for further ones."""
        if self.templates[sample] != "signal":
            return None
        name = self.classes.of_sample.get(sample)
        return f"mu_{name}" if name in self.classes.signal[1:] else "mu"

    def varied_samples(self, name: str) -> tuple[str, ...]:
        """Return the samples that a systematic acts on."""
        named = self.sections[name].samples
        return tuple(self.templates) if named is None else named


IDENTIFIER = "identifier:"
"""Prefix of the columns of the table with the numbers that identify an event, of which `key` is the hash."""


def identifier_column(branch: str) -> str:
    """Return the name of the column of the table that has the numbers of a branch of `split.key`, int64 [n]."""
    return IDENTIFIER + branch


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """What determines the table of events: the samples, the expressions, and the models, which see parts of it.

    columns: further numbers by name, labels among them; domains: their names, the nominal domain first; plots: names
    of features that are drawn; regions: those of the fit.
    The other fields are the sections of the analysis file of the same name.
    """

    samples: Mapping[str, SampleConfig]
    domains: tuple[str, ...]
    features: tuple[str, ...]
    luminosity: float
    models: Mapping[str, ModelSpec]
    systematics: SystematicsSpec
    classes: Classes
    variables: Mapping[str, str] = field(default_factory=dict)
    selection: str | None = None
    weight: str = "1"
    missing: float = -1.0
    collections: Mapping[str, CollectionConfig] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    stitched: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    split: SplitConfig = field(default_factory=SplitConfig)
    tree: str | None = None
    normalisation: NormalisationConfig | None = None
    reading: ReadingConfig = field(default_factory=ReadingConfig)
    plots: tuple[str, ...] = ()
    regions: Mapping[str, RegionSpec] = field(default_factory=dict)

    @property
    def region_columns(self) -> dict[str, str]:
        """Return the expressions of the columns of all regions, by the name of the column."""
        return {name: text for region in self.regions.values() for name, text in region.columns.items()}

    @property
    def numbers(self) -> dict[str, ModelSpec]:
        """Return the models that predict a number, by the column of the number."""
        return {model.target_column: model for model in self.models.values() if model.predicts == "number"}

    @property
    def region_predictions(self) -> dict[str, ModelSpec]:
        """Return the models that predict a number which is the variable of a region, by name."""
        variables = {region.variable for region in self.regions.values() if region.is_output}
        return {m.name: m for m in self.models.values() if m.predicts == "number" and m.name in variables}

    @property
    def target_columns(self) -> dict[str, str]:
        """Return the numbers that models predict, as text, by the name of the column."""
        texts = {name: model.regression for name, model in self.numbers.items()}
        return {
            name: text.target if text.selection is None else f"{text.target} where {text.selection}"
            for name, text in texts.items()
        }

    @property
    def identifiers(self) -> dict[str, str]:
        """Return the columns of what identifies an event (run and event number), by the name of the branch."""
        return {name: identifier_column(name) for name in self.split.key}

    @property
    def column_texts(self) -> dict[str, str]:
        """Return the expressions of all further columns of the table, by the name of the column."""
        return {**self.columns, **self.region_columns, **self.target_columns}

    @property
    def variations(self) -> tuple[Variation, ...]:
        """Return the variations of events that domain losses have as targets."""
        return tuple(dict.fromkeys(variation for model in self.models.values() for variation in model.variations))

    def varied_sources(self, variation: Variation) -> tuple[str, ...]:
        """Return the samples of which domain losses need the varied events: sources that the systematic acts on."""
        sections = self.domain_sections
        sources = [n for name, m in self.models.items() if variation in m.variations for n in sections[name].source]
        acts_on = self.systematics.varied_samples(variation.systematic)
        return tuple(dict.fromkeys(name for name in sources if name in acts_on))

    def section_of(self, variation: Variation) -> SystematicConfig:
        """Return the section of the systematic of a variation."""
        return self.systematics.sections[variation.systematic]

    @property
    def domain_sections(self) -> dict[str, DomainConfig]:
        """Return the section `domain` of each model that has one, also with `method: none`."""
        sections = ((name, model.domain_section) for name, model in self.models.items())
        return {name: section for name, section in sections if section is not None}


@dataclass(frozen=True, slots=True)
class Appearance:
    """How samples and features are drawn.

    luminosity: in 1/fb, or the text that figures write; classes: of the samples; plots: by feature; missing: as in
    `ModelSpec`; fit: labels of systematics and of regions of the fit, by name; experiment: what figures write over
    their axes instead of the kind of events, None for the kind; energy: of the collisions in TeV, None: not written.
    """

    samples: Mapping[str, SampleConfig]
    luminosity: float | str
    classes: Classes
    plots: Mapping[str, PlotConfig] = field(default_factory=dict)
    missing: float = -1.0
    fit: Mapping[str, str] = field(default_factory=dict)
    experiment: str | None = None
    energy: float | None = 13.0

    @property
    def signal_scale(self) -> str:
        """Return the factors on the yields of signals that have one, as text; empty without any."""
        signals = (sample for name, sample in self.samples.items() if self.classes.side_of(name) == "signal")
        scales = {sample.scale for sample in signals if sample.scale != 1}
        return "signal × " + ", ".join(f"{scale:g}" for scale in sorted(scales)) if scales else ""

    @property
    def kind_of_data(self) -> str:
        """Return what a figure says that it shows if there are data in it: pseudo-data are named as such."""
        data = [s for s in self.samples.values() if s.is_data]
        pseudo = any(s.truth is not None or "pseudo" in (s.label or "").lower() for s in data)
        return "Pseudo-data" if pseudo else "Data"

    def heading(self, kind: str, *notes: str) -> tuple[str, str]:
        """Return the bold text over the axes of a figure and its note.

        Args:
            kind: the kind of events, such as "Simulation"; a label of the experiment moves it to the note.
            notes: further texts of the note; empty ones are left out.

        """
        status = self.experiment or kind
        return status, ", ".join(text for text in (kind if self.experiment else "", *notes) if text)

    def label_of(self, domain: str) -> str:
        """Return the label of the samples of a domain if they have one in common, or else the name of the domain."""
        labels = {s.label for s in self.samples.values() if s.domain == domain and s.label}
        return labels.pop() if len(labels) == 1 else domain
