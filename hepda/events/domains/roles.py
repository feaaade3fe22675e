"""The events that comparisons between domains use.

The nominal domain is the source: models are trained on it, and its signal fixes the cuts. The other domains are
compared with it, class by class; data, whose classes are unknown, are compared with all of the simulation at physical
weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hepda.events.domains.blinding import BLINDED
from hepda.events.domains.counterparts import CLASS_NAMES, ClassName
from hepda.events.domains.spec import Domains, EvaluationSpec
from hepda.events.table.feature_table import FeatureTable

Mask = NDArray[np.bool_]
LABELS: dict[str, int] = {"background": 0, "signal": 1}
UNLABELLED = "the classes of its events are unknown"


@dataclass(frozen=True, slots=True)
class Selection:
    """The events of one domain that a comparison uses. mask: which; class_name: their class, or `all`."""

    mask: Mask
    class_name: str


def labelled_domains(table: FeatureTable) -> tuple[str, ...]:
    """Return domains with events of both classes, in the table's order."""
    return tuple(name for name in table.domain_names if {0, 1} <= _labels(table, name))


def _labels(table: FeatureTable, domain: str) -> set[int]:
    return set(np.unique(table.label[table.of_domain(domain)]).tolist())


def missing_class(table: FeatureTable, domain: str) -> ClassName | None:
    """Return the missing class of a domain; None if it has both, or if its classes are unknown."""
    missing_of: dict[frozenset[int], ClassName] = {frozenset({0}): "signal", frozenset({1}): "background"}
    return missing_of.get(frozenset(_labels(table, domain) - {-1}))


def blinded_domains(domains: Domains, table: FeatureTable) -> tuple[str, ...]:
    """Return domains of data whose scores are hidden in a range: no number is taken from their scores or embeddings."""
    if domains.hidden is None:
        return ()
    return tuple(name for name in table.domain_names if np.all(table.label[table.of_domain(name)] < 0))


def excluded_domains(spec: EvaluationSpec, table: FeatureTable) -> dict[str, str]:
    """Return the domains that are excluded from the comparison with the nominal one, each with the reason.

    They are blinded, lack the class, have no known counterparts, or are not named in `evaluation.bias.between`.
    """
    class_name, domains = spec.compared_class, spec.domains
    reasons = {}
    for name in table.domain_names:
        unknown = domains.counterparts_of(name, class_name).why
        if unknown:
            reasons[name] = unknown
        elif missing_class(table, name) == class_name:
            reasons[name] = f"it has no {class_name} events to compare"
        elif spec.between is not None and name not in spec.between:
            reasons[name] = "`evaluation.bias.between` does not name it"
    reasons |= dict.fromkeys(blinded_domains(domains, table), BLINDED)
    return {name: why for name, why in reasons.items() if name != domains.nominal}


def compared_domains(spec: EvaluationSpec, table: FeatureTable) -> list[str]:
    """Return the domains that are compared with the nominal one.

    They are those of `evaluation.bias.between`, in its order, or all.
    """
    excluded = {spec.domains.nominal, *excluded_domains(spec, table)}
    order = table.domain_names if spec.between is None else spec.between
    return [name for name in order if name in table.domain_names and name not in excluded]


def compared(
    spec: EvaluationSpec, table: FeatureTable, other: str, class_name: ClassName | None = None
) -> tuple[Selection, Selection]:
    """Return the events of the nominal domain and of another one that are compared.

    They are of one class, or all events if the class is unknown. Of a class, they are of the processes that both
    domains have (`hepda.events.domains.counterparts`).

    Args:
        spec: the settings of the evaluation.
        table: the events.
        other: the other domain.
        class_name: the class; None: the compared one.

    """
    name = class_name or spec.compared_class
    in_source, in_other = table.of_domain(spec.domains.nominal), table.of_domain(other)
    of_class = table.label == LABELS[name]
    if np.any(in_other & of_class):
        of_class = of_class & ~without_counterpart(spec.domains, table, other, name)
        return Selection(in_source & of_class, name), Selection(in_other & of_class, name)
    return Selection(in_source & (table.label >= 0), "all"), Selection(in_other, "all")


def without_counterpart(domains: Domains, table: FeatureTable, other: str, class_name: ClassName) -> Mask:
    """Return the mask [n] of events without a counterpart.

    These are events of a class, in the nominal or in another domain, whose process the other of the two does not have.
    """
    names = [name for name in domains.counterparts_of(other, class_name).excluded if name in table.sample_names]
    return table.of_samples(names) if names else np.zeros(len(table), dtype=bool)


def borrowed(domains: Domains, table: FeatureTable, other: str) -> Mask:
    """Return the mask [n] of the events that another simulated domain borrows from the nominal domain.

    They are events of processes that it does not have, in classes that it has. With them its expectation has the same
    processes as that of the nominal domain: it is what would be expected if the other generator were right for the
    processes that it has.
    """
    source, mask = table.of_domain(domains.nominal), np.zeros(len(table), dtype=bool)
    for name in common_classes(domains, table, other):
        mask |= source & (table.label == LABELS[name]) & without_counterpart(domains, table, other, name)
    return mask


def with_counterpart(domains: Domains, table: FeatureTable, other: str) -> Mask:
    """Return the mask [n] of the events of another domain whose processes the nominal domain has too."""
    mask = table.of_domain(other)
    for name in common_classes(domains, table, other):
        mask = mask & ~((table.label == LABELS[name]) & without_counterpart(domains, table, other, name))
    return mask


def common_classes(domains: Domains, table: FeatureTable, other: str) -> list[ClassName]:
    """Return the classes in which the nominal and another domain have a process in common; none for data."""
    common = _labels(table, domains.nominal) & _labels(table, other)
    return [name for name in CLASS_NAMES if LABELS[name] in common and not domains.counterparts_of(other, name).why]
