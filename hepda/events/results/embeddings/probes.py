"""Fresh classifiers that try to separate the domains: by the inputs, by the embedding of a model, by its score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepda.errors import DataError
from hepda.evaluation.differences.probes import KINDS, ProbeSample, ProbeSettings, permutation_importance, removal
from hepda.events.dataset.splits import at_most
from hepda.events.domains.roles import Selection, common_classes, compared
from hepda.events.table.feature_table import FeatureTable
from hepda.results.evaluation import FeatureImportance, InputRemoval, ProbeResult

if TYPE_CHECKING:
    from hepda.adversarial import Network
    from hepda.events.results.evaluate import EvaluationInput
    from hepda.events.specs import ModelSpec

Array = NDArray[Any]
Mask = NDArray[np.bool_]
MAX_PROBE_EVENTS = 6_000  # in each domain; an AUC of 0.51 is then one standard deviation from 0.5
MOST_SEEN = 20 * MAX_PROBE_EVENTS  # in each domain; their features and embedding are held in memory
MAX_REPLICAS = 100  # the error is then known to 7 %, which is enough


def probes(evaluated: EvaluationInput, model: str, other: str) -> dict[str, tuple[ProbeResult, ...] | str]:
    """Train both kinds of probes to separate one other domain from the source, for each class.

    Only events of fold 0 are used: their score and embedding come from networks that saw none of these events.

    Args:
        evaluated: the events, scores and networks.
        model: the model whose score (or prediction) and embedding the probes see; "" for probes of the inputs.
        other: the domain that is compared with the source.

    Returns:
        By class: the results, or the reason if a class has too few events for two folds.

    """
    table = evaluated.table
    values: dict[str, Callable[[Mask], Array]] = {"inputs": lambda mask: table.features[mask]}
    if model:
        name = "score" if model in evaluated.scores else "prediction"
        output = evaluated.scores[model] if name == "score" else evaluated.predictions[model]
        values = {name: lambda mask: output[mask]}
        if model in evaluated.networks:
            from hepda.events.training.tensors import model_features

            spec = evaluated.spec.models[model]
            network = load_network(evaluated.networks[model], table.names, spec)
            values["embedding"] = lambda mask: network.embed(model_features(spec, table, rows=mask))
    by_class: dict[str, tuple[ProbeResult, ...] | str] = {}
    for sides in _sides(evaluated, other):
        try:
            by_class[sides[0].class_name] = tuple(_probe_all(evaluated, values, sides))
        except DataError as reason:
            by_class[sides[0].class_name] = str(reason)
    return by_class


def _sides(evaluated: EvaluationInput, other: str) -> list[Sequence[Selection]]:
    """Return the events of source and other in fold 0: of each class, or of all if the classes are unknown."""
    table, spec = evaluated.table, evaluated.spec
    classes = common_classes(spec.domains, table, other)
    pairs = [compared(spec, table, other, name) for name in classes] or [compared(spec, table, other)]
    return [[Selection(_few(table, side.mask), side.class_name) for side in pair] for pair in pairs]


def _few(table: FeatureTable, mask: Mask) -> Mask:
    """Return the events of fold 0, or a part of them that is chosen by hash.

    The part is still larger than what a probe takes.
    """
    return at_most(np.asarray(mask & (table.fold == 0)), table.key, MOST_SEEN)


def _probe_all(
    evaluated: EvaluationInput, values: Mapping[str, Callable[[Mask], Array]], sides: Sequence[Selection]
) -> Iterator[ProbeResult]:
    sample, drawn = _drawn(evaluated, [side.mask for side in sides])
    for name, of in values.items():
        features = sample.stacked(*(of(mask) for mask in drawn))
        for kind in KINDS:
            yield sample.probe(features, kind, representation=name, class_name=sides[0].class_name)


def _drawn(evaluated: EvaluationInput, masks: Sequence[Mask]) -> tuple[ProbeSample, list[Mask]]:
    """Draw the events of a probe of two samples, and return which they are: only their values are computed."""
    spec, weight = evaluated.spec, evaluated.table.weight
    replicas = min(spec.replicas, MAX_REPLICAS)
    settings = ProbeSettings(max_events=MAX_PROBE_EVENTS, replicas=replicas, seed=spec.seed)
    sample = ProbeSample.draw(weight[masks[0]], weight[masks[1]], settings)
    drawn = []
    for mask, rows in zip(masks, sample.rows, strict=True):
        chosen = np.zeros_like(mask)
        chosen[np.flatnonzero(mask)[rows]] = True
        drawn.append(chosen)
    return sample, drawn


def importance(evaluated: EvaluationInput, other: str) -> FeatureImportance | str:
    """Return which inputs separate another domain from the source, for the compared class.

    If this cannot be computed, return the reason instead.
    """
    table, spec = evaluated.table, evaluated.spec
    source, target = (_few(table, side.mask) for side in compared(spec, table, other))
    try:
        return permutation_importance(
            table.features[source], table.features[target], table.names, table.weight[source], table.weight[target],
            settings=ProbeSettings("mlp", max_events=MAX_PROBE_EVENTS, seed=spec.seed),
        )  # fmt: skip
    except DataError as reason:
        return str(reason)


def input_removal(evaluated: EvaluationInput, other: str, order: Sequence[str]) -> InputRemoval | str:
    """Return how well domains and classes are separated without the inputs that come first in `order`.

    The domains are compared as in `importance`, which gives the order. Signal and background are those of the source.

    Args:
        evaluated: the events, scores and networks.
        other: the domain that is compared with the source.
        order: names of the inputs, the most important first.

    Returns:
        The AUCs by number of removed inputs, or the reason if they cannot be computed.

    """
    table, spec = evaluated.table, evaluated.spec
    source = table.of_domain(spec.domains.nominal)
    classes = [_few(table, source & (table.label == label)) for label in (0, 1)]
    domains = [_few(table, side.mask) for side in compared(spec, table, other)]
    domain_pair, class_pair = (
        (table.features[a], table.features[b], table.weight[a], table.weight[b]) for a, b in (domains, classes)
    )
    replicas = min(spec.replicas, MAX_REPLICAS)
    settings = ProbeSettings(max_events=MAX_PROBE_EVENTS, replicas=replicas, seed=spec.seed)
    try:
        return removal(domain_pair, class_pair, table.names, order, settings=settings)
    except DataError as reason:
        return str(reason)


def load_network(path: Path, names: tuple[str, ...], model: ModelSpec) -> Network:
    """Load a trained network.

    Raises:
        ConfigError: it does not read the features `names` in their order, or the collections of the model.

    """
    from hepda.adversarial import Network
    from hepda.events.training.scoring import check_inputs

    network = Network.load(path)
    check_inputs(path, network.metadata, names, model)
    return network
