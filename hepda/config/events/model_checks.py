"""Checks of the settings of models without their samples: domain loss, reweighting, the parameter, the number."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from hepda.adversarial.methods import METHODS
from hepda.adversarial.methods.registry import field_names
from hepda.config.events.class_checks import predicted_classes, trained_classes
from hepda.config.models import FIELDS, AdversaryConfig, DomainConfig, NetworkConfig, RatioConfig
from hepda.config.problems import duplicates, given, no_feature, unknown

if TYPE_CHECKING:
    from hepda.config.events.analysis import AnalysisConfig

_OWN = ("input", "head", "balance", "steps", "learning_rate_factor", "smoothing", "spectral_norm", "gradient_penalty",
        "tail")  # fmt: skip
"""Keys of a domain loss that not every method reads."""


def keys_of(method: str) -> set[str]:
    """Return which of these keys a method reads; `none` switches the domain loss off, whatever else there is."""
    return set(_OWN) if method == "none" else {key for key in _OWN if FIELDS[key] in field_names(method)}


def methods_of(domain: AdversaryConfig) -> tuple[str, ...]:
    """Return the names in `method`, which commas join."""
    return tuple(part.strip() for part in domain.method_name.split(","))


def without_effect(domain: AdversaryConfig, method: str | None = None) -> list[str]:
    """Return the keys of the section that are given although its method does not read them.

    Args:
        domain: the section.
        method: another method to check instead of that of the section.

    """
    names = methods_of(domain if method is None else domain.model_copy(update={"method": method}))
    read = set().union(*map(keys_of, names))
    return [key for key in given(domain, *_OWN) if key not in read]


def check_method(path: str, domain: AdversaryConfig, kind: str) -> Generator[str, None, bool]:
    """Yield the problems of `method` for images and speech, whose rows have no masks of classes.

    Args:
        path: the key of the section.
        domain: the section.
        kind: the kind of data, for the message.

    Returns:
        Whether the method is known.

    """
    names = methods_of(domain)
    yield from duplicates(f"{path}.method", names)
    allowed = [method for method in METHODS if method != "conditional"]
    for name in names:
        if name not in allowed:
            yield unknown(f"{path}.method", name, f"method for {kind}", allowed)
            return False
    for key in without_effect(domain):
        yield f"{path}.{key}: has no effect with `method: {domain.method_name}`; remove it."
    return True


MOST_WEIGHTS = 200_000_000
"""The largest number of weights of a network: 3 GB with the numbers of the optimizer."""


def _sizes(config: AnalysisConfig) -> Iterator[str]:
    """Yield a problem for networks that do not fit into memory, before one is built."""
    for model, section in config.models.items():
        if not isinstance(section, NetworkConfig):
            continue
        inputs = len(config.features) + (section.parameter is not None)
        if isinstance(section.encoder, tuple):
            yield from too_large(f"models.{model}.encoder", (inputs, *section.encoder))
        outputs = len(predicted_classes(config, section)) or 1
        yield from too_large(f"models.{model}.class_head", (section.embedding, *section.class_head, outputs))
        if section.domain is not None:
            yield from too_large(f"models.{model}.domain.head", (section.embedding, *section.domain.head))


def too_large(path: str, widths: Sequence[int]) -> Iterator[str]:
    """Yield a problem for layers of these widths, inputs first, that have more weights than MOST_WEIGHTS."""
    weights = sum(inputs * outputs for inputs, outputs in pairwise(widths))
    if weights > MOST_WEIGHTS:
        yield f"{path}: has {weights:.3g} weights, and at most {MOST_WEIGHTS:.3g} are trained; take narrower layers."


def _domain_methods(config: AnalysisConfig) -> Iterator[str]:
    for model, section in config.models.items():
        if isinstance(section, NetworkConfig) and section.domain is not None:
            classes = [name for name, _ in trained_classes(config, section)]
            path = f"models.{model}.domain"
            if section.regress is not None:
                yield from _of_number(path, section.domain)
            yield from _method(config, path, section.domain, classes)


def _method(config: AnalysisConfig, path: str, domain: DomainConfig, classes: Sequence[str]) -> Iterator[str]:
    names = methods_of(domain)
    yield from duplicates(f"{path}.method", names)
    unknown_names = [name for name in names if name not in METHODS]
    for name in unknown_names:
        yield unknown(f"{path}.method", name, "method", METHODS)
    if unknown_names:
        return
    if "none" in names and len(names) > 1:
        yield f"{path}.method: 'none' cannot be combined with other methods; remove it, or the others."
    for key in without_effect(domain):
        takers = ", ".join(name for name in METHODS if key in keys_of(name) and name != "none")
        yield f"{path}.{key}: has no effect with `method: {domain.method_name}` (it has with {takers}); remove it."
    yield from _needs(path, domain, names, classes)
    if "conditional" in names and classes:
        yield from _conditional(config, path, domain, classes)


def _needs(path: str, domain: DomainConfig, names: tuple[str, ...], classes: Sequence[str]) -> Iterator[str]:
    """Yield the problems of single methods with the rest of the section."""
    if not classes:
        return  # `_of_number` has the messages
    if "contrast" in names and len(classes) == 2:
        yield f"{path}.method: 'contrast' needs three classes or more, events have two; take 'pseudo'."
    if domain.tail is not None and len(classes) > 2:
        yield f"{path}.tail: needs a model of one score, and this one has {len(classes)}; set `classes: binary`."
    for name in ("mcc", "pseudo"):
        if name in names and domain.rows != "all":
            yield f"{path}.rows: method {name!r} sorts the target into classes, so it needs `rows: all`."
    if "mdd" in names and len(names) == 1 and given(domain, "head") and len(domain.head) != 1:
        yield f"{path}.head: method 'mdd' has one hidden layer; give one width."
    if "wasserstein" in names and 1 < domain.steps < 5:
        yield f"{path}.steps: a critic needs 5 steps or more for one of the encoder; leave it out, or set 5."


def _conditional(config: AnalysisConfig, path: str, domain: DomainConfig, classes: Sequence[str]) -> Iterator[str]:
    """Yield the problems of a domain head for each class: both sides must have all classes, and no data."""
    if domain.rows != "all":
        yield f"{path}.rows: method 'conditional' has a domain head a class, so it needs `rows: all`."
    targets = ((domain.key_of(target), samples) for target, samples in domain.targets.items())
    for side, samples in (("source", domain.source), *targets):
        present = [name for name in samples if name in config.samples]
        found = {config.samples[name].class_ if len(classes) > 2 else config.side_of(name) for name in present}
        if found != set(classes):
            which = "both classes" if len(classes) == 2 else f"every class ({', '.join(classes)})"
            yield f"{path}.{side}: method 'conditional' needs samples of {which} here, and no data."


def _ratios(config: AnalysisConfig) -> Iterator[str]:
    for model, section in config.models.items():
        if isinstance(section, NetworkConfig) and section.domain is not None and section.domain.reweight is not None:
            yield from _ratio(config, f"models.{model}.domain.reweight", section.domain.reweight)
        ratio, path = section.reweight, f"models.{model}.reweight"
        if ratio is None:
            continue
        yield from _ratio(config, path, ratio)
        trained = config.training_samples(model)
        for side, samples in (("source", ratio.source), ("target", ratio.target)):
            yield from duplicates(f"{path}.{side}", samples)
            if not samples:
                yield f"{path}.{side}: is empty; name at least one sample."
            for name in samples:
                if name not in config.samples:
                    yield unknown(f"{path}.{side}", name, "sample", config.samples)
                elif config.samples[name].use == "evaluate":
                    yield f"{path}.{side}: {name!r} is marked `use: evaluate`; no model may train on it."
                elif side == "source" and name not in trained:
                    yield f"{path}.source: {name!r} is not in the class loss of the model; name {', '.join(trained)}."
                elif side == "target" and name in ratio.source:
                    yield f"{path}.target: {name!r} is in source as well; it looks like itself."


def _ratio(config: AnalysisConfig, path: str, ratio: RatioConfig) -> Iterator[str]:
    yield from duplicates(f"{path}.features", ratio.features or ())
    for name in ratio.features or ():
        if name not in config.features:
            where = f"{path}.features"
            yield no_feature(where, name, config.features, config.variables, "feature of this analysis")


def _parameters(config: AnalysisConfig) -> Iterator[str]:
    for model, section in config.models.items():
        if not isinstance(section, NetworkConfig) or section.parameter is None:
            continue
        path, values = f"models.{model}.parameter", section.parameter
        for domain in values:
            if domain not in config.domains:
                yield unknown(path, domain, "domain", config.domains)
        trained = config.training_samples(model)
        compared = (*section.domain.source, *section.domain.target_samples) if section.domain is not None else ()
        domains = {config.samples[n].domain: n for n in (*compared, *trained) if n in config.samples}
        for domain, sample in domains.items():
            if domain not in values:
                yield f"{path}: gives no value for the domain {domain!r} of {sample!r}, which the model trains on."
        trained_domains = {config.samples[n].domain for n in trained if n in config.samples}
        if len({values[domain] for domain in trained_domains if domain in values}) < 2:
            yield (
                f"{path}: `train_on` ({', '.join(trained)}) has samples of one value only, so the network cannot "
                "learn what the parameter does; add samples of another domain."
            )
        if 0.0 not in values.values():
            yield f"{path}: no domain has the value 0, at which events are scored; give it to the nominal one."


def _of_number(path: str, domain: DomainConfig) -> Iterator[str]:
    """Yield the problems of a domain loss of a model that predicts a number: what needs probabilities of classes."""
    able = [name for name, method in METHODS.items() if method.classes == 1 and name not in ("conditional", "none")]
    for name in methods_of(domain):
        if name in METHODS and (METHODS[name].classes > 1 or name == "conditional"):
            yield (
                f"{path}.method: {name!r} uses the probabilities of classes, and this model predicts a number; take "
                f"one of {', '.join(able)}."
            )
    if domain.input == "features*score":
        yield f"{path}.input: the product with the score is for classes, and this model predicts a number; remove it."
    if domain.tail is not None:
        yield f"{path}.tail: is a cut on the score, and this model predicts a number; remove it."


_SCORERS_OF_NUMBERS = ("source-loss", "probe-auc")


def _numbers(config: AnalysisConfig) -> Iterator[str]:
    """Yield the problems of models that predict a number."""
    for model, section in config.models.items():
        regress, path = section.regress, f"models.{model}"
        if regress is None:
            continue
        for key in given(section, "classes", "score", "labels"):
            yield f"{path}.{key}: is about classes, and the model predicts a number (`regress`); remove one of them."
        if regress.target.strip() in (name.strip() for name in config.features):
            yield (
                f"{path}.regress.target: {regress.target.strip()!r} is among `features`: the model would only copy "
                "it; remove it from `features`."
            )
        scorer = section.training.scorer if isinstance(section, NetworkConfig) else None
        if scorer is not None and scorer not in _SCORERS_OF_NUMBERS:
            yield (
                f"{path}.training.scorer: {scorer!r} uses the probabilities of classes, and the model predicts a "
                f"number; take one of {', '.join(_SCORERS_OF_NUMBERS)}."
            )


CHECKS: tuple[Callable[[AnalysisConfig], Iterator[str]], ...] = (
    _sizes,
    _domain_methods,
    _numbers,
    _ratios,
    _parameters,
)
"""Functions that yield problems as `path: what is wrong`."""
