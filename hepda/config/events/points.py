"""The section `working_points:`: named thresholds on outputs of models, what each is chosen for, and their checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, Strict

from hepda.config.events.class_checks import labels_of, predicted_classes
from hepda.config.events.names import branch_of
from hepda.config.problems import duplicates, unknown
from hepda.config.section import Fraction, Name, Names, Positive, Section

if TYPE_CHECKING:
    from hepda.config.events.analysis import AnalysisConfig

SCORE, PROBABILITY, SIGNAL = "score", "p_", "signal"


def _efficiencies(ends: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= ends[0] < ends[1] <= 1:
        raise ValueError(f"efficiencies go from a smaller to a larger share, not from {ends[0]:g} to {ends[1]:g}")
    return ends


Efficiencies = Annotated[tuple[float, float], Strict(strict=False), AfterValidator(_efficiencies)]


class PointSection(Section):
    """What every named working point has: the models, and which events choose its threshold."""

    objective: str
    models: Names | None = None
    """The models that get it, each with a threshold of its own; null: every model that has the output."""
    output: Name = SCORE
    """The output that is cut: `score`, `p_<class>`, `p_<label>` or a discriminant."""
    share: Fraction | None = None
    """Share of the events, by the hash of their key, that choose the threshold; null: the validation events
    (`split.validation`). All numbers of the working point are from the other events."""


class SelectingSection(PointSection):
    """A working point that selects a class or a label."""

    selects: Name | None = None
    """What is wanted: `signal`, a class or a label; all other events are the rest. null: that of `p_<class>` or
    `p_<label>`, else `signal`."""


class F1Point(SelectingSection):
    """The threshold with the largest weighted F1 of what it selects."""

    objective: Literal["f1"]
    """F1 is the harmonic mean of efficiency and purity, at the yields of the analysis."""


class SignificancePoint(SelectingSection):
    """The threshold with the largest expected significance, with a systematic uncertainty of the background."""

    objective: Literal["significance"]
    """Median discovery significance (Asimov) of what passes."""
    background_uncertainty: Annotated[float, Field(ge=0.0)] | None = None
    """The systematic uncertainty of the background, as a fraction of it; null: that of `evaluation.significance`."""
    min_n_eff: Positive = 25.0
    """Smallest effective number of choosing background events that pass."""


class EqualBackgroundPoint(PointSection):
    """One threshold at which the background efficiencies of two domains are equal, or as nearly as possible."""

    objective: Literal["equal_background"]
    """Efficiency of the background in the other domain, divided by that in the nominal one, nearest to 1."""
    domain: Name | None = None
    """The other domain: simulated, and not one that is kept for the evaluation; null: the first such domain."""
    signal_efficiency: Efficiencies = (0.3, 0.7)
    """Smallest and largest signal efficiency at which the threshold may be: the efficiencies are equal anyway where
    everything passes, or nothing."""
    min_n_eff: Positive = 25.0
    """Smallest effective number of choosing background events that pass."""


class EfficiencyPoint(SelectingSection):
    """The tightest threshold that keeps a stated share of what it selects."""

    objective: Literal["efficiency"]
    """A stated efficiency, as of `evaluation.working_points`, but chosen on other events than it is measured on."""
    efficiency: Fraction
    """The share that is kept."""


class FixedPoint(SelectingSection):
    """A stated threshold."""

    objective: Literal["fixed"]
    """No events choose it."""
    threshold: float
    """An event passes if the output is at least this value."""


PointConfig = Annotated[
    F1Point | SignificancePoint | EqualBackgroundPoint | EfficiencyPoint | FixedPoint, Field(discriminator="objective")
]


def outputs_of(config: AnalysisConfig, model: str) -> tuple[str, ...]:
    """Return the outputs of a model that may be cut: the score, probabilities of several classes and of labels,
    discriminants.
    """
    section = config.models[model]
    classes = predicted_classes(config, section)
    names = (*classes, *labels_of(section))
    return (SCORE, *(f"{PROBABILITY}{name}" for name in names), *(config.discriminants if classes else ()))


def models_with(config: AnalysisConfig, point: PointSection) -> tuple[str, ...]:
    """Return the models that get a working point."""
    named = config.models if point.models is None else point.models
    return tuple(m for m in named if m in config.models and point.output in outputs_of(config, m))


def selected_by(config: AnalysisConfig, point: PointSection) -> str:
    """Return what a working point selects: `signal`, a class or a label."""
    named = point.selects if isinstance(point, SelectingSection) else None
    if named is not None:
        return named
    of_output = point.output.removeprefix(PROBABILITY)
    return of_output if of_output != point.output and of_output in selectable(config) else SIGNAL


def selectable(config: AnalysisConfig) -> tuple[str, ...]:
    """Return what working points may select."""
    return tuple(dict.fromkeys([SIGNAL, *config.class_names, *config.labels]))


def domains_to_equal(config: AnalysisConfig) -> tuple[str, ...]:
    """Return the domains that `equal_background` may use: simulated background that is not kept for the evaluation."""
    other = [domain for domain in config.domains if domain != config.nominal_domain]
    return tuple(
        domain
        for domain in other
        if any(
            sample.domain == domain and sample.use == "train" and config.side_of(name) == "background"
            for name, sample in config.samples.items()
        )
    )


def problems_of_points(config: AnalysisConfig) -> Iterator[str]:
    """Yield every problem as `path: what is wrong`."""
    branches: dict[str, str] = {}
    for name, point in config.working_points.items():
        path = f"working_points.{name}"
        yield from _models(config, path, point)
        named = point.selects if isinstance(point, SelectingSection) else None
        if named is not None and named not in selectable(config):
            yield unknown(f"{path}.selects", named, "class", selectable(config))
        if isinstance(point, EqualBackgroundPoint):
            yield from _domain(config, path, point)
        for model in models_with(config, point):
            branch = branch_of(f"pass_{model}_{name}")
            what = f"{path} of {model}"
            if branches.setdefault(branch, what) != what or branch in map(branch_of, config.split.key):
                yield f"{what} and {branches[branch]} would be one branch, {branch!r}, of `hepda apply`; rename one."
    yield from _regions(config)


def _models(config: AnalysisConfig, path: str, point: PointSection) -> Iterator[str]:
    outputs = tuple(dict.fromkeys(output for model in config.models for output in outputs_of(config, model)))
    if point.output not in outputs:
        yield unknown(f"{path}.output", point.output, "output of a model", outputs)
        return
    yield from duplicates(f"{path}.models", point.models or ())
    for model in point.models or ():
        if model not in config.models:
            yield unknown(f"{path}.models", model, "model", config.models)
        elif point.output not in outputs_of(config, model):
            yield (
                f"{path}.models: {model!r} has no output {point.output!r}; it has "
                f"{', '.join(outputs_of(config, model))}."
            )


def _domain(config: AnalysisConfig, path: str, point: EqualBackgroundPoint) -> Iterator[str]:
    usable = domains_to_equal(config)
    if point.domain is None:
        if not usable:
            yield f"{path}.domain: there is no second simulated domain with a background, besides those for evaluation."
    elif point.domain not in config.domains:
        yield unknown(f"{path}.domain", point.domain, "domain", usable)
    elif point.domain not in usable:
        why = "the nominal domain" if point.domain == config.nominal_domain else "data or kept for the evaluation"
        yield (
            f"{path}.domain: {point.domain!r} is {why}, so it cannot help to choose a threshold; name one of "
            f"{', '.join(usable) or 'no domain: there is none'}."
        )


def _regions(config: AnalysisConfig) -> Iterator[str]:
    """Yield a problem for regions of the fit that name a working point which a model does not have."""
    for name, region in config.fit.regions.items() if config.fit is not None else ():
        for key in ("passes", "fails"):
            path, named = f"fit.regions.{name}.{key}", getattr(region, key)
            yield from duplicates(path, named)
            for point in named:
                if point not in config.working_points:
                    yield unknown(path, point, "working point", config.working_points)
                    continue
                having = models_with(config, config.working_points[point])
                if without := [model for model in config.models if model not in having]:
                    yield (
                        f"{path}: the model {without[0]!r} has no working point {point!r}, which has to be one of the "
                        "model that is fitted; leave its `models` out, or take the model out of `models`."
                    )
        for point in set(region.passes) & set(region.fails):
            yield f"fit.regions.{name}: no event passes and fails {point!r}; take it out of one of the two."
