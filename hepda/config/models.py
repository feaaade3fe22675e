"""The sections that define what is trained and how: models, their domain loss, reweighting, training."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, Self, get_type_hints

from pydantic import ConfigDict, Discriminator, Field, Tag, create_model, model_validator

from hepda.adversarial.methods import METHODS, Method, methods_of
from hepda.config.section import (
    Bins,
    Count,
    Epochs,
    Expression,
    Fraction,
    Name,
    Names,
    Positive,
    Range,
    Section,
    Strings,
    Widths,
)
from hepda.config.sets import EncoderConfig, SetEncoder

Scorer = Literal["source-loss", "probe-auc", "entropy", "information", "nuclear-norm", "density", "dev", "reverse"]
"""Names of `hepda.adversarial.training.selection.SCORERS`."""


class TrainingConfig(Section):
    """How a network is trained; a model's own `training:` overrides single keys of the analysis's."""

    epochs: Epochs = 40
    """Passes over the source rows at most; `patience` may end it before."""
    batch_size: Annotated[int, Field(ge=1, le=2**24)] = 1024
    """Source rows of a step (of all processes together)."""
    optimizer: Literal["adamw", "adam", "nadam", "sgd", "rmsprop"] = "adamw"
    """The algorithm that changes the weights of the network at each step."""
    learning_rate: Positive = 1.0e-3
    """Learning rate at the maximum of the schedule."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 1.0e-4
    """Decay of the weights towards zero at each step."""
    momentum: Fraction | None = None
    """Momentum of the optimizer (Adam's first beta); null: 0.9. A small one prevents that encoder and domain head
    oscillate. `rmsprop` has none."""
    schedule: Literal["constant", "one-cycle", "cosine", "ganin"] = "cosine"
    """Course of the learning rate over the run."""
    patience: Count | None = 8
    """Epochs without a better value of `scorer` before stopping; null trains all epochs."""
    scorer: Scorer | None = None
    """Criterion of the best epoch, on validation events and without labels of the target; null: the class loss."""
    precision: Literal["float32", "bfloat16", "float64"] = "float32"
    """Precision of the numbers in the training: bfloat16 has three digits; it is faster if the processor multiplies it,
    and refused if not."""
    average: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Decay of the exponential moving average of the weights that replaces them; 0 is off."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    """Seed of the network; null takes the analysis's."""
    processes: Literal["auto"] | Annotated[int, Field(ge=1, le=4096)] = "auto"
    """Trainings, parts of the evaluation and figures that run in parallel; auto: one per core."""

    def settings(self, domain: AdversaryConfig | None) -> dict[str, Any]:
        """Return the keys that apply to all kinds of data, as arguments of `hepda.adversarial.Trainer`.

        Args:
            domain: the domain loss of the training; None without one.

        """
        return {
            "target_size": None if domain is None else domain.target_size(self.batch_size),
            "combine": "sum" if domain is None else domain.combine,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "rate_schedule": self.schedule,
            "optimizer": self.optimizer,
            "weight_decay": self.weight_decay,
            "momentum": self.momentum,
            "precision": self.precision,
            "average": self.average,
        }

    def stopping(self) -> dict[str, Any]:
        """Return when a training stops and by what its epoch is chosen, as arguments of `hepda.adversarial.Trainer`."""
        from hepda.adversarial.training.selection import find_scorer

        return {
            "patience": self.patience,
            "scorer": None if self.scorer is None else find_scorer(self.scorer),
        }

    def overridden_by(self, section: TrainingConfig) -> Self:
        """Return the section with the values of the keys that another section, that of a model, gives."""
        return self.model_copy(update={key: getattr(section, key) for key in section.model_fields_set})


class RatioConfig(Section):
    """How a density ratio of two samples is estimated: for every event by a model that was not trained on it."""

    method: Literal["classifier", "hep_ml"] = "classifier"
    """Calibrated odds of a scikit-learn BDT, or hep_ml's GBReweighter (the extra `reweight`)."""
    features: Strings | None = None
    """Features on which the ratio may depend; null: all."""
    clip: Annotated[float, Field(gt=1.0)] = 10.0
    """Ratios are limited to 1/clip to clip times their mean; the share of limited events is in the manifest."""


class ReweightConfig(RatioConfig):
    """Training weights that give the source the distribution of the target; the evaluation uses the original ones."""

    source: Names
    """Samples whose weights in the class loss are multiplied; their sum is unchanged."""
    target: Names
    """Samples whose distribution they get."""


class MethodConfig(Section):
    """A method with its settings; for each method there is a class with its fields (`method_union`)."""

    # Classes that are made have no source; pydantic would search every module for it, in seconds.
    model_config = ConfigDict(use_attribute_docstrings=False)

    name: str

    def settings(self) -> dict[str, Any]:
        """Return the settings that the section gives."""
        return {key: getattr(self, key) for key in self.model_fields_set - {"name"}}


_COMMON = {field.name for field in dataclasses.fields(Method)}
"""Strength, schedule and warm-up: keys of the domain section whatever the method."""


def method_union(methods: Mapping[str, type[Method]]) -> Any:
    """Return the union of the sections of methods, discriminated by `name`, made from the fields of their classes."""
    sections = []
    for name, method in methods.items():
        hints = get_type_hints(method)
        texts = field_texts(method)
        fields: dict[str, Any] = {"name": (Literal[name], Field(description="Of the method."))}
        for field in dataclasses.fields(method):
            if field.name in _COMMON:
                continue
            hint = Widths if field.name == "hidden" else hints[field.name]
            fields[field.name] = (hint, Field(field.default, description=texts.get(field.name)))
        title = "".join(part.capitalize() for part in name.replace("+", "-e").split("-"))
        sections.append(create_model(f"{title}MethodConfig", __base__=MethodConfig, __doc__=method.summary, **fields))
    return Annotated[reduce(or_, sections), Field(discriminator="name")]


def field_texts(method: type[Method]) -> dict[str, str]:
    """Return the descriptions of the fields of a method, from the `Attributes:` of its docstring and of its bases."""
    descriptions: dict[str, str] = {}
    for base in reversed(method.__mro__):
        section = (inspect.getdoc(base) or "").partition("Attributes:\n")[2].partition("\n\n")[0]
        for name, text in re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE):
            words = " ".join(text.split())
            descriptions[name] = words[:1].upper() + words[1:]
    return descriptions


FIELDS = {
    "input": "input",
    "balance": "balance",
    "strength": "strength",
    "schedule": "schedule",
    "warmup": "warmup",
    "head": "hidden",
    "steps": "steps",
    "learning_rate_factor": "rate",
    "smoothing": "smoothing",
    "spectral_norm": "spectral_norm",
    "gradient_penalty": "gradient_penalty",
    "tail": "tail",
    "threshold": "threshold",
    "align": "align",
}
"""Keys of a domain section that are fields of methods."""


class AdversaryConfig(Section):
    """How a network is kept from distinguishing domains: by which method, and how strongly."""

    method: str | method_union(METHODS) = "dann"  # type: ignore[valid-type]
    """A method of the core, or several joined by commas: none, dann, cdan, cdan+e, conditional, pivot, mmd, joint-mmd,
    coral, disco, cramer, wasserstein, mdd, mcc, pseudo, vat, vada (`hepda schema` describes each); or one with its
    settings, `{name: mmd, width: 2}`."""
    input: Literal["features", "score", "features*score"] = "features"
    """Input of the domain head of `dann`: the encoder's output (DANN), the class head's output (pivot,
    arXiv:1611.01046), or their product (CDAN, arXiv:1705.10667)."""
    balance: bool = True
    """Scale both sides to the same total weight (keeps the mixture within a side, removes the prior)."""
    strength: Annotated[float, Field(ge=0.0)] = 1.0
    """Lambda of the reversal, or factor of a term; 0 equals no adversary."""
    schedule: Literal["ganin", "linear", "cosine", "constant"] = "ganin"
    """Course of the strength over the run: 2/(1+exp(-10 p))-1 for `ganin`."""
    warmup: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Epochs before the adversary acts."""
    head: Widths = (64, 64)
    """Hidden widths of the domain head."""
    steps: Annotated[int, Field(ge=1, le=1000)] = 1
    """Updates of the domain head (or critic, where 1 means its usual 5) for one of the encoder."""
    learning_rate_factor: Positive = 1.0
    """Learning rate of the domain head over that of the encoder."""
    smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Label smoothing of the domain head."""
    spectral_norm: bool = False
    """Divide each weight matrix of the domain head by its largest singular value."""
    gradient_penalty: Annotated[float, Field(ge=0.0)] = 0.0
    """Factor on the squared norm of the gradient of the domain head's output by its input."""
    combine: Literal["sum", "projection", "self_correcting"] = "sum"
    """How the gradients of class loss and domain losses become one step of the encoder: `projection` removes the part
    of a domain loss that opposes the class loss (PCGrad, arXiv:2001.06782); `self_correcting` scales a domain loss that
    opposes the sum so that the step is orthogonal to it (SCP-GAN, arXiv:2210.14474)."""
    batch_share: Fraction = 0.5
    """Share of target rows in a batch: share/(1-share) target rows for each of the batch_size source rows."""

    @model_validator(mode="before")
    @classmethod
    def _earlier_key(cls, data: Any) -> Any:
        """Accept `self_correction: true | false`, the key of earlier versions, which run directories have."""
        if not isinstance(data, dict) or not isinstance(data.get("self_correction"), bool) or "combine" in data:
            return data
        others = {key: value for key, value in data.items() if key != "self_correction"}
        return others | ({"combine": "projection"} if data["self_correction"] else {})

    @property
    def method_name(self) -> str:
        """The name of the method, or of several joined by commas."""
        return self.method if isinstance(self.method, str) else self.method.name

    def methods(self, **settings: Any) -> list[Method]:
        """Return the methods of the core with the settings of the section.

        Settings within `method` itself have priority over the keys of the section and over `settings`.

        Args:
            settings: values of fields of methods, where they differ from the section's.

        """
        keys = [key for key in FIELDS if key in type(self).model_fields]
        values = {FIELDS[key]: getattr(self, key) for key in keys}
        if self.steps == 1:  # a critic has its own number
            del values["steps"]
        method_settings = {} if isinstance(self.method, str) else self.method.settings()
        return methods_of(self.method_name, **(values | settings | method_settings))

    def target_size(self, batch_size: int) -> int:
        """Return the number of target rows that join `batch_size` source rows."""
        return round(batch_size * self.batch_share / (1.0 - self.batch_share))


def _kind_of_target(value: Any) -> str:
    return "domains" if isinstance(value, dict) else "samples"


Targets = Annotated[
    Annotated[Names, Tag("samples")] | Annotated[dict[Name, Names], Tag("domains")],
    Discriminator(_kind_of_target),
]
"""Samples of one domain, or of several by name."""


class DomainConfig(AdversaryConfig):
    """The domain loss: its method, its rows, their weights, and its strength.

    The class loss balances signal and background; the domain loss must not, or confusing the domains erases
    the signal. Therefore it has separate samples, rows, selection and weight.
    """

    source: Names
    """Samples of the domain that the classifier is trained on."""
    target: Targets
    """Samples of the domain that the encoder must not distinguish from the source; several domains as
    `{B: [samples], C: [samples]}`; or `{variation: [jes_up, b_tag]}`, the events of the source as systematics of kind
    weight or shape vary them, each variation a domain."""
    by: Literal["class"] | None = None
    """`class`: compare each class with the same class of the other domain, by a domain head or a term of its own."""
    rows: Name = "background"
    """Rows of the domain loss: background (every class that is not signal), signal, the name of one class, or `all`,
    for data, whose class is unknown."""
    tail: Fraction | None = None
    """Emphasise the tail: scores above the cut of this signal efficiency count fully, those below little, in the domain
    head or in the integral of `cramer` (hepda.adversarial.networks.tail)."""
    reweight: RatioConfig | None = None
    """For the domain loss, the source's weights are multiplied so that it has the target's distribution of `features`:
    a known difference of composition or kinematics, which the encoder shall not remove."""
    selection: Expression | None = None
    """A region for the domain loss, in addition to the analysis's selection, e.g. a control region."""
    weight: Expression = "physical"
    """Event weight in the domain loss: `physical`, or an expression that may contain it; data: 1."""

    @property
    def variation_names(self) -> tuple[str, ...] | None:
        """The names of variations that are the target; None for a target of samples."""
        return self.target.get("variation") if isinstance(self.target, dict) else None

    @property
    def targets(self) -> dict[str, tuple[str, ...]]:
        """The samples of each target domain by its name; empty if variations of the source are the target."""
        if not isinstance(self.target, dict):
            return {"target": self.target}
        return {} if self.variation_names is not None else self.target

    def key_of(self, target: str) -> str:
        """Return the key of a target domain within the section."""
        return f"target.{target}" if isinstance(self.target, dict) else "target"

    @property
    def target_samples(self) -> tuple[str, ...]:
        """The samples of all target domains."""
        return tuple(name for names in self.targets.values() for name in names)


class RegressionConfig(Section):
    """The number that a model predicts, instead of the class of an event."""

    target: Expression
    """What is predicted: an expression over variables and branches, which the samples of `train_on` must have. It is
    never an input; data and samples without its branches have no target."""
    selection: Expression | None = None
    """The events that have a target, such as those with a match in the truth; null: every selected event. Others are
    neither trained on nor in the numbers, and have a prediction like all events."""
    loss: Literal["squared", "absolute"] = "squared"
    """What is minimised, of the difference in units of its width: `squared`, whose best prediction is the mean of the
    target, or `absolute`, whose best prediction is its median and which tails move less."""
    label: str | None = None
    """Its name in figures and tables; null: the expression. Text between dollar signs is mathematics."""
    unit: str | None = None
    """The unit of the target and of the predictions; null: none."""
    range: Range | None = None
    """Ends of the bins of the target in figures and tables, the lower one first; null: bins with equal shares of the
    events."""
    bins: Bins = 10
    """The number of bins of the target."""

    @property
    def plain(self) -> str:
        """Return its name with the unit in brackets, without mathematics."""
        name = self.target if self.label is None or "$" in self.label else self.label
        return f"{name} [{self.unit}]" if self.unit else name

    def axis(self, what: str = "") -> str:
        """Return the label of an axis: `what`, the name of the target, and the unit in brackets."""
        name = " ".join(word for word in (what, self.label or self.target) if word)
        return f"{name} [{self.unit}]" if self.unit else name


class LayersConfig(Section):
    """The layers of a network for rows of columns: an encoder and a class head."""

    kind: Literal["network"]
    """The kind of model: a network, trained by gradient descent."""
    encoder: Annotated[Widths, Field(min_length=1)] = (128, 128, 64)
    """Widths of the layers from the features to the embedding, which is the last of them."""
    class_head: Widths = ()
    """Hidden widths of the class head; empty: one linear layer."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the units of each hidden layer that are set to zero in a step."""
    activation: Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"] = "relu"
    """Activation after each hidden layer."""
    ensemble: Annotated[int, Field(ge=1, le=100)] = 1
    """Networks with different seeds whose scores are averaged."""


class NetworkConfig(LayersConfig):
    """A network: an encoder, a class head and, with `domain:`, a domain loss."""

    encoder: EncoderConfig = (128, 128, 64)  # type: ignore[assignment]  # sets of objects are for events only
    """Widths of the layers from the features to the embedding, which is the last of them; or an encoder of sets of
    objects, `{kind: deepsets, ...}` or `{kind: transformer, ...}`, which reads `collections` of the analysis."""
    train_on: Names | None = None
    """Samples of the class loss; null: every sample with a class and `use: train` of the nominal domain."""
    domain: DomainConfig | None = None
    """The domain loss; null: none, the network is a baseline."""
    reweight: ReweightConfig | None = None
    """Weights of the class loss that give one sample the distribution of another."""
    parameter: dict[Name, float] | None = None
    """One more input with a number for each domain, e.g. `{simulation: 0, alternative: 1}`: the network is trained on
    the domains of `train_on` together and learns how they differ. Its scores are those at 0."""
    classes: Literal["all", "binary"] = "all"
    """What the model predicts: the probability of each class, or (`binary`) that of signal against the rest. With two
    classes both are the same."""
    regress: RegressionConfig | None = None
    """A number that the model predicts instead of classes, `{target: gen_top_pt, unit: GeV}`; null: classes."""
    labels: Names = ()
    """Further yes or no questions that the same encoder answers, each by a head of its own with a binary loss: names of
    `labels` of the analysis, classes, or `signal`. The probabilities are outputs, `p_<label>`."""
    label_strength: Positive = 1.0
    """Factor on the loss of each label, beside that of the classes."""
    label_balance: bool = True
    """Scale both answers to a question to the same total weight; false keeps the physical weights."""
    score: Name | None = None
    """The discriminant that is the model's score, with values from 0 to 1; null: the probability of signal, summed
    over the signal classes."""
    training: TrainingConfig = TrainingConfig()
    """Overrides of the analysis's `training:`; after loading, the complete section."""

    @property
    def set_encoder(self) -> SetEncoder | None:
        """Return the section of the encoder of sets of objects; None for an encoder of flat features."""
        return None if isinstance(self.encoder, tuple) else self.encoder

    @property
    def embedding(self) -> int:
        """Return the width of the encoder's output."""
        return self.encoder[-1] if isinstance(self.encoder, tuple) else self.encoder.width


class TreesConfig(Section):
    """Boosted decision trees: the library and the settings of its trees."""

    kind: Literal["bdt"]
    """The kind of model: boosted decision trees."""
    library: Literal["sklearn", "xgboost", "lightgbm"] = "sklearn"
    """The library: scikit-learn, or XGBoost or LightGBM (the extras of these names)."""
    iterations: Annotated[int, Field(ge=1, le=1_000_000)] = 300
    """Largest number of trees."""
    learning_rate: Positive = 0.1
    """Factor on the contribution of each tree."""
    max_leaves: Annotated[int, Field(ge=2, le=131_072)] | None = 31
    """The largest number of leaves of a tree; null: no limit."""
    max_depth: Annotated[int, Field(ge=1, le=1000)] | None = None
    """The largest depth of a tree; null: no limit."""
    min_samples: Count = 20
    """Smallest number of events in a leaf."""
    l2: Annotated[float, Field(ge=0.0)] = 0.0
    """Penalty on the squares of the values of leaves."""
    patience: Count | None = 20
    """Iterations without improvement on validation events before stopping; null: all iterations."""


class BdtConfig(TreesConfig):
    """Boosted decision trees, the yardstick of every network."""

    @model_validator(mode="before")
    @classmethod
    def _one_question(cls, data: Any) -> Any:
        """Refuse labels with the reason."""
        if isinstance(data, dict) and data.get("labels"):
            raise ValueError(
                "labels: trees answer one question, that of the classes: nothing in them is shared between several, as "
                "the encoder of a network is. Take `kind: network`, or one analysis for each question."
            )
        return data

    events: Annotated[int, Field(ge=100)] | None = None
    """Largest number of events of a fold for training and validation, chosen by hash of their key; null: all.

    Trees keep some 3 bytes for each feature and 100 bytes for each event in memory (15 features, 5 million events of a
    fold: 0.7 GB). Fewer events also take less time. Every event is scored.
    """
    train_on: Names | None = None
    """Samples that the trees are trained on; null: every sample with a class and `use: train` of the nominal domain."""
    reweight: ReweightConfig | None = None
    """Weights of the training that give one sample the distribution of another."""
    classes: Literal["all", "binary"] = "all"
    """What the model predicts: the probability of each class, or (`binary`) that of signal against the rest."""
    regress: RegressionConfig | None = None
    """A number that the model predicts instead of classes, `{target: gen_top_pt, unit: GeV}`; null: classes."""
    score: Name | None = None
    """The discriminant that is the model's score, with values from 0 to 1; null: the probability of signal."""


class FusionConfig(Section):
    """One score made of the scores of several models, after their trainings; it reads no features itself."""

    kind: Literal["fusion"]
    """The kind of model: the scores of other models, fused."""
    of: Names
    """The models of this analysis that are fused, two or more."""
    method: Literal["mean", "isotonic", "logistic"] = "mean"
    """`mean`: the mean of their logits; `isotonic`: each is calibrated by a rising curve, then the mean of the
    probabilities; `logistic`: a weight for each model and a constant for each class, learned on the logits. What is
    learned for a fold, is learned on events of the other folds, each scored by trainings that did not see it."""


def kind_of_model(value: Any) -> str:
    """Return `fusion` or `network`, for kinds of data whose models are networks where they name no kind."""
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return "fusion" if kind == "fusion" else "network"


class MeanFusionConfig(FusionConfig):
    """A fusion of networks that are all tested on the same rows: nothing is left of which it could learn."""

    title: str | None = None
    """Its name in tables; null: its key."""
    method: Literal["mean"] = "mean"
    """The mean of the logits, the only method here: there are no labelled rows that no training and no number uses."""


class EventFusionConfig(FusionConfig):
    """A fusion of models of events."""

    train_on: Names | None = None
    """With the methods isotonic and logistic: the samples that it learns from; null: every sample with a class and
    `use: train` of the nominal domain."""
    score: Name | None = None
    """The discriminant that is its score, with values from 0 to 1; null: the probability of signal."""

    @property
    def reweight(self) -> None:
        """Return None: no weight of an event is changed."""
        return None

    @property
    def regress(self) -> None:
        """Return None: it predicts classes."""
        return None


ModelConfig = Annotated[NetworkConfig | BdtConfig | EventFusionConfig, Field(discriminator="kind")]
