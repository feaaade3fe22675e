"""The analysis file of a table (`kind: tabular`) as frozen types, with the checks that cross its sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from hepda.config.base import BaseConfig
from hepda.config.events.model_checks import check_method, methods_of, too_large
from hepda.config.models import AdversaryConfig, FusionConfig, LayersConfig, TrainingConfig, TreesConfig
from hepda.config.problems import duplicates
from hepda.config.section import Columns, Fraction, Name, Section, Strings


def _as_texts(value: Any) -> Any:
    """Return values of a column as text: `source: 1` and `source: [1, 2]` name numbers."""
    values = value if isinstance(value, list) else [value]
    return [str(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in values]


_Value = str | int
Values = Annotated[
    tuple[str, ...],
    Field(strict=False),
    BeforeValidator(_as_texts, json_schema_input_type=_Value | list[_Value]),
]
"""Values of a column, texts or integers; a single one is accepted as a list of one."""


class TableDomainConfig(Section):
    """Which rows are source and which are target, by the values of a column. Other rows are left out."""

    column: str
    """The column that says where a row is from."""
    source: Annotated[Values, Field(min_length=1)]
    """Values of the rows with labels, which are trained on; several are one domain."""
    target: Annotated[Values, Field(min_length=1)]
    """Values of the rows that networks adapt to, a domain each. Their labels are never used in training."""
    held_out: Values = ()
    """Values of rows that are evaluated alone, a domain each: no training sees them."""


class TableSplitConfig(Section):
    """Which rows train, validate and test: by hash, never by their order."""

    key: Columns = ()
    """Columns whose equal values stay together (a patient, a device); empty: rows with equal inputs stay together."""
    folds: Annotated[int, Field(ge=2, le=100)] = 2
    """Each row is scored by the models that were trained on the other folds."""
    validation: Fraction = 0.2
    """Share of the training rows that choose when to stop."""


class TableAdversaryConfig(AdversaryConfig):
    """The domain loss between all source and all target rows."""

    threshold: Fraction = 0.9
    """With method `pseudo`: the probability, relative to the mean one of the source, from which a target label is
    certain."""
    align: bool = True
    """With the methods `pseudo` and `contrast`: move the target's predictions to the class shares of the source before
    labels are taken; wrong where the target has other shares."""


class TableNetworkConfig(LayersConfig):
    """A network: an encoder, a class head and, with `domain:`, a domain loss."""

    title: str | None = None
    """How tables and figures call it; null: its key."""
    domain: TableAdversaryConfig | None = None
    """The domain loss; null: none, the network is a baseline."""
    training: TrainingConfig = TrainingConfig()
    """Overrides of the analysis's `training:`; after loading, the complete section."""


class TableTreesConfig(TreesConfig):
    """Boosted decision trees, a baseline; with three classes or more, trees of each class against the rest."""

    title: str | None = None
    """How tables and figures call it; null: its key."""


class TableFusionConfig(FusionConfig):
    """A fusion of models of the table: one score made of theirs."""

    title: str | None = None
    """How tables and figures call it; null: its key."""


TableModelConfig = Annotated[TableNetworkConfig | TableTreesConfig | TableFusionConfig, Field(discriminator="kind")]


class TableEvaluationConfig(Section):
    """What is measured on rows that the models did not train on."""

    bootstrap: Annotated[int, Field(ge=2, le=100_000)] = 200
    """Replicas of the intervals."""
    permutations: Annotated[int, Field(ge=20, le=100_000)] = 200
    """Exchanges of the domain labels, for the p-values of differences and for what no difference would give."""
    probes: bool = True
    """Train fresh classifiers that tell the domains apart by the scores, the embedding and the features."""


class TabularConfig(BaseConfig):
    """An analysis of a table, a row an example. Load it by `hepda.config.load_any`."""

    name: Name
    """The name of the analysis: run directory, figures and report have it."""
    kind: Literal["tabular"]
    """The kind of data: a table."""
    files: Strings
    """CSV (.csv, .tsv, also compressed) or Parquet (.parquet, .pq) files, or patterns of their names, relative to the
    analysis file. Their rows are joined."""
    label: str
    """The column of the class, texts or integers; may be empty, or missing in a whole file, for rows of the target."""
    domain: TableDomainConfig
    """Which rows are source and which target."""
    weight: str | None = None
    """The column of the weights, which may be negative; null: every row counts 1."""
    features: Literal["all"] | Strings = "all"
    """The columns that models read; all: every column that has no other role here and is not in `ignore`."""
    ignore: Columns = ()
    """Columns that `features: all` leaves out."""
    categorical: Columns = ()
    """Features that are no measures but categories: a column of zeros and ones for each value that source rows have.
    Any other value, and none, is zero in all of these."""
    missing: Annotated[float, Field(ge=-1e38, le=1e38)] = -1.0
    """The number that represents a missing value of any other feature, for every model."""
    split: TableSplitConfig = TableSplitConfig()
    """Which rows train, validate and test."""
    balance: bool = False
    """Give every class the same total weight in training; calibration then refers to classes of equal size."""
    negative_weights: Literal["keep", "absolute", "drop", "reject"] = "keep"
    """Policy of the training; evaluation keeps every sign."""
    models: Annotated[dict[Name, TableModelConfig], Field(min_length=1)]
    """What is trained, by name."""
    training: TrainingConfig = TrainingConfig()
    """How networks are trained, where a model's own `training:` does not say otherwise."""
    evaluation: TableEvaluationConfig = TableEvaluationConfig()
    """What is measured on rows that the models did not train on."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """The seed of every random number: equal seeds give equal results."""

    @property
    def roles(self) -> dict[str, str]:
        """Return the columns that are no features, with the key that names each."""
        named = {self.label: "label", self.domain.column: "domain.column"}
        named |= {} if self.weight is None else {self.weight: "weight"}
        return dict.fromkeys(self.split.key, "split.key") | named

    def adapts(self, model: str) -> bool:
        """Return whether a model has a domain loss."""
        section = self.models[model]
        if isinstance(section, TableFusionConfig):
            return any(self.adapts(name) for name in section.of if name != model)
        if not isinstance(section, TableNetworkConfig) or section.domain is None:
            return False
        return section.domain.method_name != "none"

    @property
    def baseline(self) -> str | None:
        """The model that adapted ones are compared with: the first network without a domain loss, else trees."""
        others = [model for model in self.models if not self.adapts(model)]
        return next((m for m in others if isinstance(self.models[m], TableNetworkConfig)), next(iter(others), None))

    def title(self, model: str) -> str:
        """Return the name of a model in tables and figures."""
        return self.models[model].title or model

    def problems(self) -> Iterator[str]:
        """Yield the problems that involve several sections."""
        yield from _columns(self)
        for name, model in self.models.items():
            if isinstance(model, TableNetworkConfig):
                yield from _network(f"models.{name}", model)


def _columns(config: TabularConfig) -> Iterator[str]:
    domain = config.domain
    yield from duplicates("domain", (*domain.source, *domain.target, *domain.held_out))
    yield from duplicates("columns", tuple(c for c in (config.label, domain.column, config.weight) if c is not None))
    for path, names in (("categorical", config.categorical), ("split.key", config.split.key)):
        yield from duplicates(path, names)
    listed = () if config.features == "all" else tuple(config.features)
    yield from duplicates("features", listed)
    for name in listed:
        if name in config.roles and config.roles[name] != "split.key":
            yield f"features: {name!r} is the column of `{config.roles[name]}`; models may not read it: take it out."
    if listed and config.ignore:
        yield "ignore: has an effect with `features: all` alone; remove it."
    for name in config.categorical:
        if listed and name not in listed:
            yield f"categorical: {name!r} is not in `features`: add it there, or take it out here."


def _network(path: str, model: TableNetworkConfig) -> Iterator[str]:
    yield from too_large(f"{path}.encoder", model.encoder)
    domain = model.domain
    if domain is None:
        return
    yield from too_large(f"{path}.domain.head", (model.encoder[-1], *domain.head))
    known = yield from check_method(f"{path}.domain", domain, "tabular")
    if known and domain.method_name != "none" and "none" in methods_of(domain):
        yield f"{path}.domain.method: 'none' stands alone; remove it, or the others."
