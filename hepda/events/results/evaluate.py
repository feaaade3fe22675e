"""Computation of all numbers from scores: separation, differences between domains, and their effect on the analysis.

Every number is over events that the scoring network has not seen, with the sign of every weight. Which domains are
compared, and by which events, is defined in `domains`. The parts are computed in parallel, in processes of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import AnalysisConfig
from hepda.errors import DataError
from hepda.evaluation.differences.ratios import TAIL, shift_ratios
from hepda.evaluation.efficiency import weighted_efficiency
from hepda.evaluation.roc import rocs
from hepda.events.domains.blinding import blinded_domains
from hepda.events.domains.counterparts import unknown_composition
from hepda.events.domains.roles import (
    alone_in,
    compared_class,
    compared_domains,
    labelled_domains,
    lacking_class,
    plain_model,
    untold_domains,
)
from hepda.events.results.per_model import ModelNumbers, model_numbers
from hepda.events.results.probes import importance, input_removal, probes
from hepda.events.table.feature_table import FeatureTable
from hepda.results.evaluation import (
    FeatureImportance,
    InputRemoval,
    Interval,
    ProbeResult,
    Roc,
    RocBand,
    ShiftRatio,
)
from hepda.runtime import processes as parallel
from hepda.runtime.processes import Send

Array = NDArray[Any]
Rescore = Callable[..., Array]
"""Function that returns P(signal) [n] of the events of a table.

The arguments are the table, the name of a model and the fold whose trainings are used, independently of the folds of
the events; a fourth argument selects one member of an ensemble."""


@dataclass(slots=True)
class Numbers:
    """The numbers of a run in the form that figures need; `to_json.py` converts them to metrics.json."""

    source: str
    plain: str = ""  # the baseline model, with which the others are compared
    rocs: dict[str, dict[str, tuple[Roc, RocBand]]] = field(default_factory=dict)  # by domain and model
    models: dict[str, ModelNumbers] = field(default_factory=dict)
    inputs: dict[str, dict[str, tuple[ProbeResult, ...] | str]] = field(default_factory=dict)  # by domain and class
    importance: dict[str, FeatureImportance | str] = field(default_factory=dict)  # of the inputs, by other domain
    removal: dict[str, InputRemoval | str] = field(default_factory=dict)  # of the most separating inputs, by domain
    priors: dict[str, tuple[float, float]] = field(default_factory=dict)  # share of signal and its error, by domain
    unlabelled: tuple[str, ...] = ()  # other domains whose classes are unknown: data
    lacking: dict[str, str] = field(default_factory=dict)  # other domain -> the class of which it has no events
    untold: dict[str, str] = field(default_factory=dict)  # other domain that is not compared -> reason
    blinded: tuple[str, ...] = ()  # domains of data for which no number is given

    def auc(self, model: str, domain: str) -> Interval:
        """Return the AUC of a model in a domain whose classes are known."""
        return self.rocs[domain][model][0].auc


@dataclass(frozen=True, slots=True)
class EvaluationInput:
    """The input of the evaluation: P(signal) [n] of each model, and the files of networks with an embedding."""

    config: AnalysisConfig
    table: FeatureTable
    scores: Mapping[str, Array]
    networks: Mapping[str, Path]  # by model: its network of fold 0
    rescore: Rescore | None = None  # a function of a module, because it is sent to other processes

    @property
    def others(self) -> list[str]:
        """Return the domains that are compared with the source."""
        return compared_domains(self.config, self.table)

    @property
    def fitted(self) -> list[str]:
        """Return the domains that are used as data in the closure.

        These are all domains except the source, those that are blinded, those of unknown composition, and those whose
        compared class is missing.
        """
        hidden = (self.config.domains[0], *blinded_domains(self.config, self.table))
        wanted = compared_class(self.config)
        hidden = (*hidden, *unknown_composition(self.config))
        return [n for n in self.table.domain_names if n not in hidden and lacking_class(self.table, n) != wanted]


def evaluate(judged: EvaluationInput, processes: int, progress: Send) -> Numbers:
    """Compute all numbers; the parts are computed in parallel.

    Args:
        judged: the events, scores and networks.
        processes: number of processes.
        progress: function that receives the progress of the parts.

    Raises:
        DataError: the source has no events of a class, or a number cannot be computed from these events.

    """
    config, table = judged.config, judged.table
    source, labelled = config.domains[0], labelled_domains(table)
    if source not in labelled:
        raise DataError(f"the domain {source!r} lacks signal or background events; its scores cannot be judged")
    parts = _parts(judged, labelled)
    results = parallel.run(_compute, parts, processes, shared=judged, progress=progress)
    lacking = {name: lacking_class(table, name) for name in table.domain_names if name not in labelled}
    numbers = Numbers(
        source,
        _reference(judged),
        priors={name: _prior(table, name) for name in labelled},
        unlabelled=tuple(name for name, missing in lacking.items() if missing is None),
        lacking={name: missing for name, missing in lacking.items() if missing is not None},
        untold=untold_domains(config, table),
        blinded=blinded_domains(config, table),
    )
    found = dict(zip(parts, results, strict=True))
    numbers.models = {model: found["model", model, ""] for model in judged.scores}
    for (kind, model, domain), result in found.items():
        if kind == "roc":
            numbers.rocs[domain] = result
        elif kind == "importance":
            numbers.importance[domain], numbers.removal[domain] = result
        elif kind == "probe" and model:
            numbers.models[model].probes[domain] = result
        elif kind == "probe":
            numbers.inputs[domain] = result
        elif kind == "ratio":
            for name, by_domain in result.items():
                numbers.models[name].ratios = by_domain
    return numbers


Part = tuple[str, str, str]
"""A part of the evaluation: kind, model ("" for none) and domain ("" for all)."""


def _parts(judged: EvaluationInput, labelled: tuple[str, ...]) -> list[Part]:
    """Return the parts of the evaluation, the longest first, so that no process waits long for the last one."""
    parts: list[Part] = []
    if judged.config.evaluation.probes:
        parts += [("probe", model, other) for other in judged.others for model in judged.networks]
        parts += [("importance", "", other) for other in judged.others]
    parts += [("model", model, "") for model in judged.scores]
    if judged.others and len(judged.scores) > 1:
        parts.append(("ratio", "", ""))
    if judged.config.evaluation.probes:
        rest = ["", *(model for model in judged.scores if model not in judged.networks)]
        parts += [("probe", model, other) for other in judged.others for model in rest]
    return parts + [("roc", "", domain) for domain in labelled]


def _compute(judged: EvaluationInput, part: Part, send: Send) -> Any:
    kind, model, domain = part
    result: Any
    if kind == "roc":
        result = _rocs(judged, domain)
    elif kind == "model":
        result = model_numbers(judged, model)
    elif kind == "ratio":
        result = _ratios(judged)
    elif kind == "importance":
        result = _telling_inputs(judged, domain)
    else:
        result = probes(judged, model, domain)
    send(" ".join(word for word in part if word), 1, 1)
    return result


def _telling_inputs(judged: EvaluationInput, other: str) -> tuple[FeatureImportance | str, InputRemoval | str]:
    """Return which inputs separate another domain from the source, and what is lost without them."""
    found = importance(judged, other)
    return found, found if isinstance(found, str) else input_removal(judged, other, found.names)


def _rocs(judged: EvaluationInput, domain: str) -> dict[str, tuple[Roc, RocBand]]:
    table, config = judged.table, judged.config
    mask = table.of_domain(domain) & (table.label >= 0)
    of_domain = {model: score[mask] for model, score in judged.scores.items()}
    replicas = max(2, config.evaluation.bootstrap)
    return rocs(
        of_domain,
        table.label[mask],
        table.weight[mask],
        reference=_reference(judged),
        replicas=replicas,
        seed=config.seed,
    )


def _reference(judged: EvaluationInput) -> str:
    """Return the baseline model, or the first model with scores if the baseline has none."""
    plain = plain_model(judged.config)
    return plain if plain in judged.scores else next(iter(judged.scores))


def _ratios(judged: EvaluationInput) -> dict[str, dict[str, tuple[ShiftRatio, ...]]]:
    """Return the shifts of every model divided by those of the baseline model.

    They are given by other domain, at the signal efficiencies of the tail.
    """
    table, config = judged.table, judged.config
    names = np.asarray(table.domain_names)[table.domain]
    return shift_ratios(
        judged.scores, _reference(judged), table.label, names, table.weight, source=config.domains[0],
        others=judged.others, efficiencies=TAIL, compared=compared_class(config),
        left_out={other: alone_in(config, table, other, compared_class(config)) for other in judged.others},
        replicas=max(2, config.evaluation.bootstrap), seed=config.seed,
    )  # fmt: skip


def _prior(table: FeatureTable, domain: str) -> tuple[float, float]:
    """Return the share of signal in the yield of a domain, and its error."""
    mask = table.of_domain(domain) & (table.label >= 0)
    return weighted_efficiency(table.label[mask] == 1, table.weight[mask])
