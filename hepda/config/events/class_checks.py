"""Checks of the classes of samples: which are signal, which can be trained, which names they may have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hepda.config.models import EventFusionConfig, ModelConfig
from hepda.config.problems import duplicates, unknown
from hepda.errors import nearest

if TYPE_CHECKING:
    from hepda.config.events.analysis import AnalysisConfig

_RESERVED = ("all", "data", "source", "target", "both", "adversary")
"""Names that mean rows of every class, events without one, and rows of a domain loss."""


def predicted_classes(config: AnalysisConfig, section: ModelConfig) -> tuple[str, ...]:
    """Return the classes whose probabilities a model gives; empty for a model of one score."""
    names = config.class_names
    if isinstance(section, EventFusionConfig):  # as the first of its models; the checks compare the others with it
        fused = [config.models[name] for name in section.of if name in config.models]
        first = next((model for model in fused if not isinstance(model, EventFusionConfig)), None)
        return () if first is None else predicted_classes(config, first)
    return names if len(names) > 2 and section.classes == "all" and section.regress is None else ()


def trained_classes(config: AnalysisConfig, section: ModelConfig) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield what a model tells apart: the name of each part, and the classes of the samples in it.

    A model that predicts a number tells nothing apart.
    """
    if section.regress is not None:
        return
    several = predicted_classes(config, section)
    for name in several:
        yield name, (name,)
    if not several:
        yield "signal", tuple(name for name in config.class_names if name in config.signal)
        yield "background", tuple(name for name in config.class_names if name not in config.signal)


def trained_anywhere(config: AnalysisConfig, classes: Sequence[str]) -> bool:
    """Return whether models may be trained on any of these classes in the domain where they have to be known."""
    several = len(config.class_names) > 2  # of two classes, a model may take one from another domain by `train_on`
    return any(
        sample.class_ in classes and sample.use == "train" and not (several and sample.domain != config.nominal_domain)
        for sample in config.samples.values()
    )


def _signal(config: AnalysisConfig) -> Iterator[str]:
    """Yield a problem unless there are a signal and a background; models that predict numbers alone need no signal."""
    names = config.class_names
    yield from duplicates("signal", config.signal)
    if not config.classifiers and names:
        return
    absent = [name for name in config.signal if name not in names]
    if not names:
        yield "samples: none has a `class`, so all are data; a classifier needs a signal and a background."
    elif absent == ["signal"] and "signal" not in config.model_fields_set:
        which = (
            f"name by `signal` which of {', '.join(names)} are" if len(names) > 1 else "a classifier needs both classes"
        )
        yield f"samples: none has `class: signal`; {which}.{nearest('signal', names)}"
    else:
        for name in absent:
            yield unknown("signal", name, "class of a sample", names)
    if names and all(name in config.signal for name in names):
        only = "signal" if names == ("signal",) else f"signal ({', '.join(names)})"
        yield f"samples: every class is {only}; a classifier needs a background too."


def _trained(config: AnalysisConfig) -> Iterator[str]:
    """Yield a problem for each class of which no model could be trained: the nominal domain lacks it."""
    if not config.classifiers:
        return
    for name in config.class_names:
        if trained_anywhere(config, [name]):
            continue
        if len(config.class_names) <= 2:
            yield f"samples: none has `class: {name}` and `use: train`; a classifier needs both classes."
        else:
            yield (
                f"samples: none of the nominal domain, {config.nominal_domain!r}, has `class: {name}` and "
                "`use: train`, so no model learns this class; add one, or give the samples another class."
            )


def _names(config: AnalysisConfig) -> Iterator[str]:
    """Yield a problem for names of classes that mean something else."""
    names = config.class_names
    background = [name for name in names if name not in config.signal]
    for name in names:
        if name in _RESERVED:
            yield f"samples: `class: {name}` is no name of a class: `{name}` has another meaning; choose another."
    if "background" in config.signal and "background" in names:
        yield "signal: the class 'background' cannot be signal; give its samples another class."
    elif "background" in background and len(background) > 1:
        others = ", ".join(name for name in background if name != "background")
        yield (
            f"samples: `class: background` is every class that is not signal, and there are others ({others}); "
            "give its samples the name of a process."
        )
    if "signal" in background:
        yield f"samples: the class 'signal' is not among `signal` ({', '.join(config.signal)}); choose another name."


def _discriminants(config: AnalysisConfig) -> Iterator[str]:
    """Yield a problem for discriminants that no model has, and for scores that are no discriminant."""
    classes = [f"p_{name}" for name in config.class_names]
    for name in config.discriminants:
        if name in classes:
            yield f"discriminants.{name}: is the probability of a class; choose another name."
    several = [model for model, section in config.models.items() if predicted_classes(config, section)]
    if config.discriminants and not several:
        why = "there are two classes only" if len(config.class_names) <= 2 else "every model has `classes: binary`"
        yield f"discriminants: no model has probabilities of several classes: {why}; remove them."
    for model, section in config.models.items():
        path = f"models.{model}.score"
        if section.score is None:
            continue
        if section.regress is not None:
            continue  # `regress` has the message
        if model not in several:
            yield f"{path}: a model of signal against background has one score only; remove it."
        elif section.score not in config.discriminants:
            yield unknown(path, section.score, "discriminant", config.discriminants)


def _labels(config: AnalysisConfig) -> Iterator[str]:
    """Yield a problem for labels that are something else already, and for models that name none that there is."""
    known = list(dict.fromkeys([*config.labels, "signal", *config.class_names]))
    for name in config.labels:
        if name in ("signal", "background", *config.class_names, *_RESERVED):
            yield f"labels.{name}: is a class already, or has another meaning; choose another name."
        if name in config.discriminants or f"p_{name}" in config.discriminants:
            yield f"labels.{name}: a discriminant has the name of its output; choose another."
    used: set[str] = set()
    for model, section in config.models.items():
        path, names = f"models.{model}.labels", labels_of(section)
        used |= set(names)
        yield from duplicates(path, names)
        for name in names:
            if name not in known:
                yield unknown(path, name, "label", known)
            elif name in predicted_classes(config, section):
                yield f"{path}: the probability of the class {name!r} is an output of the model already; remove it."
    for name in config.labels:
        if name not in used and not any(getattr(p, "selects", None) == name for p in config.working_points.values()):
            yield f"labels.{name}: no model learns it; name it in `labels` of a network, or remove it."


def labels_of(section: ModelConfig) -> tuple[str, ...]:
    """Return the labels that a model learns besides the classes."""
    names: tuple[str, ...] = getattr(section, "labels", ())
    return names


def _fusions(config: AnalysisConfig) -> Iterator[str]:
    """Yield a problem for fusions of models that predict different things, and for keys without effect."""
    for model, section in config.models.items():
        if not isinstance(section, EventFusionConfig):
            continue
        path = f"models.{model}"
        if section.method == "mean" and section.train_on is not None:
            yield f"{path}.train_on: has no effect with `method: mean`, which learns nothing; remove it."
        predicted = {
            name: predicted_classes(config, config.models[name]) for name in section.of if name in config.models
        }
        for name in section.of:
            if name in config.models and (config.models[name].regress is not None or labels_of(config.models[name])):
                yield f"{path}.of: {name!r} predicts a number, or labels as well; only scores of classes are fused."
        if len(set(predicted.values())) > 1:
            each = "; ".join(f"{name}: {', '.join(of) or 'signal, rest'}" for name, of in predicted.items())
            yield f"{path}.of: the models predict different classes ({each}); fuse models of the same."


CHECKS = (_signal, _trained, _names, _discriminants, _labels, _fusions)
"""Functions that yield problems as `path: what is wrong`."""
