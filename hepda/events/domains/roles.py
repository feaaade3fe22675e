"""The comparisons between domains, and the events that they use.

The nominal domain, which is the first of the config, is the source: models are trained on it, and its signal fixes the
cuts. The other domains are compared with it, class by class; data, whose classes are unknown, are compared with all of
the simulation at physical weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hepda.config import AnalysisConfig
from hepda.events.domains.blinding import BLINDED, blinded_domains, hidden_range
from hepda.events.domains.counterparts import counterparts
from hepda.events.table.feature_table import FeatureTable

Mask = NDArray[np.bool_]
ClassName = Literal["background", "signal"]
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


def lacking_class(table: FeatureTable, domain: str) -> ClassName | None:
    """Return the missing class of a domain; None if it has both, or if its classes are unknown."""
    known: dict[frozenset[int], ClassName] = {frozenset({0}): "signal", frozenset({1}): "background"}
    return known.get(frozenset(_labels(table, domain) - {-1}))


def compared_class(config: AnalysisConfig) -> ClassName:
    """Return the class whose events are compared between domains."""
    return config.evaluation.bias.class_ if config.evaluation.bias is not None else "background"


def untold_domains(config: AnalysisConfig, table: FeatureTable) -> dict[str, str]:
    """Return the domains that are excluded from the comparison with the source, each with the reason.

    They are blinded, lack the class, have no known counterparts, or are not named in `evaluation.bias.between`.
    """
    wanted = compared_class(config)
    bias = config.evaluation.bias
    found = {}
    for name in table.domain_names:
        unknown = None if name == config.domains[0] else counterparts(config, name, wanted).why
        if unknown:
            found[name] = unknown
        elif lacking_class(table, name) == wanted:
            found[name] = f"it has no {wanted} events to compare"
        elif bias is not None and name not in bias.between:
            found[name] = "`evaluation.bias.between` does not name it"
    found |= dict.fromkeys(blinded_domains(config, table), BLINDED)
    return {name: why for name, why in found.items() if name != config.domains[0]}


def compared_domains(config: AnalysisConfig, table: FeatureTable) -> list[str]:
    """Return the domains that are compared with the source.

    They are those of `evaluation.bias.between`, in its order, or all.
    """
    hidden = {config.domains[0], *untold_domains(config, table)}
    bias = config.evaluation.bias
    order = table.domain_names if bias is None else bias.between
    return [name for name in order if name in table.domain_names and name not in hidden]


def alone(config: AnalysisConfig) -> str | None:
    """Return as text what is not measured where only one domain is simulated; None where there are several."""
    source = config.domains[0]
    if any(not sample.is_data and sample.domain != source for sample in config.samples.values()):
        return None
    return (
        f"Only one domain, {source}, is simulated: models are trained and judged on it, and no difference between "
        "generators is measured. A sample of a second generator, with a `domain` of its own, would show one."
    )


def has_second_domain(config: AnalysisConfig) -> bool:
    """Return whether the source may be compared with any domain: simulation, or data that are not blinded."""
    hidden = hidden_range(config) is not None
    others = [sample for sample in config.samples.values() if sample.domain != config.domains[0]]
    return any(not (sample.is_data and hidden) for sample in others)


def held_out_domains(config: AnalysisConfig) -> tuple[str, ...]:
    """Return the held-out generators: simulated domains whose samples are all for evaluation and never for training."""
    uses: dict[str, set[str]] = {}
    for sample in config.samples.values():
        uses.setdefault(sample.domain, set()).add("data" if sample.is_data else sample.use)
    return tuple(domain for domain, found in uses.items() if found == {"evaluate"})


def trained_on(config: AnalysisConfig, model: str) -> tuple[str, ...]:
    """Return the domains of the class loss of a model, in the order of the samples."""
    names = config.training_samples(model)
    return tuple(d for d in config.domains if any(config.samples[name].domain == d for name in names))


def adapted_to(config: AnalysisConfig, model: str) -> str | None:
    """Return the domain that a model is adapted to, by its domain loss or its reweighting; None without either."""
    section: Any = config.models[model]
    for part in (getattr(section, "domain", None), getattr(section, "reweight", None)):
        if part is not None and getattr(part, "method", "") != "none":
            return config.samples[part.target[0]].domain
    return None


def plain_model(config: AnalysisConfig) -> str:
    """Return the baseline: the model without adaptation that the others are compared with.

    It is `network`, or else the first one.
    """
    return "network" if "network" in config.models else next(iter(config.models))


def compared(
    config: AnalysisConfig, table: FeatureTable, other: str, wanted: ClassName | None = None
) -> tuple[Selection, Selection]:
    """Return the events of the source and of another domain that are compared.

    They are of one class, or all events if the class is unknown. Of a class, they are of the processes that both
    domains have (`hepda.events.domains.counterparts`).

    Args:
        config: the analysis.
        table: the events.
        other: the other domain.
        wanted: the class; None: `compared_class`.

    """
    name = wanted or compared_class(config)
    in_source, in_other = table.of_domain(config.domains[0]), table.of_domain(other)
    of_class = table.label == LABELS[name]
    if np.any(in_other & of_class):
        of_class = of_class & ~alone_in(config, table, other, name)
        return Selection(in_source & of_class, name), Selection(in_other & of_class, name)
    return Selection(in_source & (table.label >= 0), "all"), Selection(in_other, "all")


def alone_in(config: AnalysisConfig, table: FeatureTable, other: str, class_name: str) -> Mask:
    """Return the mask [n] of events without a counterpart.

    These are events of a class, in the source or in another domain, whose process the other of the two does not have.
    """
    names = [name for name in counterparts(config, other, class_name).alone if name in table.sample_names]
    return table.of_samples(names) if names else np.zeros(len(table), dtype=bool)


def lent_to(config: AnalysisConfig, table: FeatureTable, other: str) -> Mask:
    """Return the mask [n] of the events that another simulated domain borrows from the nominal domain.

    They are events of processes that it does not have, in classes that it has. With them its expectation has the same
    processes as the source's: it is what would be expected if the other generator were right for the processes that it
    has.
    """
    source, found = table.of_domain(config.domains[0]), np.zeros(len(table), dtype=bool)
    for name in classes_of(config, table, other):
        found |= source & (table.label == LABELS[name]) & alone_in(config, table, other, name)
    return found


def own_of(config: AnalysisConfig, table: FeatureTable, other: str) -> Mask:
    """Return the mask [n] of the events of another domain without those of processes that the source does not have."""
    found = table.of_domain(other)
    for name in classes_of(config, table, other):
        found = found & ~((table.label == LABELS[name]) & alone_in(config, table, other, name))
    return found


def classes_of(config: AnalysisConfig, table: FeatureTable, other: str) -> list[ClassName]:
    """Return the classes in which the source and another domain have a process in common; none for data."""
    common = _labels(table, config.domains[0]) & _labels(table, other)
    names: list[ClassName] = ["background", "signal"]
    return [name for name in names if LABELS[name] in common and not counterparts(config, other, name).why]
