"""Checks that cross the sections of the analysis file; each problem names its key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hepda.config.events import class_checks, model_checks, sample_checks, set_checks
from hepda.config.events.class_checks import trained_anywhere, trained_classes
from hepda.config.events.domain_checks import domain_heads
from hepda.config.events.fit import problems_of_fit
from hepda.config.events.names import model_names
from hepda.config.events.points import problems_of_points
from hepda.config.events.systematics import problems_of_systematics
from hepda.config.problems import duplicates, no_feature, unknown

if TYPE_CHECKING:
    from hepda.config.events.analysis import AnalysisConfig


def problems_of(config: AnalysisConfig) -> list[str]:
    """Return every problem as `path: what is wrong`; empty if the sections agree."""
    general = (
        _samples,
        _features,
        _references,
        _training_lists,
        domain_heads,
        _bias,
        _few_labels,
        _columns,
        model_names,
    )
    checks = (
        *class_checks.CHECKS,
        *general,
        *sample_checks.CHECKS,
        *model_checks.CHECKS,
        *set_checks.CHECKS,
        problems_of_systematics,
        problems_of_fit,
        problems_of_points,
    )
    return [problem for check in checks for problem in check(config)]


def _samples(config: AnalysisConfig) -> Iterator[str]:
    for name, sample in config.samples.items():
        path = f"samples.{name}"
        if sample.domain == "data" and sample.class_ is not None:
            yield f"{path}.class: a sample of the domain 'data' has no class; remove it or change its domain."


def _features(config: AnalysisConfig) -> Iterator[str]:
    yield from duplicates("split.key", config.split.key)
    yield from duplicates("features", config.features)
    for name in config.columns:
        if name in config.variables:
            yield f"columns.{name}: a variable has this name already; choose another."


def _references(config: AnalysisConfig) -> Iterator[str]:
    """Yield a problem for `nominal` and `baseline` that name no domain or model, or one that cannot be trained on."""
    simulated = [s.domain for s in config.samples.values() if not s.is_data]
    if config.nominal is not None and config.nominal not in config.domains:
        yield unknown("nominal", config.nominal, "domain", config.domains)
    elif config.nominal is not None and config.nominal not in simulated:
        yield (
            f"nominal: {config.nominal!r} is data, whose classes are unknown, so no model can be trained on it; name "
            f"a simulated domain: {', '.join(dict.fromkeys(simulated))}."
        )
    if config.baseline is not None and config.baseline not in config.models:
        yield unknown("baseline", config.baseline, "model", config.models)
    elif config.baseline is not None and config.baseline not in config.classifiers:
        yield f"baseline: {config.baseline!r} predicts a number, with which no separation is compared; name another."


def _training_lists(config: AnalysisConfig) -> Iterator[str]:
    for model in config.models:
        path = f"models.{model}.train_on"
        named = config.models[model].train_on
        names = config.training_samples(model)
        yield from duplicates(path, names)
        for name in names:
            if name not in config.samples:
                yield unknown(path, name, "sample", list(config.samples))
            elif config.samples[name].is_data:
                yield f"{path}: {name!r} has no class (it is data); the class loss never sees data."
            elif config.samples[name].use == "evaluate":
                yield f"{path}: {name!r} is marked `use: evaluate`; no model may train on it."
        for class_name, of_class in trained_classes(config, config.models[model]):
            if named is None and not trained_anywhere(config, of_class):
                continue  # `samples` has the message
            if not any(n in config.samples and config.samples[n].class_ in of_class for n in names):
                origin = "the list" if named is not None else f"the nominal domain, {config.nominal_domain!r},"
                which = "both classes" if len(config.class_names) == 2 else "every class"
                yield f"{path}: {origin} has no {class_name} sample; name samples of {which}."


def _bias(config: AnalysisConfig) -> Iterator[str]:
    bias = config.evaluation.bias
    if bias is None:
        return
    yield from duplicates("evaluation.bias.between", bias.between)
    if bias.between[0] in config.domains and bias.between[0] != config.nominal_domain:
        yield (
            f"evaluation.bias.between: must begin with {config.nominal_domain!r}, the nominal domain: it is trained "
            "on, and its signal fixes the cuts. Another one is chosen by `nominal`."
        )
    for name in bias.between:
        samples = [s for s in config.samples.values() if s.domain == name]
        if not samples:
            yield unknown("evaluation.bias.between", name, "domain", list(config.domains))
        elif not any(config.side_of(n) in (bias.class_, None) for n, s in config.samples.items() if s.domain == name):
            yield f"evaluation.bias.between: the domain {name!r} has no {bias.class_} sample to compare."


def _few_labels(config: AnalysisConfig) -> Iterator[str]:
    """Yield what is wrong with the domain of `evaluation.few_labels`."""
    section = config.evaluation.few_labels
    if section is None:
        return
    path = "evaluation.few_labels.domain"
    sides = {config.side_of(name) for name, sample in config.samples.items() if sample.domain == section.domain}
    if not sides:
        yield unknown(path, section.domain, "domain", config.domains)
    elif section.domain == config.nominal_domain:
        yield f"{path}: {section.domain!r} is the nominal domain, on which networks are trained; name another one."
    elif not {"signal", "background"} <= sides:
        yield f"{path}: {section.domain!r} has no sample of both signal and background, so there are no labels to draw."


def _columns(config: AnalysisConfig) -> Iterator[str]:
    names_of_columns = [*config.features, *config.columns]
    for key in ("protected", "efficiency_against"):
        names = getattr(config.evaluation, key)
        yield from duplicates(f"evaluation.{key}", names)
        for name in names:
            if name not in names_of_columns:
                yield no_feature(f"evaluation.{key}", name, names_of_columns, config.variables, "feature or a column")
