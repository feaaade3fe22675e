"""All methods by name. A new one is a file with its class, and a line here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from hepda.adversarial.methods import alignment, heads, predictions
from hepda.adversarial.methods.method import Comparison, Method, Parts
from hepda.errors import ConfigError, nearest

if TYPE_CHECKING:
    from hepda.adversarial.networks.network import Head
    from hepda.adversarial.networks.term import Term

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        alignment.NoAdaptation,
        heads.Dann,
        heads.Cdan,
        heads.CdanEntropy,
        heads.Conditional,
        heads.Pivot,
        alignment.MeanDiscrepancy,
        alignment.JointMeanDiscrepancy,
        alignment.DeepCoral,
        alignment.DistanceCorrelation,
        alignment.CramerDistance,
        alignment.WassersteinCritic,
        alignment.SecondClassifier,
        predictions.MinimumConfusion,
        predictions.SelfTraining,
        predictions.Smoothness,
        predictions.DannAndSmoothness,
        predictions.Contrast,
    )
}


def field_names(method: str) -> frozenset[str]:
    """Return the names of a method's settings; raise a `ConfigError` for an unknown method."""
    if method not in METHODS:
        raise ConfigError(f"unknown method {method!r}; one of {', '.join(METHODS)}.{nearest(method, METHODS)}")
    return frozenset(field.name for field in fields(METHODS[method]))


def methods_of(names: str, **settings: Any) -> list[Method]:
    """Return the methods of a name, or of several joined by commas (`"dann,pseudo"`).

    Args:
        names: of the methods.
        settings: values of fields; each method takes those that it has.

    Raises:
        ConfigError: an unknown name.

    """
    chosen = [name.strip() for name in names.split(",")]
    known = {name: field_names(name) for name in chosen}
    return [METHODS[n](**{key: value for key, value in settings.items() if key in known[n]}) for n in chosen]


def build(methods: str | Method | Sequence[Method], comparison: Comparison) -> Parts:
    """Return the heads and terms of a method, or of several.

    A second head of the same name (`"dann,pivot"`) also has the name of its method: `domain_pivot`.

    Raises:
        ConfigError: an unknown name, or a method that this network cannot have.

    """
    if isinstance(methods, str):
        methods = methods_of(methods)
    elif isinstance(methods, Method):
        methods = [methods]
    all_heads: list[Head] = []
    all_terms: list[Term] = []
    for method in methods:
        if comparison.classes < method.classes:
            needed = {2: "a head that predicts a class", 3: "three classes or more; for two, take 'pseudo'"}
            raise ConfigError(f"method {method.name!r} needs {needed[method.classes]}")
        if method.several == "never" and (comparison.domains > 2 or comparison.groups):
            what = "one target domain" if comparison.domains > 2 else "the rows of all classes"
            raise ConfigError(f"method {method.name!r} learns from its predictions on the target, so it needs {what}")
        more_heads, more_terms = _parts(method, comparison)
        for head in more_heads:
            repeated = any(head.name == other.name for other in all_heads)
            name = f"{head.name}_{method.name.replace('+', '_')}" if repeated else head.name
            all_heads.append(replace(head, name=name, target=head.key))
        twice = {term.name for term in all_terms} & {term.name for term in more_terms}
        if twice:
            names = ",".join(other.name for other in methods)
            raise ConfigError(f"method {names!r} has {', '.join(twice)} twice; leave one of the two out")
        all_terms += more_terms
    return all_heads, all_terms


def _parts(method: Method, comparison: Comparison) -> Parts:
    """Return the parts of a method, those of each target domain that is a pair with the source and of each group.

    Their names end with those of the pair and of the group.
    """
    pairs = comparison.pairs if method.several == "pairs" else ()
    heads: list[Head] = []
    terms: list[Term] = []
    for pair, group in product(pairs or ("",), comparison.groups or ("",)):
        more_heads, more_terms = method.build(replace(comparison, rows=comparison.mask(pair, group)))
        heads += [
            replace(head, name="_".join(filter(None, (head.name, pair, group))), target=head.key) for head in more_heads
        ]
        for term in more_terms:
            term.name = "_".join(filter(None, (term.name, pair, group)))
            terms.append(term)
    return heads, terms
