"""Which domains are compared with which, and by what events.

The first domain of the config is the source: models are trained on it, its signal fixes the cuts. The others are
held against it, class by class; data, whose classes are unknown, against all of the simulation at physical weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hepda.config import AnalysisConfig
from hepda.events.dataset.table import FeatureTable
from hepda.events.results.blinding import BLINDED, blinded_domains

Mask = NDArray[np.bool_]
ClassName = Literal["background", "signal"]
LABELS: dict[str, int] = {"background": 0, "signal": 1}
UNLABELLED = "the classes of its events are unknown"


@dataclass(frozen=True, slots=True)
class Selection:
    """Events of one domain that a comparison takes: which, and how they are called."""

    mask: Mask
    class_name: str


def labelled_domains(table: FeatureTable) -> tuple[str, ...]:
    """Domains with events of both classes, in the table's order."""
    return tuple(name for name in table.domain_names if {0, 1} <= _labels(table, name))


def _labels(table: FeatureTable, domain: str) -> set[int]:
    return set(np.unique(table.label[table.of_domain(domain)]).tolist())


def lacking_class(table: FeatureTable, domain: str) -> ClassName | None:
    """The class that a domain has no events of; None if it has both, or if its classes are unknown."""
    known: dict[frozenset[int], ClassName] = {frozenset({0}): "signal", frozenset({1}): "background"}
    return known.get(frozenset(_labels(table, domain) - {-1}))


def compared_class(config: AnalysisConfig) -> ClassName:
    """The class whose events are compared between domains."""
    return config.evaluation.bias.class_ if config.evaluation.bias is not None else "background"


def untold_domains(config: AnalysisConfig, table: FeatureTable) -> dict[str, str]:
    """Domains that are not compared with the source, each with the reason.

    They are blinded, without the class, or not named in `evaluation.bias.between`.
    """
    wanted = compared_class(config)
    bias = config.evaluation.bias
    found = {}
    for name in table.domain_names:
        if lacking_class(table, name) == wanted:
            found[name] = f"it has no {wanted} events to compare"
        elif bias is not None and name not in bias.between:
            found[name] = "`evaluation.bias.between` does not name it"
    found |= dict.fromkeys(blinded_domains(config, table), BLINDED)
    return {name: why for name, why in found.items() if name != config.domains[0]}


def compared_domains(config: AnalysisConfig, table: FeatureTable) -> list[str]:
    """The domains that are compared with the source: those of `evaluation.bias.between`, in its order, or all."""
    hidden = {config.domains[0], *untold_domains(config, table)}
    bias = config.evaluation.bias
    order = table.domain_names if bias is None else bias.between
    return [name for name in order if name in table.domain_names and name not in hidden]


def held_out_domains(config: AnalysisConfig) -> tuple[str, ...]:
    """Simulated domains that no training sees: all their samples are there to evaluate."""
    uses: dict[str, set[str]] = {}
    for sample in config.samples.values():
        uses.setdefault(sample.domain, set()).add("data" if sample.is_data else sample.use)
    return tuple(domain for domain, found in uses.items() if found == {"evaluate"})


def trained_on(config: AnalysisConfig, model: str) -> tuple[str, ...]:
    """The domains of the class loss of a model, in the order of the samples."""
    names = config.training_samples(model)
    return tuple(d for d in config.domains if any(config.samples[name].domain == d for name in names))


def adapted_to(config: AnalysisConfig, model: str) -> str | None:
    """The domain that a model is adapted to, by its domain loss or its reweighting; None without either."""
    section: Any = config.models[model]
    for part in (getattr(section, "domain", None), getattr(section, "reweight", None)):
        if part is not None and getattr(part, "method", "") != "none":
            return config.samples[part.target[0]].domain
    return None


def plain_model(config: AnalysisConfig) -> str:
    """The model without adaptation that the others are held against: `network`, else the first one."""
    return "network" if "network" in config.models else next(iter(config.models))


def compared(
    config: AnalysisConfig, table: FeatureTable, other: str, wanted: ClassName | None = None
) -> tuple[Selection, Selection]:
    """The events of the source and of another domain that are compared: one class, or all where it is unknown.

    wanted: the class; `compared_class` if not given.
    """
    name = wanted or compared_class(config)
    in_source, in_other = table.of_domain(config.domains[0]), table.of_domain(other)
    of_class = table.label == LABELS[name]
    if np.any(in_other & of_class):
        return Selection(in_source & of_class, name), Selection(in_other & of_class, name)
    return Selection(in_source & (table.label >= 0), "all"), Selection(in_other, "all")


def classes_of(table: FeatureTable, source: str, other: str) -> list[ClassName]:
    """The classes that both domains have; none for data."""
    common = _labels(table, source) & _labels(table, other)
    return [name for name in ("background", "signal") if LABELS[name] in common]
